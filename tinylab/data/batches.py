"""Batches made on the device: shuffled, cropped, flipped, normalised, in that order, all at once.

A batch leaves here as the network takes it: float32 (B, 3, H, W) in channels_last memory, which is how the
decoded images already lie, so nothing is copied to get there. There are no worker processes: after decoding,
what is left is one gather and one subtraction, quicker than handing images between processes.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from tinylab.data.augment import Augment, crop_and_flip
from tinylab.data.normalisation import Normalisation
from tinylab.data.split import Split
from tinylab.support.device import Device, pick
from tinylab.support.errors import DataError, check_int
from tinylab.support.memory import available_memory
from tinylab.support.seeds import derive_seed

_NO_LABEL = -1


class Batches:
    """One split, ready to be walked through any number of times. Iterate over `epoch(number)`.

    `count` images, `len()` batches an epoch; the last batch may be smaller. The order and the augmentation of
    an epoch depend on (seed, number) and nothing else, on any device: they are drawn on the CPU.
    """

    def __init__(
        self,
        split: Split,
        normalisation: Normalisation,
        *,
        batch: int = 128,  # images
        device: Device | None = None,  # None: the best there is
        augment: Augment | None = None,
        shuffle: bool = False,
        seed: int = 0,
    ) -> None:
        check_int("batch", batch, 1)
        if len(split) == 0:
            raise DataError(f"split {split.name!r} has no images, so there are no batches to make")
        self.split, self.normalisation = split, normalisation
        self.batch, self.device, self.augment = batch, device or pick(), augment or Augment()
        self.shuffle, self.seed, self.count = shuffle, seed, len(split)
        self.labelled = split.targets is not None
        targets = np.full(self.count, _NO_LABEL) if split.targets is None else split.targets
        self._targets = torch.from_numpy(np.asarray(targets, dtype=np.int64)).to(self.device.target)
        self._resident: Tensor | None = None
        if _fits(self.count * normalisation.mean.size, self.device.target):
            self._resident = torch.from_numpy(split.take(np.arange(self.count))[0]).to(self.device.target)

    def __len__(self) -> int:
        return -(-self.count // self.batch)

    def epoch(self, number: int = 0, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of epoch `number`: x float32 (B, 3, H, W) normalised, y int64 (B,), -1 where unlabelled.

        The first `start` of them are passed over: where an interrupted epoch goes on.
        """
        order, here = self._drawn(number)
        for first in range(start * self.batch, self.count, self.batch):
            yield self._made(slice(first, first + self.batch), order, here)

    def _drawn(self, number: int) -> tuple[Tensor, list[Tensor]]:
        """What is random in epoch `number`: the order, and on the device order, flips, shifts of all images."""
        generator = torch.Generator().manual_seed(derive_seed(self.seed, number))
        order = torch.randperm(self.count, generator=generator) if self.shuffle else torch.arange(self.count)
        drawn = (order, *self.augment.draw(self.count, generator))
        return order, [part.to(self.device.target) for part in drawn]  # one transfer an epoch

    def _made(self, part: slice, order: Tensor, here: list[Tensor], changed: bool = True) -> tuple[Tensor, Tensor]:
        """The images of that part of the order, and their labels; not `changed`: without augmentation."""
        rows, flips, shifts = (tensor[part] for tensor in here)
        images = self._images(order[part], rows)  # (B, H, W, 3) uint8
        if changed and self.augment:
            images = crop_and_flip(images, flips, shifts)
        x = self.normalisation.apply(images).contiguous(memory_format=self.device.memory_format)
        return x, self._targets[rows]

    def _images(self, rows: Tensor, rows_on_device: Tensor) -> Tensor:
        if self._resident is not None:
            return self._resident[rows_on_device]
        return torch.from_numpy(self.split.take(rows.numpy())[0]).to(self.device.target)


def _fits(size: int, target: torch.device) -> bool:
    """The one decision whether `size` bytes of images move to the device: if they leave half of it free.

    On the CPU they stay where they are: a memory map that the operating system keeps in memory while there is
    room, one copy for all notebooks that run at once.
    """
    if target.type == "cuda":
        return size <= torch.cuda.mem_get_info(target)[0] // 2
    if target.type == "mps":
        left = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
        return size <= min(left, available_memory()) // 2  # Apple's GPU shares the machine's memory
    return False
