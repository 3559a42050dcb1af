"""Random changes of an image that leave its class alone: shifted, mirrored; whole batches at once."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tinylab.support.errors import InvalidInputError, check_int
from tinylab.support.seeds import derive_seed


@dataclass(frozen=True)
class Augment:
    """Random changes that leave the class alone. Raises InvalidInputError for what is out of range."""

    flip: bool = False  # left and right exchanged, for half of the images
    crop: int = 0  # pixels: largest shift up, down, left or right; edge pixels are repeated

    def __post_init__(self) -> None:
        check_int("crop", self.crop, 0, 32)
        if not isinstance(self.flip, bool):
            raise InvalidInputError(f"flip {self.flip!r} is not possible. Allowed: True or False")

    def __bool__(self) -> bool:
        """Whether anything is shifted or mirrored."""
        return self.flip or self.crop > 0

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """What happens to each of `count` images: flips bool (count,), shifts int64 (count, 2)."""
        flips = torch.rand(count, generator=generator) < (0.5 if self.flip else 0.0)
        shifts = torch.randint(-self.crop, self.crop + 1, (count, 2), generator=generator)
        return flips, shifts

    def variants(self, image: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
        """`count` random variants of one image (H, W, 3) uint8, as (count, H, W, 3): what training sees."""
        images = torch.from_numpy(np.repeat(image[None], count, axis=0))
        return crop_and_flip(images, *self.draw(count, torch.Generator().manual_seed(derive_seed(seed)))).numpy()


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
