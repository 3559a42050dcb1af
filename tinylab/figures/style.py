"""What all pictures share: the class `Picture`, the colours, the two styles, labels at the ends of lines.

A `Picture` is a matplotlib figure with a text twin (`.alt`). No pyplot anywhere: pyplot keeps global state and
is unsafe in the background threads that the live controls draw from.
"""

import base64
import contextlib
import functools
import io
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from tinylab.support.errors import InvalidInputError, nearest

# Okabe and Ito, "Color Universal Design" (2008): the hues of their palette that reach 3:1 on white
BLUE, VERMILLION, GREEN, BLACK = "#0072B2", "#D55E00", "#009E73", "#000000"
PURPLE = "#B0568A"  # their reddish purple, darkened: #CC79A7 itself stays just below 3:1
INK, GREY, RULE = "#222222", "#5F5F5F", "#DDDDDD"  # text, references such as chance, grid lines
TRAINING, VALIDATION = BLUE, VERMILLION
HUES = (BLUE, VERMILLION, GREEN, PURPLE, BLACK)
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (6, 3)), (0, (3, 1, 1, 1)))  # for greyscale

CSS_DPI = 96  # a browser's pixels per inch: what widths on the page are given in
DPI = 144  # stored pixels per inch: 1.5 for each of the browser's, sharp on most screens and still small
AT_X = ("data", "axes fraction")  # coordinates of a note: x in data units, y as a share of the panel's height
VARIABLE = "TINYLAB_STYLE"
Point = tuple[float, float]
P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Style:
    """How large things are drawn: for reading on a page, or from the last row of a lecture hall."""

    name: str
    font: float  # points, all text
    line: float  # points: 1 point = 1.33 pixels of the browser
    marker: float  # points
    size: float  # figures of the style "page" times this
    zoom: int  # stored pixels for one pixel of an image

    @property
    def em(self) -> float:
        """The font's size in stored pixels."""
        return self.font * DPI / 72


STYLES = {
    "page": Style("page", font=10, line=1.6, marker=4.5, size=1.0, zoom=3),
    "projector": Style("projector", font=16, line=2.7, marker=8, size=1.45, zoom=4),
}


def look() -> Style:
    """The style that $TINYLAB_STYLE names, else "page". Raises InvalidInputError for an unknown one."""
    name = os.environ.get(VARIABLE) or "page"
    if name not in STYLES:
        raise InvalidInputError(f"style {name!r} of ${VARIABLE} is unknown{nearest(name, STYLES)}")
    return STYLES[name]


_LOCK = threading.RLock()  # matplotlib's settings belong to the whole process


@contextlib.contextmanager
def own_settings() -> Iterator[None]:
    """Matplotlib's own settings instead of the user's, for one thread at a time, and the user's again.

    A matplotlibrc may ask for LaTeX, which is not there, or for letters that do not fit.
    """
    with _LOCK, matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield


def drawn(function: Callable[P, R]) -> Callable[P, R]:
    """For every function that makes a `Picture`: it draws with `own_settings`."""

    @functools.wraps(function)
    def with_own_settings(*arguments: P.args, **named: P.kwargs) -> R:
        with own_settings():
            return function(*arguments, **named)

    return with_own_settings


