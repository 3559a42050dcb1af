"""Batches made on the device: shuffled, cropped, flipped, normalised, boxes erased, in that order, all at once.

A batch leaves here as the network takes it: float32 (B, 3, H, W) in channels_last memory, which is how the
decoded images already lie, so nothing is copied to get there. There are no worker processes: after decoding,
what is left is one gather and one subtraction, quicker than handing images between processes.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from tinylab.device import Device, pick
from tinylab.errors import DataError, InvalidInputError, between, whole

if TYPE_CHECKING:  # dataset.py needs Normalisation from here
    from tinylab.data.dataset import Split

# 256 squares of a byte add up to 16,646,400 < 2**24, so float32 sums over this many images are exact
_EXACT_CHUNK = 256
_NO_LABEL = -1


def stream(seed: int, *path: int) -> int:
    """A seed for one use of randomness, from the run's seed and where it is used: (epoch, purpose, …).

    Neighbouring seeds and epochs give unrelated streams (numpy's SeedSequence); `seed + epoch` would not.
    """
    whole("seed", seed, 0)
    return int(np.random.SeedSequence((seed, *path)).generate_state(1, np.uint64)[0] >> 1)


@dataclass(frozen=True, eq=False)
class Normalisation:
    """What is subtracted from every image and what it is then divided by; from the training images only.

    mean:  float32 (H, W, 3), the mean image, in pixel units 0..255
    scale: float32 (3,), standard deviation of each colour channel after the mean image is subtracted, in
           pixel units. A channel that never varies has scale 1, so that it becomes zero instead of 0/0.
    """

    mean: np.ndarray
    scale: np.ndarray
    _on: dict[torch.device, tuple[Tensor, Tensor]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        mean = np.array(self.mean, dtype=np.float32)
        scale = np.array(self.scale, dtype=np.float32) * np.ones(mean.shape[-1:], np.float32)
        if mean.ndim != 3 or scale.ndim != 1:
            raise InvalidInputError(
                f"normalisation got a mean of shape {mean.shape}, a scale of shape {np.shape(self.scale)}. "
                "Allowed: a mean image (H, W, C), and one scale or one per channel"
            )
        if not (np.isfinite(mean).all() and np.isfinite(scale).all() and (scale > 0).all()):
            raise InvalidInputError("normalisation needs a finite mean image and scales above 0")
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "scale", scale)

    @classmethod
    def fit(cls, split: "Split") -> "Normalisation":
        """Mean image and scales of all images of `split`; exact sums, a few hundred images at a time.

        Raises DataError if there are no images.
        """
        count = len(split)
        if count == 0:
            raise DataError(f"split {split.name!r} has no images, so there is no mean image to subtract")
        total: np.ndarray | float = 0.0
        squares: np.ndarray | float = 0.0
        for start in range(0, count, _EXACT_CHUNK):
            images = split.take(np.arange(start, min(start + _EXACT_CHUNK, count)))[0].astype(np.float32)
            total = total + images.sum(axis=0).astype(np.float64)
            squares = squares + np.einsum("nhwc,nhwc->hwc", images, images).astype(np.float64)
        # whole numbers below 2**53 throughout, so a constant channel gives exactly 0
        variance = (count * np.asarray(squares) - np.square(total)).mean(axis=(0, 1)) / count**2  # (3,)
        scale = np.sqrt(variance)
        return cls(np.asarray(total) / count, np.where(scale > 0, scale, 1.0))

    def apply(self, images: Tensor | np.ndarray) -> Tensor:
        """uint8 (B, H, W, 3) to float32 (B, 3, H, W), channels_last in memory, on the device of `images`."""
        images = torch.as_tensor(images)
        if images.dtype != torch.uint8 or images.shape[1:] != self.mean.shape:
            raise InvalidInputError(
                f"images of shape {tuple(images.shape)}, {images.dtype} do not fit this normalisation. "
                f"Allowed: (B, {', '.join(map(str, self.mean.shape))}), torch.uint8"
            )
        if images.device not in self._on:  # uploaded once, not once a batch
            mean, scale = (torch.from_numpy(part).to(images.device) for part in (self.mean, self.scale))
            self._on[images.device] = mean, scale
        mean, scale = self._on[images.device]
        return images.float().sub_(mean).div_(scale).permute(0, 3, 1, 2)  # a view: NHWC memory is channels_last


@dataclass(frozen=True)
class Augment:
    """Random changes that leave the class alone. Raises InvalidInputError for what is out of range."""

    flip: bool = False  # left and right exchanged, for half of the images
    crop: int = 0  # pixels: largest shift up, down, left or right; edge pixels are repeated
    erase: float = 0.0  # chance of an image, 0 ≤ erase < 1, to lose a box, which then shows the mean image

    def __post_init__(self) -> None:
        if isinstance(self.crop, bool) or not isinstance(self.crop, int) or not 0 <= self.crop <= 32:
            raise InvalidInputError(f"crop {self.crop!r} is not possible. Allowed: whole pixels from 0 to 32")
        if not isinstance(self.flip, bool):
            raise InvalidInputError(f"flip {self.flip!r} is not possible. Allowed: True or False")
        between("erase", self.erase, 0, 1)

    def __bool__(self) -> bool:
        """Whether anything is shifted or mirrored; boxes are erased later, from the normalised images."""
        return self.flip or self.crop > 0

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """What happens to each of `count` images: flips bool (count,), shifts int64 (count, 2)."""
        flips = torch.rand(count, generator=generator) < (0.5 if self.flip else 0.0)
        shifts = torch.randint(-self.crop, self.crop + 1, (count, 2), generator=generator)
        return flips, shifts

    def boxes(self, count: int, height: int, width: int, generator: torch.Generator) -> Tensor:
        """The box that each of `count` images loses, int64 (count, 4): top, left, height, width; 0 pixels for none.

        Random erasing (Zhong et al., 2017): 2 % to 40 % of the area, sides in a ratio of 0.3 to 1/0.3. The paper draws
        again until the box fits; here its longer side is cut to the image's.
        """
        chance, area, ratio, top, left = torch.rand(5, count, generator=generator)
        area = (0.02 + 0.38 * area) * (height * width)
        ratio = (math.log(0.3) * (1 - 2 * ratio)).exp()
        h = (area * ratio).sqrt().round().clamp(max=height)
        w = (area / ratio).sqrt().round().clamp(max=width)
        places = ((top * (height - h + 1)).floor(), (left * (width - w + 1)).floor())
        return torch.stack([*places, h, w], dim=1).long() * (chance < self.erase)[:, None]

    def variants(self, image: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
        """`count` random variants of one image (H, W, 3) uint8, as (count, H, W, 3): what training sees, but boxes."""
        images = torch.from_numpy(np.repeat(image[None], count, axis=0))
        return crop_and_flip(images, *self.draw(count, torch.Generator().manual_seed(stream(seed)))).numpy()


def crop_and_flip(images: Tensor, flips: Tensor, shifts: Tensor) -> Tensor:
    """Shift image i by shifts[i] = (down, right) pixels, edge pixels repeated, then mirror it if flips[i].

    images (B, H, W, C) any dtype; flips bool (B,); shifts int64 (B, 2); returns (B, H, W, C). One gather does
    it for the whole batch: an image is its rows and columns looked up elsewhere.
    """
    B, H, W, _ = images.shape
    device = images.device
    rows = (torch.arange(H, device=device) - shifts[:, :1]).clamp(0, H - 1)  # (B, H)
    columns = (torch.arange(W, device=device) - shifts[:, 1:]).clamp(0, W - 1)  # (B, W)
    columns = torch.where(flips[:, None], columns.flip(1), columns)
    which = torch.arange(B, device=device)
    return images[which[:, None, None], rows[:, :, None], columns[:, None, :]]


def erase(x: Tensor, boxes: Tensor) -> Tensor:
    """Set box i of image i to 0, which is the mean image after normalisation.

    x float32 (B, C, H, W), changed in place and returned; boxes int64 (B, 4): top, left, height, width.
    """
    top, left, height, width = boxes.T[:, :, None]  # (B, 1) each
    rows, columns = (torch.arange(size, device=x.device) for size in x.shape[2:])
    within_rows = (rows >= top) & (rows < top + height)  # (B, H)
    within_columns = (columns >= left) & (columns < left + width)  # (B, W)
    return x.masked_fill_((within_rows[:, :, None] & within_columns[:, None, :])[:, None], 0.0)


class Batches:
    """One split, ready to be walked through any number of times. Iterate over `epoch(number)`.

    `count` images, `len()` batches an epoch; the last batch may be smaller. The order and the augmentation of
    an epoch depend on (seed, number) and nothing else, on any device: they are drawn on the CPU.

    With share=(rank, world) only every world-th image of each batch is made, from image `rank` on: several processes
    make the same batches together. A last batch with nothing left for this rank holds one image, which its share_of,
    0, lets count for nothing.
    """

    def __init__(
        self,
        split: "Split",
        normalisation: Normalisation,
        *,
        batch: int = 128,  # images
        device: Device | None = None,  # None: the best there is
        augment: Augment | None = None,
        shuffle: bool = False,
        seed: int = 0,
        share: tuple[int, int] = (0, 1),  # rank, world
    ) -> None:
        whole("batch", batch, 1)
        whole("the world of a share", share[1], 1, batch)
        whole("the rank of a share", share[0], 0, share[1] - 1)
        if len(split) == 0:
            raise DataError(f"split {split.name!r} has no images, so there are no batches to make")
        self.split, self.normalisation = split, normalisation
        self.batch, self.device, self.augment = batch, device or pick(), augment or Augment()
        self.shuffle, self.seed, self.share, self.count = shuffle, seed, share, len(split)
        self.labelled = split.targets is not None
        targets = np.full(self.count, _NO_LABEL) if split.targets is None else split.targets
        self._targets = torch.from_numpy(np.asarray(targets, dtype=np.int64)).to(self.device.target)
        self._resident: Tensor | None = None
        if _fits(self.count * normalisation.mean.size, self.device.target):
            self._resident = torch.from_numpy(split.take(np.arange(self.count))[0]).to(self.device.target)

    def __len__(self) -> int:
        return -(-self.count // self.batch)

    def images(self, position: int) -> int:
        """How many images batch `position` (from 1) has, those of the other ranks included."""
        return min(self.batch, self.count - (position - 1) * self.batch)

    def share_of(self, position: int) -> float:
        """The part (0..1) of batch `position` (from 1) that is this rank's."""
        rank, world = self.share
        return len(range(rank, self.images(position), world)) / self.images(position)

    def epoch(self, number: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of epoch `number`: x float32 (B, 3, H, W) normalised, y int64 (B,), -1 where unlabelled."""
        generator = torch.Generator().manual_seed(stream(self.seed, number))
        order = torch.randperm(self.count, generator=generator) if self.shuffle else torch.arange(self.count)
        changes: tuple[Tensor, ...] = self.augment.draw(self.count, generator)
        if self.augment.erase:
            height, width, _ = self.normalisation.mean.shape
            changes = *changes, self.augment.boxes(self.count, height, width, generator)
        here = [part.to(self.device.target) for part in (order, *changes)]  # one transfer an epoch
        rank, world = self.share
        for start in range(0, self.count, self.batch):
            part = slice(start + rank, min(start + self.batch, self.count), world)
            if part.start >= part.stop:
                part = slice(start, start + 1)
            rows, flips, shifts, *boxes = (tensor[part] for tensor in here)
            images = self._images(order[part], rows)  # (B, H, W, 3) uint8
            if self.augment:
                images = crop_and_flip(images, flips, shifts)
            x = self.normalisation.apply(images).contiguous(memory_format=self.device.memory_format)
            if boxes:
                x = erase(x, boxes[0])
            yield x, self._targets[rows]

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
        return size <= (torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()) // 2
    return False
