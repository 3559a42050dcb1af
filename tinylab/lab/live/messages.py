"""What is sent to the browser, which draws it: numbers, never pictures. Made on the thread that trains.

    all    everything there is, when a page asks for it or the past has changed: settings, state, and in binary the
           images and every step of every branch
    steps  the batches since the last message, in binary: 16 bytes each
    state  what changes less often: status, knobs, epochs, marks, predictions, checks, the picture in words

`store.js` reads them; the fields are named there once more.
"""

import operator
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylab import diagnosis, models, optimizers
from tinylab.figures.laboratory import MOST_IMAGES, Branch, Scene, Strip, Watched, described
from tinylab.figures.style import look
from tinylab.lab.live import branches
from tinylab.lab.live.knobs import NAMES, gathered
from tinylab.lab.live.session import Session
from tinylab.lab.live.status import Status

if TYPE_CHECKING:
    from tinylab.data.dataset import Dataset

TOGETHER = 0.045  # of the axis: turns nearer than that share a mark, or their texts would cover each other
_DECAYS = (0.0, *(float(f"{digit}e{power}") for power in range(-6, 0) for digit in (1, 2, 5)))
CHOICES: dict[str, tuple[float, ...]] = {  # where a slider stops; any other number can be typed
    "learning_rate": tuple(float(f"{10 ** (step / 10):.3g}") for step in range(-50, 11)),
    "dropout": tuple(round(0.05 * step, 2) for step in range(19)),
    "l2": _DECAYS[:-2],
    "weight_decay": _DECAYS,
    "momentum": (*(round(0.05 * step, 2) for step in range(19)), 0.92, 0.94, 0.96, 0.98, 0.99),
    "batch": tuple(2**power for power in range(11)),
    "label_smoothing": tuple(round(0.05 * step, 2) for step in range(11)),
    "clip": (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
}

_row = operator.attrgetter(  # of an epoch, as store.js reads it
    "epoch", "running_loss", "running_accuracy", "train_loss", "train_accuracy", "eval_loss", "eval_accuracy"
)
SHORT = {"label_smoothing": "smoothing", "clip": "clip gradient", "frozen": "freeze layer"}  # where there is no room


@dataclass(frozen=True)
class Shown:
    """What a laboratory shows beside the run itself."""

    end: int | None = None  # epochs on the axis of a still, which shows no more than was trained; None: the recipe's
    neighbours: float | None = None  # accuracy 0..1 of a k-nearest-neighbour classifier, for a line


class WatchedImages:
    """Up to 8 images of development, one of each class as long as there are classes."""

    def __init__(self, data: "Dataset") -> None:
        split = data.development
        targets = split.targets
        assert targets is not None
        _, first = np.unique(targets, return_index=True)
        others = np.setdiff1d(np.arange(len(split)), first)
        images, labels = split.take(np.concatenate([first, others])[:MOST_IMAGES])
        assert labels is not None
        self.words = data.words
        self.watched = Watched(images, [data.words[label] for label in labels])

    def strip(self, session: Session) -> Strip:
        """What the network takes them for now; called on the thread that trains."""
        chosen, sure = session.run.predict(self.watched.images)
        return Strip(self.watched, [self.words[label] for label in chosen], sure.tolist())


def scene(session: Session, status: Status, strip: Strip | None, more: Shown) -> Scene:
    """This moment, for a still and for its text twin."""
    current, shown, count = session.branches.current, session.branches.all, session.run.batches.count
    shown = {current.letter: current} | shown  # read once each: the thread that trains may be going elsewhere
    marks = _marks(current, shown.values())
    drawn = tuple(
        Branch(
            letter,
            each.name,
            replace(each.history, epochs=list(each.history.epochs)),
            np.array(each.taken).reshape(-1, 3) / (1, 1, count),
            each.images(each.start) / count,
        )
        for letter, each in sorted(shown.items())
    )
    return Scene(
        branches=drawn,
        current=current.letter,
        epochs=more.end or status.script.recipe.epochs,
        classes=len(session.data.classes),
        marks=tuple(marks),
        title=title(status),
        values=str(status.knobs),
        strip=strip,
        neighbours=more.neighbours,
    )


def title(status: Status) -> str:
    phase = "Press Start" if status.phase == "waiting" else status.phase.capitalize()
    return f"{phase}: step {status.step}, epoch {status.epochs:.2f} of {status.script.recipe.epochs}"


def steps(session: Session, letter: str, since: int) -> np.ndarray:
    """Float32 (steps, 4) of a branch from step `since` (from 0) on: step, epoch, loss, accuracy."""
    branch = session.branches[letter]
    rows = np.array(branch.taken[since:], dtype=np.float64).reshape(-1, 3)
    numbers = np.arange(since + 1, since + 1 + len(rows))
    epochs = rows[:, 2] / session.run.batches.count
    return np.stack([numbers, epochs, rows[:, 0], rows[:, 1]], axis=1).astype(np.float32)


def settings(session: Session, more: Shown, watched: Watched) -> dict[str, Any]:
    """What stays as it is until a reset."""
    lines = [*models.ARCHITECTURES]
    return {
        "epochs": session.recipe.epochs,
        "classes": len(session.data.classes),
        "eval_split": session.eval_split,
        "style": look().name,
        "neighbours": more.neighbours,
        "knobs": _controls(session),
        "models": lines if session.model in lines else [session.model, *lines],
        "names": list(watched.names),
        "size": list(watched.images.shape[1:3]),
    }


def state(session: Session, status: Status, strip: Strip | None, more: Shown, sent: dict[str, int]) -> dict[str, Any]:
    """How things stand; `sent`: how many epochs of each branch the browser has, brought up to date here."""
    current, shown, ended = session.branches.current, session.branches.all, status.phase == "finished"
    early = "stopped too early"  # which says nothing while there is more to come
    cards = [card for card in diagnosis.after(current.history) if ended or not card.check.startswith(early)]
    told = []
    for letter, each in shown.items():
        since = sent.get(letter, 0)
        rows = [_row(epoch) for epoch in each.history.epochs[since:]]
        sent[letter] = since + len(rows)
        told.append(
            {
                "letter": letter,
                "name": each.name,
                "start": each.start,
                "since": since,
                "epochs": rows,
                "kept": [kept.step for kept in session.snapshots.of(letter)],
            }
        )
    count = session.run.batches.count
    return {
        "phase": status.phase,
        "step": status.step,
        "note": status.note,
        "branch": status.branch,
        "branches": told,
        "heard": status.heard,
        "model": status.script.model,
        "knobs": {name: getattr(status.knobs, name) for name in NAMES},
        "marks": [[current.images(step) / count, text] for step, text in _marks(current, shown.values())],
        "planned": [
            {"epoch": each.epoch, "knob": each.knob, "value": each.value, "times": each.times, "text": str(each)}
            for each in status.planned
        ],
        "predictions": None if strip is None else [list(strip.chosen), list(strip.sure)],
        "checks": diagnosis.show(cards)._repr_html_(),
        "words": described(scene(session, status, strip, more)),
    }


def _marks(current: branches.Branch, shown: Iterable[branches.Branch]) -> list[tuple[int, str]]:
    return gathered(current.changes, TOGETHER * max(branch.steps for branch in shown))


def _controls(session: Session) -> list[dict[str, Any]]:
    """The knobs that this network has: a slider with its stops, a list with its options, or a box to tick."""
    run = session.run
    options: dict[str, list[tuple[str, str]]] = {
        "frozen": [("", "none"), *run.layers.items()],
        "optimizer": [(name, name) for name in optimizers.OPTIMIZERS],
        "schedule": [(name, name) for name in optimizers.SCHEDULES],
    }
    found: list[dict[str, Any]] = []
    for name, label in NAMES.items():
        if name == "dropout" and not run.dropouts:
            continue
        control: dict[str, Any] = {"name": name, "label": label, "short": SHORT.get(name, label)}
        if name in CHOICES:
            control["stops"] = [each for each in CHOICES[name] if name != "batch" or each <= run.batches.count]
            if name == "dropout":
                control["built"] = run.dropouts[0][1]  # where the slider stands while each has what the line says
        elif name in options:
            control["options"] = options[name]
        found.append(control)
    return found