class Picture(Figure):
    """A figure that carries its own description; notebooks show the image and keep the text beside it.

    `alt` says what the picture shows, with its key numbers: it is the `alt` of the image in exported pages,
    the plain-text output of a cell (which is what nbval compares), and what `print(picture)` gives.
    """

    def __init__(self, width: float, height: float, layout: str | None = "constrained") -> None:
        """`width`, `height`: inches of the style "page"; `layout`: "constrained", or None to place all by hand."""
        self.style = look()
        size = (width * self.style.size, height * self.style.size)
        with own_settings():
            super().__init__(figsize=size, dpi=DPI, facecolor="white", layout=layout)  # type: ignore[arg-type]
            FigureCanvasAgg(self)
        self.alt = ""

    def headline(self, text: str, x: float = 0.01, y: float | None = None) -> None:
        """The title of the whole picture, at the left edge, where reading starts."""
        size = self.style.font * 1.1
        self.suptitle(text, x=x, y=y, ha="left", fontsize=size, fontweight="bold", color=INK, parse_math=False)

    def tell(self, headline: str, said: str) -> None:
        """Headline and text twin: the headline as a sentence, and what else is `said`."""
        self.headline(headline)
        self.alt = f"{headline}{'' if headline.endswith(('?', '!', '.')) else '.'} {said}"

    def png(self, compact: bool = True) -> bytes:
        """The picture as PNG bytes, opaque, at `DPI`.

        compact: at most 256 colours, a third of the size for charts; False is faster (live redraws).
        """
        with own_settings():
            self.canvas.draw()
        image = Image.fromarray(np.asarray(self.canvas.buffer_rgba())).convert("RGB")  # type: ignore[attr-defined]
        if compact:
            image = image.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        stream = io.BytesIO()
        image.save(stream, "PNG", optimize=compact, compress_level=9 if compact else 1)
        return stream.getvalue()

    def css_size(self) -> tuple[int, int]:
        """Width and height on the page, in the browser's pixels."""
        width, height = self.get_size_inches()
        return round(width * CSS_DPI), round(height * CSS_DPI)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        width, height = self.css_size()
        data = {"image/png": base64.b64encode(self.png()).decode("ascii"), "text/plain": self.alt}
        size = {"width": width, "height": height, "font": self.style.font}  # points, for the slides
        return data, {"image/png": {"alt": self.alt, **size}}

    def __str__(self) -> str:
        return self.alt

    __repr__ = __str__


def style_of(ax: Axes) -> Style:
    """The style of the picture that this panel is part of."""
    picture = ax.figure
    assert isinstance(picture, Picture)
    return picture.style


def dress(ax: Axes, title: str = "", x: str = "", y: str = "", grid: str | None = "y") -> None:
    """Give a panel its title, axis names (with units) and sizes; no frame, a faint grid along `grid`."""
    style = style_of(ax)
    ax.set_facecolor("white")
    # sizes are set here and not through rcParams, which are shared with whatever else a notebook draws
    ax.set_title(title, fontsize=style.font, color=INK, loc="left", parse_math=False)
    ax.set_xlabel(x, fontsize=style.font, color=INK)
    ax.set_ylabel(y, fontsize=style.font, color=INK)
    ax.tick_params(labelsize=style.font * 0.9, colors=INK, length=3)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(GREY)
    if grid:
        ax.grid(axis=grid, color=RULE, linewidth=0.8)  # type: ignore[arg-type]
        ax.set_axisbelow(True)


