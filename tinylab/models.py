"""The report's three networks: their lines of notation, their initialisation, and what they cost.

`build("model_1")` parses the report's own line and draws the weights; `summary(model)` counts.
"""

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tinylab import notation
from tinylab.errors import InvalidInputError, nearest, whole
from tinylab.layers import he_normal_
from tinylab.tables import Table

LINES: dict[str, str] = {
    "model_1": (
        "conv3-32 - relu - conv3-32 - relu - max pool - dropout - "
        "conv3-64 - relu - conv3-64 - relu - max pool - dropout - "
        "fc(512) - relu - dropout - softmax"
    ),
    "model_2": (
        "conv3-32 - relu - conv3-32 - relu - max pool - dropout - "
        "conv3-64 - relu - conv3-64 - relu - max pool - dropout - "
        "conv3-128 - relu - conv3-128 - relu - max pool - dropout - "
        "fc(512) - relu - dropout - softmax"
    ),
    "model_3": (
        "conv5-32 - relu - conv3-32 - relu - max pool - "
        "conv3-64 - relu - max pool - "
        "conv3-128 - relu - max pool - "
        "fc(256) - relu - dropout - fc(200) - softmax"
    ),
}  # section 3.3 of the report, word for word


@dataclass(frozen=True)
class Reported:
    """A row of the report's Table 1: accuracies between 0 and 1, on 200 classes."""

    train: float
    validation: float
    title: str  # as the report writes it


REPORTED: dict[str, Reported] = {
    "model_1": Reported(0.5693, 0.2435, "Model 1"),
    "model_2": Reported(0.1871, 0.1799, "Model 2"),
    "model_3": Reported(0.6236, 0.1560, "Model 3"),
}

INITIALISATIONS = ("he", "he everywhere")
LAST_LAYER = 0.1  # how much smaller the last layer starts under "he"


def build(
    name_or_line: str,
    classes: int = 200,
    *,
    dropout: float | None = None,
    seed: int | None = 0,
    initialisation: str = "he",
) -> nn.Sequential:
    """A network from a name ("model_1") or a line of notation, with freshly drawn weights.

    Input float32 (B, 3, 64, 64); output float32 (B, classes), logits.

    dropout         replaces the probability of every dropout layer, 0 ≤ p < 1; None: as the line says
    seed            the same seed gives the same weights on every machine of a kind; None: new ones each time.
                    The global random state is neither read nor moved.
    initialisation  see `initialise`

    Raises InvalidInputError for an unknown name (with the nearest one) or a bad line (with the layer).
    """
    with torch.random.fork_rng(devices=[]):  # the modules' own first draw, which `initialise` replaces
        model = notation.parse(_line(name_or_line), classes=classes)
    initialise(model, initialisation, seed=seed)
    if dropout is not None:
        set_dropout(model, dropout)
    return model


def initialise(model: nn.Module, initialisation: str = "he", *, seed: int | None = 0) -> None:
    """Draw all weights of convolutions and fully connected layers anew; biases become 0.

    "he"             normal with standard deviation sqrt(2 / fan_in) (He et al., 2015), the report's "Gaussian
                     initialization scaled by fan in"; a tenth of that in the last layer, where no relu
                     follows: logits near 0 make the first loss ln(classes), that of someone who only guesses.
    "he everywhere"  the report to the letter, the last layer included. Its first guesses are confident and
                     wrong: on 200 classes the first loss measured 8 to 17 (5.3 is ln 200).
    """
    if initialisation not in INITIALISATIONS:
        raise InvalidInputError(
            f"initialisation {initialisation!r} is unknown{nearest(initialisation, INITIALISATIONS)}"
        )
    generator = torch.Generator()
    generator.seed() if seed is None else generator.manual_seed(seed)
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        for layer in layers:
            small = LAST_LAYER if layer is layers[-1] and initialisation == "he" else 1.0
            he_normal_(layer.weight, small, generator)
            if layer.bias is not None:
                layer.bias.zero_()


