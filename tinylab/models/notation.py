"""The report's own notation for networks, read into modules and printed back.

    conv3-32 - relu - max pool - dropout - fc(512) - relu - dropout - softmax

Layers stand between hyphens with a space on either side; `convK-N` has N filters of K×K pixels.

    convK-N        convolution, K odd, padded so that height and width stay ('same')
    relu           max(0, x)
    max pool       the largest of each 2×2 window; halves height and width
    dropout        0.25 among feature maps, 0.50 from the first fc on (the report's two values)
    dropout(p)     the same with p of your choice, 0 ≤ p < 1
    batch norm     batch normalisation, per channel or per unit
    fc(N)          fully connected, N units
    softmax        ends every line; `dropout - softmax` implies a last fc with one unit per class

The networks return logits, not probabilities: the softmax itself belongs to the loss, which computes it
without overflow (`layers.softmax_cross_entropy`, `torch.nn.functional.cross_entropy`).
"""

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from tinylab.models import fast_layers
from tinylab.support.errors import InvalidInputError, check_int, nearest

LAYERS = ("conv3-32", "relu", "max pool", "dropout", "dropout(0.3)", "batch norm", "fc(512)", "softmax")
REPORT_CLASSES = 200  # fc(200) in the report's Model 3 is "one unit per class", whatever the number of classes
LARGEST_KERNEL = 31
MOST_UNITS = 65_536  # of one layer
MOST_WEIGHTS = 500_000_000  # of one layer: 2 GB in float32

_HYPHEN = re.compile(r"(?<=\s)[-–—](?=\s)")  # the one inside conv3-32 has no space around it
_CONV = re.compile(r"conv([0-9]{1,9})-([0-9]{1,9})")
_FC = re.compile(r"fc\(([0-9]{1,9})\)")
_DROPOUT = re.compile(r"dropout(?:\((.*)\))?")
_IMPLIED = "softmax: "  # starts the name of an fc that the line did not write down


@dataclass
class _Shape:
    """What leaves the layers read so far: feature maps (`units` is None), or a vector of `units` numbers."""

    channels: int
    size: int  # pixels, height = width
    units: int | None = None


@dataclass(frozen=True)
class _Token:
    """One layer of the line as it was written, and where it stands."""

    text: str  # lower case, single spaces
    position: int  # 1 for the first layer
    character: int  # of the line, 1 for the first

    def error(self, what: str) -> InvalidInputError:
        where = f"layer {self.position} {self.text!r} (character {self.character} of the line)"
        return InvalidInputError(f"{where} {what}")


def parse(architecture: str, *, classes: int = 200, size: int = 64) -> nn.Sequential:
    """The network that a line of notation describes, weights as PyTorch draws them (see `models.build`).

    Input  float (B, 3, size, size); output float (B, classes), logits.
    Children are named after their layer: `conv3-32`, the second of a kind `conv3-32_2`. A `flatten` stands
    before the first fully connected layer. The fc that a bare softmax implies is called `softmax: fc(200)`.
    An `fc(N)` directly before softmax has one unit per class: N is `classes`, or the report's own 200, which
    then stands for `classes` as well.

    Raises InvalidInputError naming the layer, its position, and the nearest one that exists.
    """
    check_int("classes", classes, 2)
    check_int("size", size, 1)
    tokens = list(_tokens(architecture))
    if not tokens or tokens[-1].text != "softmax":
        end = f"ends in {tokens[-1].text!r}" if tokens else "is empty"
        raise InvalidInputError(f"the line {end}. A network's last layer is softmax: add ' - softmax'")
    model, shape = nn.Sequential(), _Shape(3, size)
    *layers, softmax = tokens
    for token in layers:
        for name, layer in _modules(token, shape, classes, last=token is layers[-1]):
            model.add_module(_unique(name, model), layer)
    if not layers or not _FC.fullmatch(layers[-1].text):
        for name, layer in _fully_connected(softmax, classes, shape):
            model.add_module(_IMPLIED + name if isinstance(layer, nn.Linear) else name, layer)
    return model


def format(model: nn.Sequential) -> str:
    """The line of notation that describes `model`; `parse(format(model), classes=…)` builds its twin.

    Written from the modules as they are now: a dropout that was changed says so, and one that has its
    default probability is plain `dropout`. Raises InvalidInputError for a module outside the notation.
    """
    texts: list[str] = []
    flat = False
    for name, layer in model.named_children():
        flat = flat or isinstance(layer, nn.Flatten)
        if not isinstance(layer, nn.Flatten) and not name.startswith(_IMPLIED):
            texts.append(_text(name, layer, flat))
    return " - ".join([*texts, "softmax"])


def _tokens(architecture: str) -> Iterator[_Token]:
    if not isinstance(architecture, str):
        raise InvalidInputError(f"a line is text, such as 'conv3-32 - relu - softmax'; got {architecture!r}")
    if not architecture.strip():
        return
    starts = [0, *(hyphen.end() for hyphen in _HYPHEN.finditer(architecture))]
    for position, (start, text) in enumerate(zip(starts, _HYPHEN.split(architecture), strict=True), start=1):
        indent = len(text) - len(text.lstrip())
        yield _Token(" ".join(text.lower().split()), position, start + indent + 1)


