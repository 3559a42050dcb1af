"""The mean image is subtracted, the result divided by a scale: both from the training images, and from no others.

Fitting looks at every image: two to seven seconds for all of Tiny ImageNet (n = 3, two busy cores), every time a data
set is loaded. So what was fitted to a large split is kept beside its images. It belongs to one build of the cache and
to one choice of images, and goes when the build goes.
"""

import contextlib
import hashlib
import io
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tinylab.data.split import Split
from tinylab.support.errors import DataError, FileError, InvalidInputError, TinylabError
from tinylab.support.files import atomic_write

KEPT_FROM = 5000  # images; fewer are fitted in a moment
# 256 squares of a byte add up to 16,646,400 < 2**24, so float32 sums over this many images are exact
_EXACT_CHUNK = 256


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
    def fit(cls, split: Split) -> "Normalisation":
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


def fitted(split: Split) -> Normalisation:
    """Mean image and scale of all images of `split`, from the file beside the cache if there is one.

    A cache that cannot be written, or a file that is damaged, only means that they are fitted now. Raises DataError if
    there are no images.
    """
    path = _place(split)
    kept = None if path is None else _read(path, split.images.shape[1:])
    if kept is not None:
        return kept
    made = Normalisation.fit(split)
    if path is not None:
        with contextlib.suppress(FileError):
            _write(path, made)
    return made


def _place(split: Split) -> Path | None:
    """Where it is kept: in the folder of the images' own file. None for images that come from no cache, and for few."""
    if len(split) < KEPT_FROM or not isinstance(split.images, np.memmap) or split.images.filename is None:
        return None
    which = hashlib.sha256(np.ascontiguousarray(split.index).tobytes()).hexdigest()[:16]
    return Path(split.images.filename).parent / f"{split.name}_normalisation_{which}.npz"


def _read(path: Path, shape: tuple[int, ...]) -> Normalisation | None:
    try:
        with np.load(path, allow_pickle=False) as parts:
            made = Normalisation(parts["mean"], parts["scale"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, TinylabError):
        return None
    return made if made.mean.shape == shape else None


def _write(path: Path, made: Normalisation) -> None:
    """Whole or not at all: another notebook may read it in this moment."""
    stream = io.BytesIO()
    np.savez(stream, mean=made.mean, scale=made.scale)
    atomic_write(path, stream.getbuffer())
