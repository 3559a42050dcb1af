"""What one prediction costs, of two methods whose times grow differently."""

from collections.abc import Mapping

import numpy as np
from matplotlib.ticker import FuncFormatter

from tinylab.figures.style import (
    TRAINING,
    VALIDATION,
    EndLabel,
    Picture,
    drawn,
    dress,
    label_ends,
)
from tinylab.support.errors import InvalidInputError


def duration(seconds: float) -> str:
    """0.0031 as `3.1 ms`, 0.0000021 as `2.1 µs`, 75 as `75 s`."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1 or unit == "µs":
            return f"{seconds * factor:.3g} {unit}"
    raise AssertionError("unreachable")


@drawn
def crossing(timed: Mapping[int, float], levels: Mapping[str, float], *, reach: int) -> Picture:
    """Seconds for one image over the number of training images, both logarithmic: measured dots, lines that cross.

    timed: {images: seconds} of a method whose time grows in proportion, two or more; its line goes through the dots
    (geometric mean of their slopes, the band from the lowest to the highest) and on to `reach` images.
    levels: {name: seconds} of methods whose time does not depend on the images. Raises InvalidInputError for less.
    """
    if len(timed) < 2 or not levels or min(*timed, *timed.values(), *levels.values()) <= 0:
        raise InvalidInputError("crossing needs two or more {images: seconds} and one or more {name: seconds}, above 0")
    slopes = np.array([seconds / images for images, seconds in timed.items()])
    slope, low, high = float(np.exp(np.log(slopes).mean())), float(slopes.min()), float(slopes.max())
    picture = Picture(7.6, 3.7)
    style = picture.style
    ax = picture.subplots()
    dress(ax, x="training images (logarithmic)", y="time per image (logarithmic)", grid="both")
    ax.set(xscale="log", yscale="log")
    ends = np.array([min(timed), reach], dtype=float)
    ax.fill_between(ends, low * ends, high * ends, color=TRAINING, alpha=0.15, lw=0)
    ax.plot(ends, slope * ends, "--", color=TRAINING, lw=style.line * 0.8)
    ax.plot(list(timed), list(timed.values()), "o", color=TRAINING, ms=style.marker * 1.2)
    ax.set_xlim(ends[0] / 1.3, reach)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: duration(value)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    names = [EndLabel(reach, slope * reach, f"k-NN: {duration(slope * reach)}", TRAINING)]
    said = [f"k-NN about {duration(slope * reach)} with {reach:,} images"]
    for name, level in levels.items():
        ax.axhline(level, color=VALIDATION, lw=style.line)
        names.append(EndLabel(reach, level, f"{name}: {duration(level)}", VALIDATION))
        met = f"{level / high:,.0f} to {level / low:,.0f} images"
        said.append(f"{name} {duration(level)}, level with it at about {met}")
    label_ends(ax, names)
    picture.tell("What one prediction costs: where the lines cross", "For one image: " + "; ".join(said) + ".")
    return picture