def _modules(token: _Token, shape: _Shape, classes: int, last: bool) -> list[tuple[str, nn.Module]]:
    """The modules of one token, with their names; moves `shape` to what leaves them."""
    if match := _CONV.fullmatch(token.text):
        kernel, filters = int(match[1]), int(match[2])
        return [(f"conv{kernel}-{filters}", _convolution(token, kernel, filters, shape))]
    if match := _FC.fullmatch(token.text):
        return _fully_connected(token, _width(token, int(match[1]), classes, last), shape)
    if match := _DROPOUT.fullmatch(token.text):
        flat = shape.units is not None
        p = _default_dropout(flat) if match[1] is None else _probability(token, match[1])
        return [("dropout", fast_layers.Dropout(p))]
    match token.text:
        case "relu":
            return [("relu", nn.ReLU())]
        case "max pool":
            return [("max pool", _max_pool(token, shape))]
        case "batch norm":
            maps = shape.units is None
            return [("batch norm", nn.BatchNorm2d(shape.channels) if maps else nn.BatchNorm1d(shape.units or 0))]
        case "softmax":
            raise token.error("ends the network, yet more layers follow. Leave it out here")
    apart = ". Layers stand between ' - ', a hyphen with a space on either side" if "-" in token.text else ""
    raise token.error(f"is not in the notation{nearest(token.text, LAYERS)}{apart}")


def _convolution(token: _Token, kernel: int, filters: int, shape: _Shape) -> nn.Conv2d:
    _need_maps(token, shape)
    if kernel % 2 == 0:
        raise token.error(f"has an even kernel, which no padding can centre. Use conv{kernel + 1}-{filters}")
    if kernel > LARGEST_KERNEL:
        raise token.error(f"has a kernel of {kernel}×{kernel}. Allowed: odd, up to {LARGEST_KERNEL}")
    _check_units(token, filters, kernel**2 * shape.channels)
    before, shape.channels = shape.channels, filters
    return nn.Conv2d(before, filters, kernel, padding=kernel // 2)


def _max_pool(token: _Token, shape: _Shape) -> nn.MaxPool2d:
    _need_maps(token, shape)
    if shape.size < 2:
        raise token.error("has only 1×1 maps left to pool. Leave it out, or start from larger images")
    shape.size //= 2
    return fast_layers.MaxPool2d(2)


def _fully_connected(token: _Token, units: int, shape: _Shape) -> list[tuple[str, nn.Module]]:
    """The fc, and before the first one the flattening of the maps to a vector."""
    flatten: list[tuple[str, nn.Module]] = [] if shape.units is not None else [("flatten", nn.Flatten())]
    inputs = shape.channels * shape.size**2 if shape.units is None else shape.units
    _check_units(token, units, inputs)
    shape.units = units
    return [*flatten, (f"fc({units})", nn.Linear(inputs, units))]


def _width(token: _Token, units: int, classes: int, last: bool) -> int:
    """How many units an fc(N) gets: N, or `classes` directly before softmax."""
    if last and units not in (classes, REPORT_CLASSES):
        raise token.error(f"is the last before softmax, with {classes} classes. Write fc({classes}), or no fc")
    return classes if last else units


def _check_units(token: _Token, units: int, fan_in: int) -> None:
    """A slip of the keyboard gets a message; it shall not exhaust the memory."""
    if not 1 <= units <= MOST_UNITS:
        raise token.error(f"asks for {units} units. Allowed: 1 to {MOST_UNITS}")
    if units * fan_in > MOST_WEIGHTS:
        raise token.error(f"needs {units * fan_in:,} weights. Allowed: up to {MOST_WEIGHTS:,}; pool more, or use fewer")


def _probability(token: _Token, text: str) -> float:
    try:
        p = float(text)
    except ValueError:
        p = math.nan
    if not 0 <= p < 1:  # also refuses nan
        raise token.error("needs a probability, 0 ≤ p < 1, such as dropout(0.3)")
    return p


def _default_dropout(flat: bool) -> float:
    return 0.5 if flat else 0.25


def _need_maps(token: _Token, shape: _Shape) -> None:
    if shape.units is not None:
        raise token.error("needs feature maps, but fully connected layers have begun. Move it before the first fc")


def _unique(name: str, model: nn.Sequential) -> str:
    """`name`, or `name_2`, `name_3` … for the second and third of a kind."""
    taken = dict(model.named_children())
    candidates = itertools.chain([name], (f"{name}_{count}" for count in itertools.count(2)))
    return next(candidate for candidate in candidates if candidate not in taken)


def _text(name: str, layer: nn.Module, flat: bool) -> str:
    """The token of one module; `flat` once fully connected layers have begun."""
    match layer:
        case nn.Conv2d():
            return f"conv{layer.kernel_size[0]}-{layer.out_channels}"
        case nn.ReLU():
            return "relu"
        case nn.MaxPool2d():
            return "max pool"
        case nn.Dropout():
            return "dropout" if layer.p == _default_dropout(flat) else f"dropout({layer.p!r})"
        case nn.BatchNorm2d() | nn.BatchNorm1d():
            return "batch norm"
        case nn.Linear():
            return f"fc({layer.out_features})"
    raise InvalidInputError(f"{name!r}, a {type(layer).__name__}, has no name in the notation")
