"""Activation maximisation: the image that a channel answers to most, found by gradient ascent on the image.

    colours = colour_basis(data.train)
    found = maximise(model, data.normalisation, 7, colours=colours)       # all channels of layer 7, in one batch
    early = maximise(model, data.normalisation, 7, method=METHOD_2016)    # as the report did it

`Method` is frozen, and its fields are the steps from the method of 2016 to the modern one. An ablation is
`dataclasses.replace(METHOD_2016, fourier=True)`; `ladder()` is the way from one end to the other.

METHOD_2016  Chollet, "How convolutional neural networks see the world" (2016), which the report cites
MODERN       Olah, Mordvintsev and Schubert, "Feature Visualization" (2017), transforms fitted to 64×64 pixels
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from tinylab.data.normalisation import Normalisation
from tinylab.filters.address import Address, chosen, find, frozen, module, up_to
from tinylab.filters.parametrisation import PIXEL, Image, disturbed
from tinylab.support.device import pick
from tinylab.support.errors import InvalidInputError, check_int, check_range
from tinylab.support.memory import keep_freed
from tinylab.support.seeds import derive_seed

EPSILON = 1e-5  # keeps the gradient of a silent channel from being divided by zero
CONTRAST = 0.2  # standard deviation round grey when a found image is drawn, in units of black to white


@dataclass(frozen=True)
class Method:
    """How the image is sought; the defaults are the method of 2016. Raises InvalidInputError if out of range."""

    # maximise the channel's value itself; if False, what is left of it after a relu, which where it is silent
    # has no slope: such channels keep their noise
    before_relu: bool = False
    bounded: bool = False  # a sigmoid keeps pixels in 0..255
    adam: bool = False  # Adam; if False, each step is the gradient divided by its root mean square
    fourier: bool = False  # the image is a sum of waves, slow ones easier to move; if False, single pixels
    colours: bool = False  # red, green and blue move together as they do in the data
    robust: bool = False  # the image is moved, scaled and turned a little before each step
    steps: int = 20  # 0: only the random start
    rate: float = 1.0  # of Adam: the learning rate; else pixel units (0..255) a step
    seed: int = 0  # of the random start and of the disturbances

    def __post_init__(self) -> None:
        for name in SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise InvalidInputError(f"{name} {getattr(self, name)!r} is not possible. Allowed: True or False")
        check_int("steps", self.steps, 0)
        check_int("seed", self.seed, 0)
        check_range("rate", self.rate, 0, math.inf, low_open=True)


SWITCHES = {
    "before_relu": "before the relu",
    "bounded": "kept in 0..255",
    "adam": "Adam, more steps",
    "fourier": "waves, not pixels",
    "colours": "colours of the data",
    "robust": "shaken at each step",
}  # in the order of the ladder, as pictures name them

METHOD_2016 = Method()
MODERN = Method(
    before_relu=True, bounded=True, adam=True, fourier=True, colours=True, robust=True, steps=128, rate=0.05
)  # fmt: skip


def ladder(bottom: Method = METHOD_2016, top: Method = MODERN) -> dict[str, Method]:
    """The methods from `bottom` to `top`, one switch at a time; steps and rate change with the optimizer.

    The first is `bottom` with top's seed, the last is `top`. Names say what is new.
    """
    rung = replace(bottom, seed=top.seed)
    rungs = {"as of 2016": rung}
    for name, says in SWITCHES.items():
        if getattr(rung, name) != getattr(top, name):
            rung = replace(rung, **{name: getattr(top, name)})
            if name == "adam":
                rung = replace(rung, steps=top.steps, rate=top.rate)
            rungs[says] = rung
    return rungs


@dataclass(frozen=True, eq=False)
class Synthetic:
    """What was found for N channels of a layer."""

    address: Address
    method: Method
    channels: np.ndarray  # int64 (N,), from 0
    images: np.ndarray  # float32 (N, H, W, 3), pixel units; without a bound they may leave 0..255
    values: np.ndarray  # float32 (N,), the channel's mean value before the relu, on its image, undisturbed

    def shown(self) -> np.ndarray:
        """uint8 (N, H, W, 3) to draw: each image with mean grey and the same contrast."""
        away = self.images - self.images.mean(axis=(1, 2, 3), keepdims=True)
        deviation = away.std(axis=(1, 2, 3), keepdims=True)
        return np.round(255 * np.clip(0.5 + CONTRAST * away / (deviation + EPSILON), 0, 1)).astype(np.uint8)


def maximise(
    model: nn.Sequential,
    normalisation: Normalisation,
    layer: int | str,
    *,
    channels: Sequence[int] | None = None,
    method: Method = MODERN,
    colours: np.ndarray | None = None,
) -> Synthetic:
    """For each channel of a layer the image that it answers to most: gradient ascent, all channels in one batch.

    Maximised is the mean of the channel's map (of a fully connected layer: the unit). Only the network up to the
    layer is computed, in evaluation mode; the model's modes and flags are restored. The global random state is neither
    read nor moved, and an image does not depend on which others are sought with it.

    normalisation  of the data that the network was trained on: it sees (pixels - mean image) / scale
    layer          number as the report counts, or name; a convolution or a fully connected layer
    channels       which, from 0; None: all
    colours        `colour_basis` of the data, (3, 3), if the method mixes colours

    Before the relu, the mean of a convolution's map does not tell where in its kernel the weights stand, only their
    sum for each input channel: the pattern that is drawn comes from the layers below.

    Raises InvalidInputError for a layer or channel that is not there, or for colours that are missing.
    """
    address, own = find(model, layer), module(model, layer)
    if not isinstance(own, nn.Conv2d | nn.Linear):
        raise InvalidInputError(
            f"{address} has no channels of its own. Allowed: a convolution or a fully connected layer, such as the one "
            "before it"
        )
    wanted = chosen(channels, len(own.weight), address)
    if method.colours and (colours is None or np.shape(colours) != (3, 3)):
        shape = "none" if colours is None else f"an array of shape {np.shape(colours)}"
        raise InvalidInputError(
            f"the method mixes colours as in the data, got {shape}. Give colours=colour_basis(data.train), (3, 3)"
        )
    device = pick()
    keep_freed()
    device.place(model)
    height, width, _ = normalisation.mean.shape
    image = Image(
        wanted,
        height,
        width,
        fourier=method.fourier,
        basis=colours if method.colours else None,
        bounded=method.bounded,
        seed=method.seed,
        device=device.target,
    )
    with frozen(model):
        value = _Value(up_to(model, layer), normalisation, wanted, device.target)
        _climb(image, value, method)
        with torch.no_grad():
            pixels = image.pixels()
            values = value(pixels)
    images = pixels.permute(0, 2, 3, 1).cpu().numpy()
    return Synthetic(address, method, wanted, images, values.cpu().numpy())


def _climb(image: Image, value: "_Value", method: Method) -> None:
    """Move the image's numbers uphill, `method.steps` times."""
    adam = torch.optim.Adam([image.numbers], lr=method.rate, maximize=True)
    disturbances = torch.Generator().manual_seed(derive_seed(method.seed))
    for _ in range(method.steps):
        pixels = image.pixels()
        if method.robust:
            pixels = disturbed(pixels, disturbances)
        # a sum of images that do not know of each other: each gets the gradient of its own channel
        total = value(pixels, rectified=not method.before_relu).sum()
        (image.numbers.grad,) = torch.autograd.grad(total, image.numbers)
        if method.adam:
            adam.step()
        else:
            _step_of_2016(image.numbers, image.numbers.grad, method.rate)


