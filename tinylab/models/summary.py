"""What a network costs, layer by layer: shapes, parameters, multiply-adds, memory."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tinylab.support.errors import check_int
from tinylab.support.table import Table


@dataclass(frozen=True)
class Row:
    """What one layer, or one block of layers, gives and costs, for one image."""

    layer: str
    shape: tuple[int, ...]  # of the output, without the batch: (channels, height, width) or (units,)
    parameters: int
    multiply_adds: int  # of the forward pass, convolutions and fully connected layers
    bytes: int  # of the output; of a block: of all outputs within


@dataclass(frozen=True)
class Summary:
    """A network layer by layer; prints as a table in a terminal and in a notebook."""

    rows: tuple[Row, ...]

    @property
    def parameters(self) -> int:
        return sum(row.parameters for row in self.rows)

    @property
    def multiply_adds(self) -> int:
        return sum(row.multiply_adds for row in self.rows)

    @property
    def bytes(self) -> int:
        """Memory of all outputs together, which training keeps for the way back."""
        return sum(row.bytes for row in self.rows)

    def table(self) -> Table:
        total = Row("total", (), self.parameters, self.multiply_adds, self.bytes)
        columns = ("layer", "output", "parameters", "multiply-adds", "memory (MiB)")
        return Table(columns, [_cells(row) for row in (*self.rows, total)], "Forward pass of 1 image")

    def __str__(self) -> str:
        return str(self.table())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def summary(model: nn.Sequential, size: int = 64) -> Summary:
    """Output shape, parameters, multiply-adds and memory of each layer, or block of layers, of `model`.

    For the forward pass of one image of size×size pixels.

    Nothing is computed: shapes run through a copy of the network that has no numbers in it.
    """
    check_int("size", size, 1)
    shadow = copy.deepcopy(model).to("meta").eval()  # evaluation mode: batch norm accepts a single image
    first = next(layer for layer in shadow.modules() if isinstance(layer, nn.Conv2d | nn.Linear))
    channels = first.in_channels if isinstance(first, nn.Conv2d) else first.in_features // size**2
    x = torch.empty(1, channels, size, size, device="meta")
    return Summary(tuple(_rows(shadow, x)))


def _rows(model: nn.Sequential, x: Tensor) -> Iterator[Row]:
    work: list[tuple[int, int]] = []  # (multiply-adds, bytes) of each innermost layer

    def note(layer: nn.Module, _: object, out: Tensor) -> None:
        weights_used = 0
        if isinstance(layer, nn.Conv2d | nn.Linear):
            places = out.numel() // out.shape[1]  # a convolution uses all its weights at every pixel
            weights_used = layer.weight.numel() * places
        work.append((weights_used, out.numel() * out.element_size()))

    for layer in model.modules():
        innermost = next(layer.children(), None) is None and not isinstance(layer, nn.Sequential | nn.Identity)
        if innermost:
            layer.register_forward_hook(note)
    for name, layer in model.named_children():
        work.clear()
        x = layer(x)
        parameters = sum(p.numel() for p in layer.parameters())
        multiply_adds = sum(count for count, _ in work)
        yield Row(name, tuple(x.shape[1:]), parameters, multiply_adds, sum(memory for _, memory in work))


def _cells(row: Row) -> tuple[str, ...]:
    counts = (f"{count:,}" if count else "–" for count in (row.parameters, row.multiply_adds))
    return row.layer, " × ".join(map(str, row.shape)), *counts, f"{row.bytes / 2**20:.2f}"
