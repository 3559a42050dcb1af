"""Batches whose size and augmentation may change from one to the next, and which tell how far the epoch has come."""

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from tinylab.data.augment import Augment
from tinylab.data.batches import Batches

USUAL = Augment(flip=True, crop=4)  # what is switched on where a recipe has no augmentation


class Changeable(Batches):
    """Unchanged, the very batches of `Batches`, bit for bit.

    Order and augmentation of an epoch are drawn for all its images when it begins, whether they are used or not: what a
    knob does to one batch changes nothing for those after it.
    """

    def __init__(self, split: Any, normalisation: Any, *, augment: Augment, **options: Any) -> None:
        self.on = bool(augment)  # whether images are changed, from the next batch on
        super().__init__(split, normalisation, augment=augment if self.on else USUAL, **options)
        self.seen = 0  # images of the present epoch so far
        self.last = 0  # of them, in the last batch

    def epoch(self, number: int = 0, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """As that of `Batches`; where it is not the beginning, `seen` says how many images are passed over."""
        order, here = self._drawn(number)
        self.seen = self.seen if start else 0
        while self.seen < self.count:
            self.last = self._size()
            part = slice(self.seen, self.seen + self.last)
            self.seen += self.last
            yield self._made(part, order, here, self.on)

    def _size(self) -> int:
        """Of the next batch; a single image is not left over where only the change of size would leave it."""
        left = self.count - self.seen
        return left if left == self.batch + 1 and self.seen % self.batch else min(self.batch, left)


class Attentive(Batches):
    """Batches for evaluation; before each, `listen` is called."""

    def __init__(self, listen: Callable[[], None], split: Any, normalisation: Any, **options: Any) -> None:
        super().__init__(split, normalisation, **options)
        self.listen = listen

    def epoch(self, number: int = 0, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        for x, y in super().epoch(number, start):
            self.listen()
            yield x, y