def set_dropout(model: nn.Module, p: float) -> None:
    """Set every dropout layer of `model` to probability `p`, 0 ≤ p < 1, also in the middle of a run."""
    if isinstance(p, bool) or not isinstance(p, int | float) or not 0 <= p < 1:
        raise InvalidInputError(f"dropout is {p!r}. Allowed: a probability, 0 ≤ p < 1")
    for layer in model.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = float(p)


@dataclass(frozen=True)
class Row:
    """What one layer gives and costs, for a whole batch."""

    layer: str
    shape: tuple[int, ...]  # of the output, without the batch: (channels, height, width) or (units,)
    parameters: int
    multiply_adds: int  # of the forward pass, convolutions and fully connected layers
    bytes: int  # of the output


@dataclass(frozen=True)
class Summary:
    """A network layer by layer; prints as a table in a terminal and in a notebook."""

    rows: tuple[Row, ...]
    batch: int

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
        images = "1 image" if self.batch == 1 else f"{self.batch} images"
        return Table(columns, [_cells(row) for row in (*self.rows, total)], f"Forward pass of {images}")

    def __str__(self) -> str:
        return str(self.table())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def summary(model: nn.Sequential, size: int = 64, batch: int = 1) -> Summary:
    """Output shape, parameters, multiply-adds and memory of each layer.

    For the forward pass of `batch` images of size×size pixels.

    Nothing is computed: shapes run through a copy of the network that has no numbers in it.
    """
    whole("size", size, 1)
    whole("batch", batch, 1)
    shadow = copy.deepcopy(model).to("meta").eval()  # evaluation mode: batch norm accepts a single image
    first = next(layer for layer in shadow.modules() if isinstance(layer, nn.Conv2d | nn.Linear))
    channels = first.in_channels if isinstance(first, nn.Conv2d) else first.in_features // size**2
    x = torch.empty(batch, channels, size, size, device="meta")
    return Summary(tuple(_rows(shadow, x)), batch)


def _rows(model: nn.Sequential, x: Tensor) -> Iterator[Row]:
    for name, layer in model.named_children():
        x = layer(x)
        weights_used = 0
        if isinstance(layer, nn.Conv2d):
            weights_used = layer.weight.numel() * x.shape[-2] * x.shape[-1]  # all of them at every pixel
        elif isinstance(layer, nn.Linear):
            weights_used = layer.weight.numel()
        parameters = sum(p.numel() for p in layer.parameters())
        shape = tuple(x.shape[1:])
        yield Row(name, shape, parameters, len(x) * weights_used, x.numel() * x.element_size())


def _cells(row: Row) -> tuple[str, ...]:
    counts = (f"{count:,}" if count else "–" for count in (row.parameters, row.multiply_adds))
    return row.layer, " × ".join(map(str, row.shape)), *counts, f"{row.bytes / 2**20:.2f}"


def narrower(name_or_line: str, factor: int) -> str:
    """The line with `factor` times fewer filters and units in each layer, at least one: to try many things with.

    A quarter of the filters takes a fourteenth of Model 1's arithmetic. An fc directly before softmax stays: it has
    one unit per class. Raises InvalidInputError for an unknown network or a factor below 1.
    """
    whole("factor", factor, 1)

    def fewer(match: re.Match[str]) -> str:
        return f"{match[1]}{max(1, int(match[2]) // factor)}"

    layers = _line(name_or_line).split(" - ")
    narrowed = [re.sub(r"^(conv\d+-|fc\()(\d+)", fewer, layer) for layer in layers[:-2]]
    return " - ".join([*narrowed, *layers[-2:]])


def _line(name_or_line: str) -> str:
    """The line behind a name, or the line itself: a single unknown word is taken for a misspelt name."""
    if not isinstance(name_or_line, str):
        raise InvalidInputError(f"a network is a name or a line of notation, got {name_or_line!r}{nearest('', LINES)}")
    if name_or_line in LINES:
        return LINES[name_or_line]
    if " - " in name_or_line or name_or_line.strip() == "softmax":
        return name_or_line
    raise InvalidInputError(
        f"network {name_or_line!r} is unknown{nearest(name_or_line, LINES)}, or a line whose layers"
        " stand between ' - ', such as 'conv3-32 - relu - max pool - softmax'"
    )
