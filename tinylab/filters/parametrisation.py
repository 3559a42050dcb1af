"""How the image that is sought is written down: as pixels or as waves, each colour alone or mixed as in the data.

An `Image` turns numbers that an optimizer moves into pixels 0..255. Methods: Fourier coefficients, colours and the
sigmoid after Olah, Mordvintsev and Schubert, "Feature Visualization" (Distill, 2017).
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from tinylab.support.errors import InvalidInputError
from tinylab.support.seeds import derive_seed

if TYPE_CHECKING:
    from tinylab.data.split import Split

NOISE = 20.0  # pixel units: width of the uniform noise on grey that the ascent of 2016 starts from
SMALL = 0.01  # standard deviation of the Fourier coefficients at the start
CALM = 4  # waves are divided by it, as in Lucid (2018): without, a few steps of Adam make all black or white
GREY = 127.5
MOST_IMAGES = 2000  # that the covariance of colours is measured on: nine numbers need no more


def frequencies(height: int, width: int) -> Tensor:
    """How many cycles per pixel each coefficient of `rfft2` stands for: float32 (H, W // 2 + 1), 0 to 0.71."""
    down = torch.fft.fftfreq(height)[:, None]
    across = torch.fft.rfftfreq(width)[None, :]
    return torch.sqrt(down**2 + across**2)


def from_waves(coefficients: Tensor, height: int, width: int) -> Tensor:
    """Coefficients (…, H, W // 2 + 1, 2), real and imaginary part, to images (…, H, W).

    Each is multiplied by 1 / max(f, 1 / max(H, W)), f its frequency in cycles per pixel, so that the same small step
    moves slow waves more than fast ones, as in photographs; then comes the inverse FFT ("ortho").
    """
    scale = 1 / frequencies(height, width).clamp(min=1 / max(height, width))
    spectrum = torch.view_as_complex(coefficients.contiguous()) * scale.to(coefficients)
    return torch.fft.irfft2(spectrum, s=(height, width), norm="ortho")


def colour_basis(images: "np.ndarray | Split") -> np.ndarray:
    """A mixture L, float64 (3, 3), with L·Lᵀ the covariance of the colours of these images (0..1 units).

    Three independent numbers of variance 1, multiplied by L, vary together as red, green and blue of a pixel do in
    the data. images: uint8 (N, H, W, 3), or a split, of which at most 2,000 images spread over it are read. A
    covariance without full rank, of grey images for instance, is allowed: L is its symmetric root.
    """
    if not isinstance(images, np.ndarray):
        images = images.take(np.unique(np.linspace(0, len(images) - 1, min(MOST_IMAGES, len(images))).astype(int)))[0]
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8 or len(images) == 0:
        raise InvalidInputError(
            f"colours were to be measured on {images.dtype} of shape {images.shape}. Allowed: uint8 (N, H, W, 3), N ≥ 1"
        )
    colours = images.reshape(-1, 3).astype(np.float64) / 255
    covariance = np.cov(colours, rowvar=False, bias=True)
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T  # type: ignore[no-any-return]


class Image:
    """N images of one size that are still to be found; `numbers` is what an optimizer moves, `pixels()` reads it out.

    fourier    the numbers are coefficients of waves, not pixels
    basis      (3, 3): mixes the three numbers of a pixel into colours; None: they are the colours
    bounded    a sigmoid keeps pixels in 0..255; otherwise they may leave it. In mid-grey both have the same slope
    Each image's random start depends on (seed, its channel) and nothing else, so that an image comes out the same
    alone and in any company.
    """

    def __init__(
        self,
        channels: Sequence[int] | np.ndarray,
        height: int,
        width: int,
        *,
        fourier: bool,
        basis: np.ndarray | None,
        bounded: bool,
        seed: int,
        device: torch.device,
    ) -> None:
        self.height, self.width, self.fourier, self.bounded = height, width, fourier, bounded
        starts = [self._start(torch.Generator().manual_seed(derive_seed(seed, channel))) for channel in channels]
        self.numbers = torch.stack(starts).to(device).requires_grad_()
        self.mix: Tensor | None = None
        if basis is not None:
            # the largest column gets length 1: only how colours hang together counts, not how bright the data is
            largest = max(float(np.linalg.norm(basis, axis=0).max()), 1e-12)
            self.mix = torch.from_numpy(basis / largest).float().to(device)

    def _start(self, generator: torch.Generator) -> Tensor:
        if self.fourier:
            return SMALL * torch.randn(3, self.height, self.width // 2 + 1, 2, generator=generator)
        noise = torch.rand(3, self.height, self.width, generator=generator) - 0.5
        return 4 * NOISE / 255 * noise  # ±10 pixel units round grey

    def pixels(self) -> Tensor:
        """float32 (N, 3, H, W), 0..255 if bounded; gradients flow back to `numbers`."""
        z = from_waves(self.numbers, self.height, self.width) / CALM if self.fourier else self.numbers
        if self.mix is not None:
            z = torch.einsum("rc,nchw->nrhw", self.mix, z)
        return 255 * torch.sigmoid(z) if self.bounded else GREY + 255 / 4 * z  # the sigmoid's slope at 0 is 1/4


PIXEL = 4 / 255  # one pixel unit at mid-grey, in the units of `numbers` of an image that is neither waves nor mixed

JITTER, FINE_JITTER, SCALE, TURN = 2.0, 1.0, 0.05, math.radians(5)


def disturbed(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """The images (N, 3, H, W) moved, scaled and turned a little, all of them alike; grey comes in at the border.

    Shift ±2 pixels, scale 0.95 to 1.05, turn ±5°, shift ±1 pixel, in one resampling: blurring once, not four times.
    For images of 64×64; a picture that survives this does not depend on the exact place of any pixel.
    """
    first, turn, size, second = (2 * torch.rand(n, generator=generator) - 1 for n in (2, 1, 1, 2))
    angle, scale = TURN * turn.item(), 1 + SCALE * size.item()
    cosine, sine = math.cos(angle) / scale, math.sin(angle) / scale
    rotation = torch.tensor([[cosine, -sine], [sine, cosine]])
    shift = rotation @ (JITTER * first) + FINE_JITTER * second  # pixels
    height, width = pixels.shape[-2:]
    side = torch.tensor([2 / width, 2 / height])  # grid_sample's units: the image is 2 wide and 2 high
    theta = torch.cat([rotation, (shift * side)[:, None]], dim=1)[None].to(pixels)  # (1, 2, 3)
    grid = torch.nn.functional.affine_grid(theta, [1, 3, height, width], align_corners=False)
    grid = grid.expand(len(pixels), -1, -1, -1)
    moved = torch.nn.functional.grid_sample(pixels - GREY, grid, align_corners=False)  # zeros outside: grey
    return moved + GREY
