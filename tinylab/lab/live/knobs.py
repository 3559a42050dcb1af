"""What can be turned while a network trains: frozen values, their ranges, and what changes from one to the next."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from tinylab import optimizers
from tinylab.support.errors import InvalidInputError, between, nearest
from tinylab.training.recipe import Recipe

NAMES = {
    "learning_rate": "learning rate", "dropout": "dropout", "l2": "L2", "momentum": "momentum",
    "optimizer": "optimizer", "schedule": "schedule",
}  # fmt: skip


@dataclass(frozen=True)
class Knobs:
    """The values in force from one batch to the next. Raises InvalidInputError for one out of range."""

    learning_rate: float = 1e-3  # which the schedule multiplies
    dropout: float | None = None  # of every dropout layer; None: as the network's line says
    l2: float = 0.0  # l2·Σw² is added to the loss; "adamw": weight decay, apart from the gradient
    momentum: float = 0.9  # Adam: β₁
    optimizer: str = "adam"
    schedule: str = "constant"

    def __post_init__(self) -> None:
        between("learning rate", self.learning_rate, 0, math.inf, low_open=True)
        between("L2", self.l2, 0, math.inf)
        between("momentum", self.momentum, 0, 1)
        if self.dropout is not None:
            between("dropout", self.dropout, 0, 1)
        for name, allowed in (("optimizer", optimizers.OPTIMIZERS), ("schedule", optimizers.SCHEDULES)):
            value = getattr(self, name)
            if value not in allowed:
                raise InvalidInputError(f"{name} {value!r} is unknown{nearest(str(value), allowed)}")
        for name in ("learning_rate", "dropout", "l2", "momentum"):  # a typed 1 is 1.0, in a story too
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else float(value))

    @classmethod
    def of(cls, recipe: Recipe) -> "Knobs":
        """Those that a recipe starts with."""
        return cls(
            recipe.learning_rate, recipe.dropout, recipe.weight_decay or recipe.l2, recipe.momentum,
            recipe.optimizer, recipe.schedule,
        )  # fmt: skip

    def on(self, recipe: Recipe) -> Recipe:
        """The recipe, with these."""
        decoupled = self.optimizer == "adamw"
        return replace(
            recipe, learning_rate=self.learning_rate, dropout=self.dropout, l2=0.0 if decoupled else self.l2,
            weight_decay=self.l2 if decoupled else 0.0, momentum=self.momentum, optimizer=self.optimizer,
            schedule=self.schedule,
        )  # fmt: skip

    def turned(self, values: Mapping[str, Any]) -> "Knobs":
        """With some values changed. Raises InvalidInputError for an unknown name or an impossible value."""
        for name in values:
            if name not in NAMES:
                raise InvalidInputError(f"knob {name!r} is unknown{nearest(str(name), NAMES)}")
        return replace(self, **values)


@dataclass(frozen=True)
class Change:
    """One knob turned after `step` updates: update step + 1 is the first with the new value."""

    step: int
    knob: str  # a name of NAMES
    old: float | str | None
    new: float | str | None

    def __str__(self) -> str:
        return f"{NAMES[self.knob]} {shown(self.old)} → {shown(self.new)}"


def shown(value: float | str | None) -> str:
    """A knob's value in a few characters: 0.001, 3e-05; None is what the network's line says."""
    return "as built" if value is None else value if isinstance(value, str) else f"{value:.3g}"


def changes(step: int, old: Knobs, new: Knobs) -> tuple[Change, ...]:
    """What differs between the two, in the order of NAMES."""
    pairs = ((part.name, getattr(old, part.name), getattr(new, part.name)) for part in fields(Knobs))
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

    Ten presses of an arrow key are one change to whoever looks at the curve. The story keeps them all.
    """
    groups: list[list[Change]] = []
    for change in made:
        if groups and change.step - groups[-1][-1].step < within:
            groups[-1].append(change)
        else:
            groups.append([change])
    marks = []
    for group in groups:
        ends: dict[str, Change] = {}
        for change in group:
            old = ends[change.knob].old if change.knob in ends else change.old
            ends[change.knob] = Change(change.step, change.knob, old, change.new)
        marks.append((group[-1].step, "\n".join(str(end) for end in ends.values())))
    return marks