@torch.no_grad()
def _step_of_2016(numbers: Tensor, gradient: Tensor, rate: float) -> None:
    """One step uphill: the gradient of each image, divided by its root mean square."""
    axes = tuple(range(1, numbers.ndim))
    size = gradient.square().mean(dim=axes, keepdim=True).sqrt()
    numbers += rate * PIXEL * gradient / (size + EPSILON)


class _Value:
    """What channel i of the layer says to image i: pixels (N, 3, H, W) to (N,)."""

    def __init__(
        self, part: nn.Sequential, normalisation: Normalisation, channels: np.ndarray, device: torch.device
    ) -> None:
        self.part, self.channels = part, torch.from_numpy(channels).to(device)
        self.mean = torch.from_numpy(normalisation.mean).permute(2, 0, 1).to(device)  # (3, H, W)
        self.scale = torch.from_numpy(normalisation.scale)[:, None, None].to(device)

    def __call__(self, pixels: Tensor, rectified: bool = False) -> Tensor:
        maps = self.part((pixels - self.mean) / self.scale)  # (N, C, h, w), or (N, C) of a fully connected layer
        own = maps[torch.arange(len(maps), device=maps.device), self.channels]  # (N, h, w)
        own = own.relu() if rectified else own
        return own.flatten(1).mean(dim=1) if own.ndim > 1 else own