def note(ax: Axes, text: str, at: Point, offset: Point, colour: str, size: float = 0.9, **more: Any) -> None:
    """A few words `offset` points beside a point of the panel; size: of the style's font; more: as of `annotate`."""
    more |= {"color": colour, "fontsize": style_of(ax).font * size, "parse_math": False}
    ax.annotate(text, at, xytext=offset, textcoords="offset points", **more)


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Positions as near to `wanted` as possible with at least `gap` between neighbours, within 0..1.

    Least squares under order: subtract i·gap from the sorted positions and pool those out of order to their mean
    (isotonic regression). When not all fit, the gap shrinks.
    """
    count = len(wanted)
    if count == 0:
        return []
    gap = min(gap, 1 / max(count - 1, 1))
    order = sorted(range(count), key=lambda i: wanted[i])
    pools: list[tuple[float, int]] = []  # (mean, how many)
    for rank, i in enumerate(order):
        mean, size = wanted[i] - rank * gap, 1
        while pools and pools[-1][0] > mean:
            before, many = pools.pop()
            mean, size = (before * many + mean * size) / (many + size), many + size
        pools.append((mean, size))
    flat = [mean for mean, size in pools for _ in range(size)]
    result = [0.0] * count
    for rank, i in enumerate(order):
        result[i] = min(max(flat[rank], 0.0), 1 - (count - 1) * gap) + rank * gap
    return result


@dataclass(frozen=True)
class EndLabel:
    """A name written at the end of a line: `x`, `y` in data units."""

    x: float
    y: float
    text: str
    colour: str


def reference(ax: Axes, value: float, text: str) -> EndLabel:
    """A grey line at `value`, dotted, and the label for its end. The limits of the x axis have to be set before."""
    ax.axhline(value, color=GREY, linestyle=":", linewidth=style_of(ax).line * 0.8)
    return EndLabel(ax.get_xlim()[1], value, text, GREY)


def compared(chance: float | None, level: tuple[str, float] | None) -> list[tuple[str, float]]:
    """What accuracies are compared with, (name, 0..1) each: guessing, and one more; None is left out."""
    return ([] if chance is None else [("guessing", chance)]) + ([] if level is None else [level])


_Placed = tuple[EndLabel, float, float, float]  # a label, its point, and where its name ends, in fractions of the axes


def label_ends(ax: Axes, labels: Sequence[EndLabel]) -> None:
    """Name the lines at their ends, moved apart so that no two names overlap: in the margin those that end there, a
    pointer to each; beside its last point, without one, whoever ends earlier and has room there.

    Call it last: it uses the limits of the axes as they are.
    """
    style, labels = style_of(ax), [label for label in labels if np.isfinite(label.y)]
    to_axes = ax.transData + ax.transAxes.inverted()
    box = ax.get_window_extent()
    width, height = (side * 0.9 / DPI * 72 for side in (box.width, box.height))  # points; the layout shrinks it later
    gap, step = style.font * 1.2 / height, style.font * 0.8 / width
    outside: list[_Placed] = []
    inside: list[_Placed] = []
    for label in labels:
        x, y = to_axes.transform((label.x, label.y))
        ends = x + step + 0.6 * style.font * len(label.text) / width  # the end of its name, were it written here
        (inside if ends <= 1 else outside).append((label, x, min(max(y, 0), 1), ends))
    for group in [outside, *_beside(inside)]:
        places = spread([y for _, _, y, _ in group], gap)
        for (label, x, y, _), place in zip(group, places, strict=True):
            margin = group is outside
            # grey and dotted: in the line's own colour it would be taken for the line going on
            pointer = {"arrowstyle": "-", "color": GREY, "ls": ":", "lw": 0.8, "shrinkA": 1, "shrinkB": 2}
            ax.annotate(
                label.text,
                xy=(x, y),
                xytext=(1.045 if margin else x + step, place),
                xycoords="axes fraction",
                fontsize=style.font * 0.95,
                color=label.colour,
                va="center",
                ha="left",
                annotation_clip=False,
                parse_math=False,
                arrowprops=pointer if margin or abs(place - y) > gap else None,
                bbox=None if margin else {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.5},
            )


def _beside(labels: Sequence[_Placed]) -> list[list[_Placed]]:
    """Groups of labels whose names share a stretch of the x axis, so that they could overlap."""
    groups: list[list[_Placed]] = []
    for label in sorted(labels, key=lambda one: one[1]):
        if groups and label[1] < max(ends for *_, ends in groups[-1]):
            groups[-1].append(label)
        else:
            groups.append([label])
    return groups


def array(values: Any) -> np.ndarray:
    """A numpy array from numpy, a list, or a torch tensor on any device."""
    if hasattr(values, "detach"):
        values = values.detach().float().cpu() if values.dtype.is_floating_point else values.detach().cpu()
    return np.asarray(values)


def percent(value: float | None) -> str:
    """0.5693 as `56.9 %`; no value as a dash."""
    return "–" if value is None or not np.isfinite(value) else f"{100 * value:.1f} %"


def quantity(value: float) -> str:
    """A number in few digits: 8557288 as `8.56 M`, 1234 as `1,234`, 0.12345 as `0.123`."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:.3g} M"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.3g}"


def listed(names: Iterable[object]) -> str:
    """Names for a sentence: `a, b and c`."""
    texts = [str(name) for name in names]
    return texts[0] if len(texts) == 1 else ", ".join(texts[:-1]) + " and " + texts[-1] if texts else "nothing"
