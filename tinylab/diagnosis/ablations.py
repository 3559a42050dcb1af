"""One factor at a time: variations of a recipe or an architecture, and what each does to the gap.

To compare 200 classes with a few, accuracies become skills: 0 is guessing, 1 is perfect. That is a proposal of this
course (†): a few classes stay easier than 200 on any scale.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tinylab import models
from tinylab.diagnosis.turning import CONFIRM, RISE, Turning, turning_point
from tinylab.support.errors import InvalidInputError, check_int, check_range
from tinylab.support.table import Table
from tinylab.training.history import History
from tinylab.training.recipe import Recipe

if TYPE_CHECKING:
    from tinylab.data import Dataset


# ---------------------------------------------------------------- settings


@dataclass(frozen=True)
class Setting:
    """A network, a recipe and an amount of data: everything but the images themselves."""

    name: str
    architecture: str  # in notation, or a name
    recipe: Recipe
    images: float = 1.0  # share of the training images, of each class; above 0, at most 1

    def part(self, data: "Dataset") -> "Dataset":
        """`data` with this setting's share of training images per class, at least one."""
        check_range("images", self.images, 0, 1.000001, low_open=True)
        count = max(1, round(self.images * data.train.fewest))
        return data if self.images == 1 else data.part(count, seed=self.recipe.seed)


def one_factor(architecture: str, recipe: Recipe, *, images: float = 1.0) -> tuple[Setting, ...]:
    """The base and the settings that differ from it in one factor each.

    The base is `recipe` with nothing that regularises, on the share `images` of the data. "dropout" takes the line's
    own (the report's 0.25 and 0.50), "L2" the report's 0.01. Fewer images are seen more often, and more images less,
    so that all runs make as many updates; "twice the images" is left out where there are not so many.
    """
    plain = replace(recipe, dropout=0.0, l2=0.0, weight_decay=0.0, flip=False, crop=0, label_smoothing=0.0)
    settings = (
        Setting("base", architecture, plain, images),
        Setting("dropout", architecture, replace(plain, dropout=None), images),
        Setting("L2 0.01", architecture, replace(plain, l2=0.01), images),
        Setting("augmentation", architecture, replace(plain, flip=True, crop=4), images),
        Setting("batch norm", with_batch_norm(architecture), plain, images),
        Setting("half the images", architecture, replace(plain, epochs=2 * plain.epochs), images / 2),
        Setting("twice the images", architecture, replace(plain, epochs=max(1, plain.epochs // 2)), 2 * images),
    )
    return tuple(setting for setting in settings if setting.images <= 1)


def with_batch_norm(architecture: str) -> str:
    """The line (or that of a name) with batch normalisation before every ReLU, where its authors put it (2015)."""
    return re.sub(r"(?<= - )relu(?= - )", "batch norm - relu", models.ARCHITECTURES.get(architecture, architecture))


# ---------------------------------------------------------------- what came out


@dataclass(frozen=True)
class Outcome:
    """What a run came to, at one of its epochs."""

    name: str
    train: float  # accuracy, 0..1, evaluation mode
    validation: float
    train_loss: float  # nats
    eval_loss: float
    best_loss: float  # lowest validation loss of the run
    epoch: int  # the one looked at, from 1
    turning: Turning

    @property
    def gap(self) -> float:
        """Training minus validation accuracy."""
        return self.train - self.validation


def outcome(name: str, history: History, *, stopped: bool = False) -> Outcome:
    """What `history` came to in its last epoch; `stopped`: in its best one, as early stopping would leave it.

    Raises TrainingError for a history without an epoch.
    """
    epoch = history.best if stopped else history.last
    return Outcome(
        name,
        epoch.train_accuracy,
        epoch.eval_accuracy,
        epoch.train_loss,
        epoch.eval_loss,
        history.best.eval_loss,
        epoch.epoch,
        turning_point(history),
    )


def effect(base: Outcome, other: Outcome) -> str:
    """One sentence on what a factor did to the validation loss, against the base: at its best, and at the end.

    Differences within 2 % count as none; in a run of 3 epochs or fewer nothing can be seen.
    """
    at_best, at_end = other.best_loss / base.best_loss - 1, other.eval_loss / base.eval_loss - 1
    if min(base.turning.epochs, other.turning.epochs) <= CONFIRM:
        says = "cannot be judged after so few epochs"
    elif at_best < -RISE:
        says = "reaches a lower loss than the base ever gets"
    elif at_end < -RISE:
        says = "holds the rise back: its end is better than the base's, its best is not"
    elif max(at_best, at_end) > RISE:
        says = "makes it worse" if at_end > RISE else "slows it down: its best is worse, its end is not"
    else:
        says = "changes next to nothing"
    found = other.turning
    where = f"turns at epoch {found.epoch} of {found.epochs}" if found.turned else f"no turn by epoch {found.epochs}"
    return f"{other.name} {says} (best {at_best:+.1%}, end {at_end:+.1%}; {where})."


def table(outcomes: Sequence[Outcome]) -> Table:
    """The outcomes as rows: accuracies and their gap, losses, where the validation loss turned."""
    rows = []
    for o in outcomes:
        turned = f"{o.turning.epoch} of {o.turning.epochs}" if o.turning.turned else "no turn"
        accuracies = (f"{o.train:.1%}", f"{o.validation:.1%}", f"{100 * o.gap:.0f}")
        rows.append([o.name, *accuracies, f"{o.best_loss:.2f}", f"{o.eval_loss:.2f}", turned])
    watched = outcomes[0].turning.eval_split if outcomes else "validation"
    columns = ["setting", "training", watched, "gap (points)", "best loss", "loss at the end", "turns at epoch"]
    return Table(columns, rows, "One factor at a time")


# ---------------------------------------------------------------- skills


def skill(accuracy: float, classes: int) -> float:
    """Accuracy with guessing taken away: 0 is 1/C, 1 is perfect (Cohen's kappa, 1960, for equally many of each class).

    Raises InvalidInputError for an accuracy outside 0..1, or fewer than 2 classes.
    """
    check_int("classes", classes, 2)
    if not 0 <= accuracy <= 1:
        raise InvalidInputError(f"accuracy {accuracy!r} is not possible. Allowed: 0 to 1")
    return (accuracy - 1 / classes) / (1 - 1 / classes)


def skills(history: History, *, evaluated: bool = False) -> np.ndarray:
    """(training skill, skill on the held-out split) after each epoch, float64 (epochs, 2).

    Training is the running accuracy, dropout on and averaged over the epoch, as Keras prints it; evaluated: that of
    the weights after the epoch, dropout off.
    """
    count = len(history.classes)
    train = "train_accuracy" if evaluated else "running_accuracy"
    both = [(skill(getattr(e, train), count), skill(e.eval_accuracy, count)) for e in history.epochs]
    return np.array(both, dtype=np.float64).reshape(-1, 2)
