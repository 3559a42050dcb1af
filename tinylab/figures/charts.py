"""Charts of numbers: comparisons as bars, times, activations by depth, confusion."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from tinylab.figures.lines import lines
from tinylab.figures.style import (
    BLUE,
    GREY,
    INK,
    TRAINING,
    VALIDATION,
    EndLabel,
    Picture,
    array,
    drawn,
    dress,
    label_ends,
    listed,
    percent,
    style_of,
)
from tinylab.support.errors import InvalidInputError

MOST_CLASSES = 20  # of a confusion matrix that can still be read
BLUES = LinearSegmentedColormap.from_list("blues", ["#FFFFFF", BLUE, "#00304D"])


def _finite(value: float | None) -> bool:
    return value is not None and bool(np.isfinite(value))


@drawn
def comparison(
    results: Mapping[str, Mapping[str, tuple[float | None, float | None]]],
    *,
    title: str = "",
    chance: float | None = None,
    level: tuple[str, float] | None = None,
) -> Picture:
    """Training and validation accuracy (0..1) of networks under several conditions, a panel for each network.

    results: {"Model 1": {"reported": (0.5693, 0.2435), "as described": (…, …), "done well": (…, None)}, …};
    None where there is no number. chance: accuracy of guessing, drawn as a dotted line; level: (name, accuracy) of one
    more, dashed, such as `evaluation.baseline(data).level`.
    """
    if not results:
        raise InvalidInputError("comparison got no results; it needs at least one network")
    values = [v for conditions in results.values() for pair in conditions.values() for v in pair if _finite(v)]
    if any(not 0 <= float(v) <= 1 for v in values if v is not None):
        raise InvalidInputError("comparison got an accuracy outside 0..1; give shares, not percent")
    picture = Picture(max(2.8 * len(results), 4.2), 3.7)
    style = picture.style
    panels = np.atleast_1d(picture.subplots(1, len(results), sharey=True))
    top = min(max([float(v) for v in values if v is not None], default=1.0) * 118, 112)
    references: list[tuple[str, float, Any]] = [] if chance is None else [("guessing", chance, ":")]
    references += [] if level is None else [(*level, "--")]
    written: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": style.font * 0.9, "zorder": 4}
    written["bbox"] = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5}  # no line through it
    for panel, (name, conditions) in zip(panels, results.items(), strict=True):
        dress(panel, name, y="accuracy (%)" if panel is panels[0] else "")
        for i, pair in enumerate(conditions.values()):
            for side, value, colour, hatch in ((-0.2, pair[0], TRAINING, ""), (0.2, pair[1], VALIDATION, "//")):
                shown = 100 * float(value) if value is not None and _finite(value) else 0.0
                panel.bar(i + side, shown, 0.37, color="white" if hatch else colour, edgecolor=colour, hatch=hatch)
                text = f"{shown:.0f}" if _finite(value) else "–"
                panel.text(i + side, shown + top / 90, text, color=colour, **written)
        for _, value, dash in references:
            panel.axhline(100 * value, color=GREY, linestyle=dash, linewidth=style.line)
        panel.set_xticks(range(len(conditions)), [text.replace(" ", "\n") for text in conditions])
        panel.set(ylim=(0, top), xlim=(-0.6, len(conditions) - 0.4))
    keys: list[Artist] = [
        Patch(facecolor=TRAINING, edgecolor=TRAINING, label="training"),
        Patch(facecolor="white", edgecolor=VALIDATION, hatch="//", label="validation"),
    ]
    for name, value, dash in references:
        keys.append(Line2D([], [], color=GREY, linestyle=dash, label=f"{name}: {100 * value:.3g} %"))
    # one key for all panels: a name at every bar would have no room
    picture.legend(
        handles=keys,
        loc="outside lower center",
        ncols=4,
        frameon=False,
        fontsize=style.font,
        labelcolor=[TRAINING, VALIDATION, GREY, GREY][: len(keys)],
    )
    said = [
        f"{name}: " + "; ".join(f"{c} {percent(p[0])} / {percent(p[1])}" for c, p in conditions.items()) + "."
        for name, conditions in results.items()
    ]
    said += [f"{name}: {percent(value)}." for name, value, _ in references]
    title = title or "Training and validation accuracy, side by side"
    picture.tell(title, "Training / validation accuracy. " + " ".join(said))
    return picture


def duration(seconds: float) -> str:
    """0.0031 as `3.1 ms`, 0.0000021 as `2.1 µs`, 75 as `75 s`."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1 or unit == "µs":
            return f"{seconds * factor:.3g} {unit}"
    raise AssertionError("unreachable")


def activation_spread(spreads: Mapping[str, Sequence[float]]) -> Picture:
    """How wide activations are after each layer, on a logarithmic scale, one line for each initialisation.

    spreads: {"too small": [std after layer 1, after layer 2, …], …}; a line has gaps at a spread of zero.
    """
    title = "How activations spread, shrink or explode through the depth"
    return lines(spreads, title=title, x="layer", y="standard deviation", log=True)


def _cells(ax: Axes, matrix: np.ndarray, shares: np.ndarray) -> None:
    """The counts, in ink that can be read on each cell's blue."""
    small = style_of(ax).font * min(0.95, 14 / len(matrix) + 0.1)
    for (r, c), count in np.ndenumerate(matrix):
        if count:
            ink = "white" if shares[r, c] > 0.42 else INK
            ax.text(c, r, f"{count:,}", ha="center", va="center", fontsize=small, color=ink)


@drawn
def confusion(matrix: Any, words: Sequence[str]) -> Picture:
    """Which class is taken for which: int (C, C), rows are true classes, columns predicted ones, C ≤ 20.

    Colours are shares of the row, numbers are counts. Raises InvalidInputError for more classes, since nobody
    can read those.
    """
    counts = array(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or len(words) != len(counts):
        raise InvalidInputError(
            f"confusion got a matrix {counts.shape} and {len(words)} words. Allowed: (C, C) and C words"
        )
    if len(counts) > MOST_CLASSES:
        raise InvalidInputError(
            f"a confusion matrix of {len(counts)} classes cannot be read. Allowed: at most {MOST_CLASSES}; "
            "choose those that are confused most"
        )
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(2.6 + 0.36 * len(counts), 4.2)
    picture = Picture(side + 0.7, side)
    ax = picture.subplots()
    dress(ax, x="predicted class", y="true class", grid=None)
    ax.imshow(shares, cmap=BLUES, vmin=0, vmax=1, aspect="auto")
    _cells(ax, counts, shares)
    places = range(len(counts))
    ax.set_xticks(places, list(words))
    if max(map(len, words)) > 4:
        ax.set_xticks(places, list(words), rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(places, list(words))
    ax.tick_params(length=0)
    right = float(np.trace(counts) / max(counts.sum(), 1))
    wrong = np.where(np.eye(len(counts), dtype=bool), -1, counts)
    r, c = divmod(int(wrong.argmax()), len(counts))
    worst = f"{words[r]} is taken for {words[c]} {wrong[r, c]:,} times" if wrong[r, c] > 0 else "no class is mistaken"
    picture.tell(
        f"{percent(right)} right; {worst}",
        f"Confusion of {len(counts)} classes ({listed(words)}): {percent(right)} of {counts.sum():,} predictions are "
        f"right; most often, {worst}.",
    )
    return picture


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
