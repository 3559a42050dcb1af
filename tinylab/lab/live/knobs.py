"""What can be turned while a network trains: frozen values, their ranges, and what changes from one to the next."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from tinylab import optimizers
from tinylab.support.errors import InvalidInputError, check_int, check_range, nearest
from tinylab.training.recipe import Recipe

NAMES = {
    "learning_rate": "learning rate", "dropout": "dropout", "l2": "L2", "weight_decay": "weight decay",
    "momentum": "momentum", "batch": "batch size", "label_smoothing": "label smoothing", "clip": "gradient clipping",
    "augment": "augmentation", "frozen": "frozen layer", "optimizer": "optimizer", "schedule": "schedule",
}  # fmt: skip
APART = ("augment", "frozen", "clip")  # those that no recipe holds: a script lists them as changes, even at step 0
_SHARED = tuple(name for name in NAMES if name not in APART)  # fields of a recipe, by the same names
MOST_RATE = 100.0  # beyond it no question of the course has an answer, and a slip of the pen is likelier

Value = float | str | bool | None


@dataclass(frozen=True)
class Knobs:
    """The values in force from one batch to the next. Raises InvalidInputError for one out of range."""

    learning_rate: float = 1e-3  # which the schedule multiplies
    dropout: float | None = None  # of every dropout layer; None: as the network's line says
    l2: float = 0.0  # l2·Σw² is added to the loss; "sgd" and "adam"
    weight_decay: float = 0.0  # apart from the gradient; "adamw"
    momentum: float = 0.9  # Adam: β₁
    batch: int = 32  # images
    label_smoothing: float = 0.0  # share of the label spread over all classes
    clip: float = 0.0  # largest norm of the gradient of all weights together; 0: any
    augment: bool = False  # the recipe's flips and shifts; where it has none, flips and shifts by 4
    frozen: str = ""  # name of the layer whose weights are not updated; "": none
    optimizer: str = "adam"
    schedule: str = "constant"

    def __post_init__(self) -> None:
        check_range("learning rate", self.learning_rate, 0, MOST_RATE, low_open=True)
        check_range("L2", self.l2, 0, math.inf)
        check_range("weight decay", self.weight_decay, 0, math.inf)
        check_range("momentum", self.momentum, 0, 1)
        check_range("label smoothing", self.label_smoothing, 0, 1)
        check_range("gradient clipping", self.clip, 0, math.inf)
        check_int("batch size", self.batch, 1)
        if self.dropout is not None:
            check_range("dropout", self.dropout, 0, 1)
        if not isinstance(self.augment, bool):
            raise InvalidInputError(f"augmentation {self.augment!r} is not possible. Allowed: True or False")
        if not isinstance(self.frozen, str):
            raise InvalidInputError(f"frozen layer {self.frozen!r} is not possible. Allowed: a layer's name, or ''")
        for name, allowed in (("optimizer", optimizers.OPTIMIZERS), ("schedule", optimizers.SCHEDULES)):
            value = getattr(self, name)
            if value not in allowed:
                raise InvalidInputError(f"{name} {value!r} is unknown{nearest(str(value), allowed)}")
        for part in fields(self):  # a typed 1 is 1.0, in a script too
            value = getattr(self, part.name)
            if isinstance(part.default, float) or (part.name == "dropout" and value is not None):
                object.__setattr__(self, part.name, float(value))

    @classmethod
    def of(cls, recipe: Recipe) -> "Knobs":
        """Those that a recipe starts with."""
        augment = recipe.flip or recipe.crop > 0
        return cls(**{name: getattr(recipe, name) for name in _SHARED}, augment=augment)

    def on(self, recipe: Recipe) -> Recipe:
        """The recipe, with those of these that a recipe holds; a decay that the optimizer has not got is left out."""
        unused = "l2" if self.optimizer == "adamw" else "weight_decay"
        return replace(recipe, **{name: getattr(self, name) for name in _SHARED} | {unused: 0.0})

    def turned(self, values: Mapping[str, Any]) -> "Knobs":
        """With some values changed. Raises InvalidInputError for an unknown name or an impossible value."""
        for name in values:
            if name not in NAMES:
                raise InvalidInputError(f"knob {name!r} is unknown{nearest(str(name), NAMES)}")
        return replace(self, **values)

    def __str__(self) -> str:
        return ", ".join(self.said(name) for name in NAMES if not self._silent(name))

    def said(self, name: str) -> str:
        """`dropout 0.5`."""
        return f"{NAMES[name]} {shown(getattr(self, name))}"

    def _silent(self, name: str) -> bool:
        """Whether it need not be said: it is off, or the optimizer has not got it."""
        return name == ("l2" if self.optimizer == "adamw" else "weight_decay") or (
            name in ("label_smoothing", "clip", "augment", "frozen") and not getattr(self, name)
        )


@dataclass(frozen=True)
class Change:
    """One knob turned after `step` updates: update step + 1 is the first with the new value."""

    step: int
    knob: str  # a name of NAMES
    old: Value
    new: Value

    def __str__(self) -> str:
        return f"{NAMES[self.knob]} {shown(self.old)} → {shown(self.new)}"


@dataclass(frozen=True)
class Planned:
    """A change that waits for its epoch. Raises InvalidInputError for one that is not possible."""

    epoch: float  # how many have passed when it counts
    knob: str
    value: Value = None
    times: float | None = None  # instead of a value: what the present one is multiplied by

    def __post_init__(self) -> None:
        check_range("the epoch of a planned change", self.epoch, 0, math.inf)
        if self.times is not None:
            check_range("the factor of a planned change", self.times, 0, math.inf, low_open=True)
        usual = Knobs()
        usual.turned({self.knob: self.value if self.times is None else getattr(usual, self.knob, None)})
        if self.times is not None and isinstance(getattr(usual, self.knob), bool | str):
            raise InvalidInputError(f"{NAMES[self.knob]} cannot be multiplied. Allowed: a value")

    def on(self, knobs: Knobs) -> dict[str, Value]:
        """What is turned when its time has come. Raises InvalidInputError if that is not possible."""
        value = self.value
        if self.times is not None:
            old = getattr(knobs, self.knob)
            if old is None:
                raise InvalidInputError(f"{NAMES[self.knob]} {shown(old)} cannot be multiplied. Allowed: a value")
            value = max(round(old * self.times), 1) if isinstance(old, int) else float(f"{old * self.times:.3g}")
        knobs.turned({self.knob: value})
        return {self.knob: value}

    def __str__(self) -> str:
        name = NAMES[self.knob]
        if self.times is None:
            return f"{name} → {shown(self.value)}"
        return f"{name} ÷ {1 / self.times:.3g}" if self.times < 1 else f"{name} × {self.times:.3g}"


def shown(value: Value) -> str:
    """A knob's value in a few characters: 0.001, 3e-05, off, none; None is what the network's line says."""
    if value is None:
        return "as built"
    if isinstance(value, bool):
        return "on" if value else "off"
    return (value or "none") if isinstance(value, str) else f"{value:.3g}" if isinstance(value, float) else str(value)


def changes(step: int, old: Knobs, new: Knobs) -> tuple[Change, ...]:
    """What differs between the two, in the order of NAMES."""
    pairs = ((name, getattr(old, name), getattr(new, name)) for name in NAMES)
    return tuple(Change(step, name, before, after) for name, before, after in pairs if before != after)


def merged(earlier: tuple[Change, ...], later: tuple[Change, ...]) -> tuple[Change, ...]:
    """Both in order; turns of one knob at one step count as a single one, and one that was turned back as none."""
    found = list(earlier)
    for change in later:
        same = [i for i, old in enumerate(found) if (old.step, old.knob) == (change.step, change.knob)]
        if same:
            change = Change(change.step, change.knob, found.pop(same[0]).old, change.new)
        if change.old != change.new:
            found.append(change)
    return tuple(found)


def gathered(made: tuple[Change, ...], within: float) -> list[tuple[int, str]]:
    """(step, text) of each mark to draw: turns less than `within` steps apart share one, as from its first to its last.

    Ten presses of an arrow key are one change to whoever looks at the curve, and a knob that was turned there and back
    is none. The script keeps them all.
    """
    groups: list[list[Change]] = []
    for change in made:
        if groups and change.step - groups[-1][-1].step < within:
            groups[-1].append(change)
        else:
            groups.append([change])
    marks = []
    for group in groups:
        last = group[-1].step
        if together := merged((), tuple(replace(change, step=last) for change in group)):
            marks.append((last, "\n".join(map(str, together))))
    return marks
