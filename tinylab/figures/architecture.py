"""Networks drawn to scale from their line: maps and channels as blocks, parameters and arithmetic as bars below."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Polygon, Rectangle
from torch import nn

from tinylab.figures.style import BLUE, INK, VERMILLION, Picture, drawn, dress, listed, quantity, style_of
from tinylab.models import Summary, summary
from tinylab.support.errors import InvalidInputError

_FACE, _SIDE, _TOP = "#CFE3F1", "#9CC4E0", "#E6F1F8"
_CHANNEL = 0.16  # of the width of a pixel: how deep a channel is drawn
_Block = tuple[str, tuple[int, ...], int, int]  # name, shape, parameters, multiply-adds


@drawn
def networks(models: Mapping[str, nn.Sequential]) -> Picture:
    """A row for each network: what leaves each convolution, pooling and fully connected layer, to one scale.

    Blocks: height is that of the maps in pixels, depth the number of channels; a fully connected layer is a column
    of units. Under each block, its share of the network's parameters (blue) and of its multiply-adds (vermillion).

    models: {"Model 1": network from `models.build`}, 1 to 3. Raises InvalidInputError for another number of them.
    """
    if not 1 <= len(models) <= 3:
        raise InvalidInputError(f"networks got {len(models)} networks. Allowed: 1 to 3 in one picture")
    picture = Picture(9.4, 0.4 + 2.2 * len(models))
    panels = np.atleast_2d(picture.subplots(2 * len(models), 1, height_ratios=(2.1, 1) * len(models))).reshape(-1, 2)
    counted = {name: summary(model) for name, model in models.items()}
    most = max(len(_blocks(found)) for found in counted.values())
    said = []
    for (upper, lower), (name, found) in zip(panels, counted.items(), strict=True):
        blocks = _blocks(found)
        head = f"{name}: {found.parameters:,} parameters, {quantity(found.multiply_adds)} multiply-adds"
        dress(upper, head, grid=None)
        _draw(upper, blocks, most)
        _bars(lower, blocks, found, most)
        heavy = max(blocks, key=lambda block: block[2])
        most_adds = max(block[3] for block in blocks)
        busy = [block[0] for block in blocks if block[3] == most_adds]
        said.append(
            f"{head}; most parameters in {heavy[0]} ({heavy[2] / found.parameters:.0%}), most arithmetic in "
            f"{listed(busy)} ({most_adds / found.multiply_adds:.0%}{' each' * (len(busy) > 1)}). Shapes: "
            + ", ".join(f"{block[0]} {' × '.join(map(str, block[1]))}" for block in blocks)
        )
    headline = "The networks, heights and channels to scale: where the parameters sit, where the work is done"
    picture.tell(headline, ". ".join(said) + ".")
    return picture


def _blocks(found: Summary) -> list[_Block]:
    """What changes the shape: convolutions, poolings, fully connected layers."""
    kept = ("conv", "max pool", "fc(", "softmax")
    return [(r.layer, r.shape, r.parameters, r.multiply_adds) for r in found.rows if r.layer.startswith(kept)]


def _draw(ax: Axes, blocks: list[_Block], most: int) -> None:
    ax.set(xlim=(-0.6, most - 0.3), ylim=(-44, 50))
    ax.axis("off")
    for place, (name, shape, _, _) in enumerate(blocks):
        if len(shape) == 3:
            channels, height, _ = shape
            wide, deep = height / 64 * 0.34, channels * _CHANNEL / 64  # the widest block leaves room for a neighbour
            low, high, lift = -height / 2, height / 2, channels * _CHANNEL
            left, right = place - wide / 2 - deep / 2, place + wide / 2 - deep / 2
            ax.add_patch(Rectangle((left, low), wide, height, fc=_FACE, ec=BLUE, lw=0.8))
            back = (right + deep, high + lift)  # the far corner, of side and top
            side = [(right, low), (right + deep, low + lift), back, (right, high)]
            top = [(left, high), (left + deep, high + lift), back, (right, high)]
            for face, colour in ((side, _SIDE), (top, _TOP)):
                ax.add_patch(Polygon(face, fc=colour, ec=BLUE, lw=0.8))
            text = f"{channels} × {height}²"
        else:
            units = shape[0]
            ax.add_patch(Rectangle((place - 0.05, -units / 16), 0.1, units / 8, fc=_FACE, ec=BLUE, lw=0.8))
            text = f"{units}"
        short = name.split(":")[0].split("_")[0].replace("max pool", "pool")
        ax.text(place, -44, f"{short}\n{text}", ha="center", va="top", fontsize=style_of(ax).font * 0.9, color=INK)


def _bars(ax: Axes, blocks: list[_Block], found: Summary, most: int) -> None:
    font = style_of(ax).font
    dress(ax, y="share (%)", grid=None)
    ax.yaxis.label.set_fontsize(font * 0.85)
    for place, (_, _, parameters, adds) in enumerate(blocks):
        for side, share, colour in (
            (-0.2, 100 * parameters / found.parameters, BLUE),
            (0.2, 100 * adds / found.multiply_adds, VERMILLION),
        ):
            ax.bar(place + side, share, 0.36, color=colour)
            if share >= 0.5:
                ax.text(place + side, share + 2, f"{share:.0f}", ha="center", fontsize=font * 0.85, color=colour)
    ax.set(xlim=(-0.6, most - 0.3), ylim=(0, 125), yticks=[0, 100])
    ax.set_xticks([])
    for height, name, colour in ((1.0, "parameters", BLUE), (0.62, "multiply-adds", VERMILLION)):
        ax.text(1, height, name, transform=ax.transAxes, ha="right", va="top", color=colour, fontsize=font * 0.85)
