"""Optimizers at work: paths down a surface, learning-rate range tests, races of several seeds as bands."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from tinylab.figures.lines import FEW, frame_steps
from tinylab.figures.style import (
    AT_X,
    BLACK,
    DASHES,
    HUES,
    INK,
    EndLabel,
    Picture,
    array,
    drawn,
    dress,
    label_ends,
    note,
    quantity,
    reference,
    style_of,
)
from tinylab.optimizers import WALKERS
from tinylab.support.errors import InvalidInputError, nearest

if TYPE_CHECKING:
    from tinylab.optimizers import Path, RangeTest, Surface

BANDS = ("range", "error")
_DOTTED = 60  # updates of a path, up to which each gets a dot


def _hue(name: str, place: int) -> tuple[str, object]:
    """Colour and dash; an optimizer keeps its own whoever else is drawn."""
    place = WALKERS.index(name) if name in WALKERS else place
    return HUES[place], DASHES[place]


@drawn
def surface(surface: "Surface", paths: Mapping[str, "Path"]) -> Picture:
    """A surface as lines of equal height, and the paths that optimizers took down it, named beside it.

    paths: {"Adam": Path, …}, up to 5; lines of height grow by equal ratios, stars mark the minima. A path that
    leaves the window is cut off at its edge.
    """
    if len(paths) > len(HUES):
        raise InvalidInputError(f"surface got {len(paths)} paths. Allowed: up to {len(HUES)} in one picture")
    picture = Picture(7.6, 4.0, layout=None)  # a slider waits for it: no time for a layout
    style = picture.style
    ax = picture.add_axes((0.083, 0.115, 0.545, 0.765))
    dress(ax, surface.formula, x="weight x", y="weight y", grid=None)
    x0, x1, y0, y1 = surface.window
    x, y = np.meshgrid(np.linspace(x0, x1, 241), np.linspace(y0, y1, 241))
    heights = surface.value(x, y)
    levels = np.geomspace(max(heights.max() * 1e-5, 1e-3), heights.max(), 16)
    ax.contour(x, y, heights, levels=levels, colors="#9A9A9A", linewidths=0.7)
    for minimum in surface.minima:
        ax.plot(*minimum, "*", color=BLACK, ms=style.marker * 2.2, zorder=4)
    said = []
    for place, (name, way) in enumerate(paths.items()):
        colour, dash = _hue(name, place)
        points = array(way.positions)
        height = quantity(float(f"{way.heights[-1]:.2g}"))
        ax.plot(
            *points.T,
            linestyle=dash,
            color=colour,
            lw=style.line,
            zorder=3,
            marker="o" if len(points) <= _DOTTED else "",
            ms=style.marker * 0.6,
            label=f"{name}: {'diverged' if way.diverged else height}",
        )
        ended = f"ended at ({points[-1, 0]:.2f}, {points[-1, 1]:.2f}), height {height},"
        count = len(points) - 1
        said.append(f"{name} {'diverged' if way.diverged else ended} after {count} update{'s' * (count != 1)}")
    ax.plot(*surface.start, "o", color=INK, ms=style.marker * 1.4, mfc="white", zorder=5)
    ax.set(xlim=(x0, x1), ylim=(y0, y1))
    if paths:  # beside the surface: most of them end at its lowest point, where no name has room
        ax.legend(
            loc="upper left",
            bbox_to_anchor=(1.0, 1.0),
            frameon=False,
            title="height at the end",
            title_fontsize=style.font * 0.9,
            alignment="left",
            fontsize=style.font * 0.9,
            handlelength=1.3,
            handletextpad=0.5,
            labelcolor="linecolor",
        )
    minima = " and ".join(f"({a:g}, {b:g})" for a, b in surface.minima)
    walked = "; ".join(said) if said else "No optimizer is chosen"
    title = f"{surface.name}: {surface.story}"
    picture.tell(title[:1].upper() + title[1:], f"Loss {surface.formula}, lowest at {minima} (stars). {walked}.")
    return picture


@drawn
def range_tests(results: "Mapping[str, RangeTest]", *, title: str = "") -> Picture:
    """Loss over the learning rate (logarithmic), a panel for each optimizer: batches grey, their running mean blue.

    results: {"SGD": RangeTest, …}, up to 3. A dashed line marks the suggestion.
    """
    if not 1 <= len(results) <= 3:
        raise InvalidInputError(f"range_tests got {len(results)} results. Allowed: 1 to 3 in one picture")
    picture = Picture(max(4.2 * len(results), 6), 3.5)
    style = picture.style
    panels = np.atleast_1d(picture.subplots(1, len(results), sharey=True))
    most = max(_highest(seen) for seen in results.values())
    said = []
    for ax, (name, seen) in zip(panels, results.items(), strict=True):
        dress(ax, name, x="learning rate (logarithmic)", y="loss (nats per image)" if ax is panels[0] else "")
        ax.set_xscale("log")
        ax.plot(seen.rates, seen.losses, ".", color="#8A8A8A", ms=style.marker * 0.8)
        ax.plot(seen.rates, seen.smoothed, color=HUES[0], lw=style.line)
        if seen.suggestion is not None:
            _mark(ax, seen.suggestion)
        said.append(f"{name}: " + _said(seen))
    panels[0].set_ylim(0, 1.5 * most)  # an explosion at the end must not flatten the rest
    picture.tell(title or "Learning-rate range test: one update at each rate", " ".join(said))
    return picture


def _highest(seen: "RangeTest") -> float:
    """The smoothed loss before it was lowest, at its highest."""
    return max(seen.smoothed[: int(np.nanargmin(seen.smoothed)) + 1])


def _mark(ax: Axes, rate: float) -> None:
    """A line at the suggested rate, its number beside it where there is room."""
    ax.axvline(rate, color=HUES[1], linestyle="--", lw=style_of(ax).line * 0.8)
    low, high = np.log(ax.get_xlim())
    side, offset = ("right", -4) if (np.log(rate) - low) / (high - low) > 0.5 else ("left", 4)
    note(ax, f"{rate:.2g}", (rate, 0.03), (offset, 0), HUES[1], 1.0, xycoords=AT_X, ha=side, va="bottom")


def _said(seen: "RangeTest") -> str:
    found = "no rate can be suggested" if seen.suggestion is None else f"suggested rate {seen.suggestion:.2g}"
    return f"{found}; {seen.reason}." + (f" Warning: {seen.warning}." if seen.warning else "")


@drawn
def bands(
    groups: Mapping[str, Sequence[Sequence[float]]],
    *,
    band: str = "range",
    title: str = "",
    x: str = "update",
    y: str = "loss (nats per image)",
    levels: Mapping[str, float] | None = None,
) -> Picture:
    """The mean of several runs for each name, in a band that says how far the runs differ.

    groups: {"Adam": [run, run, …], …}, up to 5 names, runs of one name equally long, value i drawn at x = i + 1.
    band: "range", from the lowest run to the highest, or "error", one standard error of the mean on each side.
    levels: {name: value} of grey reference lines. Raises InvalidInputError for runs that do not fit.
    """
    if band not in BANDS:
        raise InvalidInputError(f"band {band!r} is unknown{nearest(str(band), BANDS)}")
    if not 1 <= len(groups) <= len(HUES):
        raise InvalidInputError(f"bands got {len(groups)} names. Allowed: 1 to {len(HUES)} in one picture")
    picture = Picture(7.6, 3.6)
    style = picture.style
    ax = picture.subplots()
    dress(ax, x=x, y=y)
    labels, said, longest = [], [], 1
    for (name, runs), colour, dash in zip(groups.items(), HUES, DASHES, strict=False):
        mean, low, high = _band(name, runs, band)
        steps = np.arange(1, len(mean) + 1)
        marker = "o" if len(mean) <= FEW else ""
        ax.fill_between(steps, low, high, color=colour, alpha=0.18, linewidth=0)
        ax.plot(steps, mean, linestyle=dash, color=colour, lw=style.line, marker=marker, ms=style.marker)
        labels.append(EndLabel(float(steps[-1]), float(mean[-1]), name, colour))
        between = f"{quantity(float(f'{low[-1]:.3g}'))} to {quantity(float(f'{high[-1]:.3g}'))}"
        said.append(
            f"{name}: mean of {len(runs)} {float(mean[0]):.3g} at first, {float(mean[-1]):.3g} in the end"
            f" (band {between})"
        )
        longest = max(longest, len(mean))
    frame_steps(ax, longest)
    for name, value in (levels or {}).items():
        labels.append(reference(ax, value, f"{name} = {quantity(value)}"))
        said.append(f"{name} {quantity(value)}")
    label_ends(ax, labels)
    what = "lowest to highest run" if band == "range" else "one standard error"
    picture.tell(title or f"Several runs each: mean, and band ({what})", f"Bands: {what}. " + "; ".join(said) + ".")
    return picture


def _band(name: str, runs: Sequence[Sequence[float]], band: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, lower and upper edge, float64 (length of a run,) each."""
    if not len(runs) or len({len(run) for run in runs}) != 1 or not len(runs[0]):
        lengths = [len(run) for run in runs]
        raise InvalidInputError(f"bands got runs of lengths {lengths} for {name!r}. Allowed: equally long, not empty")
    values = np.stack([array(run).astype(float) for run in runs])  # (runs, length)
    mean = values.mean(axis=0)
    if band == "range":
        return mean, values.min(axis=0), values.max(axis=0)
    error = values.std(axis=0, ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.zeros_like(mean)
    return mean, mean - error, mean + error
