"""What is recorded of a run, step by step and epoch by epoch: plain data, saved as JSON."""

import json
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, TypeAdapter

from tinylab.support.errors import InvalidInputError, TrainingError, nearest
from tinylab.support.files import atomic_write
from tinylab.support.validation import AS_GIVEN, Strict, like, one_of, validated
from tinylab.training.recipe import Recipe

_KIND = "tinylab history"
_VERSION = 3  # 1 had other names for what was measured, 1 and 2 for the architecture: both are read
_OLDER = {
    "validation_loss": "eval_loss",
    "validation_accuracy": "eval_accuracy",
    "watch": "eval_split",
    "line": "architecture",
}


@dataclass(frozen=True)
class Step:
    """One batch. The loss is the one before the update, without the penalty."""

    epoch: int  # from 1
    step: int  # within the epoch, from 1
    loss: float
    accuracy: float  # 0..1, of this batch, dropout on
    learning_rate: float


@dataclass(frozen=True)
class Epoch:
    """One finished epoch. Losses are mean cross-entropies per image in nats, accuracies 0..1."""

    epoch: int  # from 1
    learning_rate: float  # of the last step
    running_loss: float  # while learning, as minimised: dropout and augmentation on, labels smoothed if asked
    running_accuracy: float
    train_loss: float  # evaluation mode, after the epoch, a fixed subset of the training images
    train_accuracy: float
    eval_loss: float  # evaluation mode, the watched split
    eval_accuracy: float
    penalty: float  # l2·Σw², in none of the losses
    seconds: float  # of training, evaluation not included
    images_per_second: float


@dataclass
class History:
    """What happened, in plain data."""

    recipe: Recipe
    architecture: str  # of the network, in notation
    data: str
    eval_split: str  # the split behind `eval_*`: development, unless it was asked for another
    classes: tuple[str, ...]
    epochs: list[Epoch] = field(default_factory=list)

    def column(self, name: str) -> list[float]:
        """One number per epoch: `column("eval_loss")`. Raises InvalidInputError for an unknown name."""
        names = [part.name for part in fields(Epoch)]
        if name not in names:
            raise InvalidInputError(f"column {name!r} is unknown{nearest(name, names)}")
        return [getattr(epoch, name) for epoch in self.epochs]

    @property
    def best(self) -> Epoch:
        """The epoch with the lowest validation loss, the first of equals."""
        return min(self._some(), key=lambda epoch: (math.isnan(epoch.eval_loss), epoch.eval_loss))

    @property
    def last(self) -> Epoch:
        return self._some()[-1]

    def _some(self) -> list[Epoch]:
        if not self.epochs:
            raise TrainingError("the history has no epoch yet. Iterate over the run, or call its finish()")
        return self.epochs

    def as_dict(self) -> dict[str, Any]:
        return {"kind": _KIND, "version": _VERSION, **asdict(self), "classes": list(self.classes)}

    @classmethod
    def from_dict(cls, parts: dict[str, Any]) -> "History":
        """Raises TrainingError if `parts` is not what `as_dict` gives, now or in an older version."""
        if isinstance(parts, dict) and repr(parts.get("version")) in ("1", "2"):  # true and 1.0 equal 1
            parts = {**renamed(parts), "version": _VERSION}

        def refused(wrong: str) -> TrainingError:
            return TrainingError(f"this is not a history that tinylab wrote: {wrong}. Name a file from History.save")

        return validated(_HISTORY, parts, refused, "it")

    def save(self, path: str | Path) -> None:
        """As JSON; the file is never half written. Raises TrainingError if it cannot be."""
        atomic_write(path, json.dumps(self.as_dict(), indent=1, ensure_ascii=False).encode())

    @classmethod
    def load(cls, path: str | Path) -> "History":
        """Raises TrainingError, naming the file, if it is missing or not a history."""
        try:
            return cls.from_dict(json.loads(Path(path).read_bytes()))
        except (OSError, ValueError, RecursionError, TrainingError) as error:
            raise TrainingError(f"{path}: {' '.join(str(error).split())}") from error


def renamed(parts: dict[str, Any]) -> dict[str, Any]:
    """A history's plain data as it was written before its fields had the names of today.

    `epochs` may be a list of rows or a table of columns. What is no such thing is left for the reader to refuse.
    """
    new = {_OLDER.get(key, key): value for key, value in parts.items()}
    epochs = new.get("epochs")
    if isinstance(epochs, dict):
        new["epochs"] = {_OLDER.get(key, key): column for key, column in epochs.items()}
    elif isinstance(epochs, list) and all(isinstance(row, dict) for row in epochs):
        new["epochs"] = [{_OLDER.get(key, key): value for key, value in row.items()} for row in epochs]
    return new


# ---------------------------------------------------------------- what is believed of JSON


def _recipe(parts: dict[str, Any]) -> Recipe:
    """Raises ValueError, one line, if `parts` are none of a recipe."""
    try:
        return Recipe.from_dict(parts)
    except InvalidInputError as error:
        raise ValueError(f"is not possible ({error})") from None


def numbered(epochs: list[Epoch]) -> list[Epoch]:
    for place, epoch in enumerate(epochs, start=1):
        if epoch.epoch != place:
            raise ValueError(f"has epoch {epoch.epoch} in place {place}. Allowed: 1, 2, 3, …")
    return epochs


class _Head(Strict):
    kind: Annotated[str, one_of((_KIND,))]
    version: Annotated[int, Field(ge=_VERSION, le=_VERSION)]


RECIPE = Annotated[dict[str, Any], AfterValidator(_recipe)]
_EPOCH = like(Epoch, {float: Annotated[float, AS_GIVEN]})  # a loss may be NaN: a run can give it
_EPOCHS = Annotated[list[_EPOCH], AfterValidator(numbered)]  # type: ignore[valid-type]
_CLASSES = Annotated[list[str], AfterValidator(tuple)]
_HISTORY = TypeAdapter(like(History, {}, _Head, recipe=RECIPE, classes=_CLASSES, epochs=_EPOCHS))
