"""The pictures of lecture 07: what is drawn is what was given, nothing is cut off, and the text twin says it too."""

import numpy as np
import pytest

from tests.diagnosis import made
from tests.figures.legible import assert_legible
from tinylab import diagnosis, figures
from tinylab.support.errors import InvalidInputError
from tinylab.training import History

TURNED = [3.0, 2.0, 1.5, 1.3, 1.2, 1.25, 1.4, 1.6, 1.8, 2.0]
NAMES = ("base", "dropout", "L2 0.01", "augmentation", "batch norm", "half the images")


def run(i: int, epochs: int = 10) -> History:
    """The validation loss turns at epoch 5; the i-th run ends at another accuracy."""
    return made.history(
        TURNED[:epochs],
        train_loss=np.geomspace(3, 0.05, 10)[:epochs].tolist(),
        train=np.linspace(0.2, 1 - 0.1 * i, 10)[:epochs].tolist(),
        validation=np.linspace(0.2, 0.4 + 0.05 * i, 10)[:epochs].tolist(),
        classes=5,
    )


RUNS = {name: run(i) for i, name in enumerate(NAMES)}
OUTCOMES = [
    *(diagnosis.outcome(name, history) for name, history in RUNS.items()),
    diagnosis.outcome("early stopping", RUNS["base"], stopped=True),
]


def turning(history: History) -> figures.Picture:
    return figures.turning(history, diagnosis.turning_point(history), diagnosis.flattening(history))


EVERY = {
    "turning": lambda: turning(RUNS["base"]),
    "turning, one epoch": lambda: turning(run(0, 1)),
    "one factor": lambda: figures.one_factor(OUTCOMES, chance=0.2, level=("k-NN", 0.28)),
}


@pytest.mark.parametrize("name", EVERY)
def test_nothing_is_cut_off_and_no_names_overlap(name: str, style: str) -> None:
    assert_legible(EVERY[name]())


def test_turning_marks_what_was_found() -> None:
    picture = turning(RUNS["base"])
    (ax,) = picture.axes
    marks = [line for line in ax.get_lines() if len(set(line.get_xdata())) == 1]
    assert sorted({float(line.get_xdata()[0]) for line in marks}) == [5.0, diagnosis.flattening(RUNS["base"]).epoch]
    drawn = [line.get_ydata().tolist() for line in ax.get_lines() if len(line.get_xdata()) == 10]
    assert TURNED in drawn
    assert "turns: epoch 5" in [text.get_text() for text in ax.texts]
    assert "turns at epoch 5" in picture.alt


def test_turning_that_is_none_says_so() -> None:
    falling = made.history([5.0 - 0.3 * i for i in range(10)])
    picture = turning(falling)
    assert picture.get_suptitle() == "The development loss has not turned"
    assert "lowest: epoch 10" in [text.get_text() for text in picture.axes[0].texts]


def test_one_factor_draws_both_accuracies_and_both_losses() -> None:
    picture = figures.one_factor(OUTCOMES, chance=0.2, level=("k-NN", 0.28))
    assert picture.alt.endswith(" guessing: 20.0 %. k-NN: 28.0 %.")
    assert {"guessing", "k-NN"} <= {text.get_text() for text in picture.axes[0].texts}
    left, right = picture.axes
    points = {
        (round(float(line.get_xdata()[0]), 3), float(line.get_ydata()[0]))
        for line in left.get_lines()
        if len(line.get_xdata()) == 1
    }
    for i, outcome in enumerate(OUTCOMES):
        place = float(len(OUTCOMES) - 1 - i)
        assert {(round(100 * outcome.train, 3), place), (round(100 * outcome.validation, 3), place)} <= points
    losses = {round(float(line.get_xdata()[0]), 3) for line in right.get_lines() if len(line.get_xdata()) == 1}
    assert losses == {1.2, 2.0}
    assert [tick.get_text() for tick in left.get_yticklabels()] == [*NAMES, "early stopping"]
    assert "base: 100.0 % / 40.0 %, gap 60 points; loss 1.20, 2.00." in picture.alt


def test_mistakes() -> None:
    with pytest.raises(InvalidInputError, match="without an epoch"):
        figures.turning(made.history([]), diagnosis.turning_point([1.0]))
    with pytest.raises(InvalidInputError, match="no outcomes"):
        figures.one_factor([])
