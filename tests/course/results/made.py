"""Records made by hand: what a training of known numbers would leave."""

from dataclasses import replace

from tinylab.course.results import Record, Timings
from tinylab.course.results.record import Provenance
from tinylab.models import ARCHITECTURES
from tinylab.support.errors import TinylabError
from tinylab.training import Recipe, Score
from tinylab.training.history import Epoch, History


def epoch(number: int, train: float = 0.5, validation: float = 0.25, **changes: float) -> Epoch:
    losses = {"train_loss": 1.0 + 1 / number, "eval_loss": 3.0 + number / 10}
    return Epoch(
        **{
            "epoch": number,
            "learning_rate": 1e-3,
            "running_loss": 2.0,
            "running_accuracy": 0.4,
            "train_accuracy": train,
            "eval_accuracy": validation,
            "penalty": 0.0,
            "seconds": 1.5,
            "images_per_second": 60.0,
            **losses,
            **changes,
        }
    )


def record(name: str = "a-record", *, epochs: int = 3, classes: int = 10, seed: int = 0, **changes: object) -> Record:
    """Of Model 1; the k-th epoch's losses are 1 + 1/k and 3 + k/10."""
    names = tuple(f"n{number:08d}" for number in range(classes))
    recipe = Recipe(epochs=epochs, seed=seed, l2=0.01)
    history = History(
        recipe, ARCHITECTURES["model_1"], "made", "development", names, [epoch(k + 1) for k in range(epochs)]
    )
    scores = {"train": Score(1.5, 0.51, 90), "development": Score(3.2, 0.24, 30)}
    made = Record(
        name=name,
        plan="a-plan",
        row="0123456789ab",
        title="as described",
        network="model_1",
        settings={"initialisation": "he", "per_class": 9},
        history=history,
        images=90,
        scores=scores,
        clocks=Timings(4.5, 6.0, 61.0, 2),
        origin=Provenance(
            "a" * 40, False, "CPU (1 thread)", {"python": "3.11", "torch": "2.13"}, "2026-11-23T00:00:00Z"
        ),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def or_line(function, *arguments: object):
    """What the function gives, or the message of its TinylabError, which has to be one line."""
    try:
        return function(*arguments)
    except TinylabError as error:
        message = str(error)
    assert "\n" not in message
    return message
