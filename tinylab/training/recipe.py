"""How to train: the frozen `Recipe`, and the three that the lectures compare."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from tinylab import optimizers
from tinylab.data.augment import Augment
from tinylab.support.errors import InvalidInputError, check_int, check_range, nearest

_OLDER = {"average": "ema_decay"}
_RETIRED = {  # name: the value that says that it was not used; records, scripts and checkpoints from before hold them
    "teacher_weight": 0.0, "temperature": 4.0,  # of distillation
    "mixup": 0.0, "cutmix": 0.0, "erase": 0.0,  # of mixed images, and images with a box erased
}  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """How to train; `dataclasses.replace` varies it. Raises InvalidInputError for a value out of range."""

    epochs: int = 20
    batch: int = 128  # images; the report's
    optimizer: str = "adam"
    learning_rate: float = 1e-3  # Adam's usual one
    momentum: float = 0.9  # Adam: β₁
    schedule: str = "constant"
    l2: float = 0.0  # l2·Σw² is added to the loss; weights only
    weight_decay: float = 0.0  # decoupled from the gradient; "adamw" only
    dropout: float | None = None  # of every dropout layer; None: as the network's line says
    flip: bool = False  # left-right, half of the images
    crop: int = 0  # pixels: largest shift
    start_size: int = 0  # pixels: images are scaled to this at first, and grow in three stages; 0: none is scaled
    label_smoothing: float = 0.0  # share of the label spread over all classes
    ema_decay: float = 0.0  # decay, a step, of the running mean of the weights that is measured and kept; 0: none
    seed: int = 0  # of order, augmentation and dropout; the weights were drawn by models.build

    def __post_init__(self) -> None:
        check_int("epochs", self.epochs, 1)
        check_int("batch", self.batch, 1)
        check_int("seed", self.seed, 0)
        check_int("start_size", self.start_size, 0)
        check_range("learning_rate", self.learning_rate, 0, math.inf, low_open=True)
        check_range("momentum", self.momentum, 0, 1)
        check_range("l2", self.l2, 0, math.inf)
        check_range("weight_decay", self.weight_decay, 0, math.inf)
        for name in ("label_smoothing", "ema_decay"):
            check_range(name, getattr(self, name), 0, 1)
        if self.dropout is not None:
            check_range("dropout", self.dropout, 0, 1)
        optimizers.check(self.optimizer, l2=self.l2, weight_decay=self.weight_decay)
        optimizers.factor(self.schedule, 0, 1)
        self.augment()

    @classmethod
    def from_dict(cls, parts: Mapping[str, Any]) -> "Recipe":
        """What `dataclasses.asdict` gave, also years ago: fields that were left out since must say that nothing was.

        Raises InvalidInputError for anything else.
        """
        names = [part.name for part in fields(cls)]
        parts = {_OLDER.get(name, name): value for name, value in parts.items()}
        for name, unused in _RETIRED.items():
            if parts.get(name, unused) != unused:
                raise InvalidInputError(f"{name} {parts[name]!r} is no longer possible. Allowed: {unused!r}")
        for name in parts:
            if name not in (*names, *_RETIRED):
                raise InvalidInputError(f"a recipe has no field {name!r}{nearest(name, names)}")
        return cls(**{name: value for name, value in parts.items() if name not in _RETIRED})

    def size(self, progress: float, full: int) -> int:
        """Pixels of the images, learned from and measured, progress 0..1 through the run: progressive resizing (Howard,
        2018, fast.ai's DAWNBench entry). `start_size` until 0.4, halfway between it and `full` until 0.75, then `full`:
        the first epochs are cheap, and the last ones see what will be scored."""
        if not self.start_size or self.start_size >= full or progress >= 0.75:
            return full
        return self.start_size if progress < 0.4 else (self.start_size + full) // 2

    @property
    def open_ended(self) -> bool:
        """Whether a longer run begins exactly like this one: neither rate nor image size depends on how long it is."""
        return self.schedule == "constant" and not self.start_size

    def augment(self) -> Augment:
        return Augment(flip=self.flip, crop=self.crop)


RECIPES: dict[str, Recipe] = {
    "report": Recipe(epochs=200, l2=0.01),  # as described in sections 3.3 and 5
    "plain": Recipe(dropout=0.0),  # nothing that holds the network back from learning by heart
    "well": Recipe(  # what the years since 2016 would add, on the same networks
        optimizer="adamw", schedule="one-cycle", weight_decay=0.05, flip=True, crop=4
    ),
}
