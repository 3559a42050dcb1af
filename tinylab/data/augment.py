"""Random changes of an image that leave its class alone: shifted, mirrored, a box erased; whole batches at once."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tinylab.support.errors import InvalidInputError, check_int, check_range
from tinylab.support.seeds import derive_seed


@dataclass(frozen=True)
class Augment:
    """Random changes that leave the class alone. Raises InvalidInputError for what is out of range."""

    flip: bool = False  # left and right exchanged, for half of the images
    crop: int = 0  # pixels: largest shift up, down, left or right; edge pixels are repeated
    erase: float = 0.0  # chance of an image, 0 ≤ erase < 1, to lose a box, which then shows the mean image

    def __post_init__(self) -> None:
        check_int("crop", self.crop, 0, 32)
        if not isinstance(self.flip, bool):
            raise InvalidInputError(f"flip {self.flip!r} is not possible. Allowed: True or False")
        check_range("erase", self.erase, 0, 1)

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


def erase(x: Tensor, boxes: Tensor) -> Tensor:
    """Set box i of image i to 0, which is the mean image after normalisation.

    x float32 (B, C, H, W), changed in place and returned; boxes int64 (B, 4): top, left, height, width.
    """
    top, left, height, width = boxes.T[:, :, None]  # (B, 1) each
    rows, columns = (torch.arange(size, device=x.device) for size in x.shape[2:])
    within_rows = (rows >= top) & (rows < top + height)  # (B, H)
    within_columns = (columns >= left) & (columns < left + width)  # (B, W)
    return x.masked_fill_((within_rows[:, :, None] & within_columns[:, None, :])[:, None], 0.0)
