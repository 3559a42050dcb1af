"""Which layer is meant, and the part of the network that leads up to it.

The report says "the seventh layer of Model 1" and counts as Keras did: every module of the line is a layer, the
first has number 1. So the seventh is the first `conv3-64`, and its value is the one *before* the relu, which is
layer 8. `find(model, 7)` and `find(model, "conv3-64")` mean the same layer.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from tinylab.models.resnet import Residual
from tinylab.support.errors import InvalidInputError, nearest
from tinylab.support.table import Table


@dataclass(frozen=True)
class Address:
    """A layer: its number as the report counts, from 1, and its name in the network."""

    number: int
    name: str

    def __str__(self) -> str:
        return f"layer {self.number}, {self.name}"


def find(model: nn.Sequential, layer: int | str) -> Address:
    """The layer with that number (1 is the first) or that name ("conv3-64", "conv3-64_2").

    Raises InvalidInputError for a layer that is not there, with the range of numbers or the nearest name.
    """
    if not isinstance(model, nn.Sequential) or len(model) == 0:
        raise InvalidInputError(
            f"layers are counted in a network made of a line, got a {type(model).__name__}. Build one: models.build(…)"
        )
    names = [name for name, _ in model.named_children()]
    if isinstance(layer, str):
        if layer not in names:
            raise InvalidInputError(f"layer {layer!r} is not in this network{nearest(layer, names)}")
        return Address(names.index(layer) + 1, layer)
    if isinstance(layer, bool) or not isinstance(layer, int) or not 1 <= layer <= len(names):
        raise InvalidInputError(
            f"layer {layer!r} is not in this network. Allowed: 1 ({names[0]}) to {len(names)} ({names[-1]}), or a name"
        )
    return Address(layer, names[layer - 1])


def module(model: nn.Sequential, layer: int | str) -> nn.Module:
    """The module at that address. Raises as `find` does."""
    return model[find(model, layer).number - 1]


def chosen(channels: Sequence[int] | np.ndarray | None, count: int, address: Address) -> np.ndarray:
    """The channels asked for, int64 (N,), of `count`; None: all. InvalidInputError for one that is not there."""
    wanted = np.arange(count) if channels is None else np.asarray(channels, dtype=np.int64)
    if len(wanted) == 0 or wanted.min() < 0 or wanted.max() >= count:
        raise InvalidInputError(f"channels {wanted.tolist()} of {address}. Allowed: 0 to {count - 1}, or None for all")
    return wanted


def up_to(model: nn.Sequential, layer: int | str) -> nn.Sequential:
    """The network from the image to this layer, that layer included: what comes out is its value.

    The modules are the network's own, not copies. What comes later, fc(512) for instance, is never computed.
    """
    return model[: find(model, layer).number]  # type: ignore[return-value]  # a slice is a Sequential


def counted(model: nn.Sequential) -> Table:
    """The layers with their numbers, and how many pixels of the image one of their numbers depends on."""
    rows = []
    for number, (name, _) in enumerate(model.named_children(), start=1):
        try:
            field = receptive_field(model, number)
            sees = f"{field.size} × {field.size} pixels"
        except InvalidInputError:
            sees = "the whole image"
        rows.append([number, name, sees])
    return Table(["layer", "name", "one number sees"], rows, "Layers as the report counts them")


@dataclass(frozen=True)
class Field:
    """The receptive field: number (i, j) of a map sees `size` pixels each way, from `start + stride·i` on.

    `start` is negative where the field begins outside the image, in the zeros of 'same' padding.
    """

    size: int  # pixels
    stride: int  # pixels between the fields of neighbouring numbers
    start: int  # pixel, may be negative

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """Top, left (inclusive), bottom, right (exclusive) in pixels; may reach outside the image."""
        top, left = self.start + self.stride * row, self.start + self.stride * column
        return top, left, top + self.size, left + self.size


def receptive_field(model: nn.Sequential, layer: int | str) -> Field:
    """What one number of a map can see, computed from the layers up to it.

    Of a residual block the branch counts: its shortcut sees less. Raises InvalidInputError from the first flatten, or
    pooling of whole maps, on: there one number sees the whole image.
    """
    size, stride, start = 1, 1, 0
    for name, outer in up_to(model, layer).named_children():
        for one in outer.branch if isinstance(outer, Residual) else (outer,):
            if isinstance(one, nn.Conv2d | nn.MaxPool2d):
                kernel, padding, step = (_side(value) for value in (one.kernel_size, one.padding, one.stride))
                size, start = size + (kernel - 1) * stride, start - padding * stride
                stride *= step
            elif isinstance(one, nn.Flatten | nn.Linear | nn.AdaptiveAvgPool2d):
                raise InvalidInputError(
                    f"{find(model, layer)} comes after {name!r}, or is it, so it sees the whole image. Take a layer "
                    "before it"
                )
    return Field(size, stride, start)


def _side(value: Any) -> int:
    """One number of torch's `3` or `(3, 3)`."""
    return int(value[0] if isinstance(value, tuple) else value)


@contextlib.contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and weights without gradients inside; every mode and flag its own again after, come what may.

    Other than in `training.evaluating`, gradients still flow to the image.
    """
    modes = [(one, one.training) for one in model.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    model.eval()
    model.requires_grad_(False)
    try:
        yield
    finally:
        for one, mode in modes:
            one.training = mode
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
