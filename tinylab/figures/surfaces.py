"""Optimizers at work: paths down a surface, learning-rate range tests, races of several seeds as bands."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from tinylab.figures.style import (
    BLACK,
    GREY,
    HUES,
    INK,
    EndLabel,
    Picture,
    Style,
    array,
    drawn,
    dress,
    label_ends,
    look,
    quantity,
)
from tinylab.optimizers import WALKERS
from tinylab.support.errors import InvalidInputError, nearest

if TYPE_CHECKING:
    from tinylab.optimizers import Path, RangeTest, Surface

BANDS = ("range", "error")
_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))  # told apart without colour, too
_FEW = 60  # updates of a path, up to which each gets a dot


def _hue(name: str, place: int) -> tuple[str, object]:
    """Colour and dash; an optimizer keeps its own whoever else is drawn."""
    place = WALKERS.index(name) if name in WALKERS else place
    return HUES[place], _DASHES[place]


@drawn
def surface(surface: "Surface", paths: Mapping[str, "Path"], *, title: str = "", style: str | None = None) -> Picture:
    """A surface as lines of equal height, and the paths that optimizers took down it, named beside it.

    paths: {"Adam": Path, …}, up to 5; lines of height grow by equal ratios, stars mark the minima. A path that
    leaves the window is cut off at its edge.
    """
    look_ = look(style)
    if len(paths) > len(HUES):
        raise InvalidInputError(f"surface got {len(paths)} paths. Allowed: up to {len(HUES)} in one picture")
    picture = Picture(7.6 * look_.size, 4.0 * look_.size, look_, layout=None)  # a slider waits for it: no time for one
    ax = picture.add_axes((0.083, 0.115, 0.545, 0.765))
    dress(ax, look_, surface.formula, x="weight x", y="weight y", grid=None)
    x0, x1, y0, y1 = surface.window
    x, y = np.meshgrid(np.linspace(x0, x1, 241), np.linspace(y0, y1, 241))
    heights = surface.value(x, y)
    levels = np.geomspace(max(heights.max() * 1e-5, 1e-3), heights.max(), 16)
    ax.contour(x, y, heights, levels=levels, colors="#9A9A9A", linewidths=0.7)
    for minimum in surface.minima:
        ax.plot(*minimum, "*", color=BLACK, ms=look_.marker * 2.2, zorder=4)
    said = []
    for place, (name, way) in enumerate(paths.items()):
        colour, dash = _hue(name, place)
        points = array(way.positions)
        result = "diverged" if way.diverged else f"height {quantity(float(f'{way.heights[-1]:.2g}'))}"
        ax.plot(
            points[:, 0],
            points[:, 1],
            linestyle=dash,
            color=colour,
            lw=look_.line,
            zorder=3,
            marker="o" if len(points) <= _FEW else "",
            ms=look_.marker * 0.6,
            label=f"{name}: {result.removeprefix('height ')}",
        )
        where = "diverged" if way.diverged else f"ended at ({points[-1, 0]:.2f}, {points[-1, 1]:.2f}), {result},"
        count = len(points) - 1
        said.append(f"{name} {where} after {count} update{'s' * (count != 1)}")
    ax.plot(*surface.start, "o", color=INK, ms=look_.marker * 1.4, mfc="white", zorder=5)
    ax.set(xlim=(x0, x1), ylim=(y0, y1))
    if paths:  # beside the surface: most of them end at its lowest point, where no name has room
        ax.legend(
            loc="upper left",
            bbox_to_anchor=(1.0, 1.0),
            frameon=False,
            title="height at the end",
            title_fontsize=look_.font * 0.9,
            alignment="left",
            fontsize=look_.font * 0.9,
            handlelength=1.3,
            handletextpad=0.5,
            labelcolor="linecolor",
        )
    title = title or f"{surface.name}: {surface.story}"
    picture.headline(title[:1].upper() + title[1:])
    minima = " and ".join(f"({a:g}, {b:g})" for a, b in surface.minima)
    walked = "; ".join(said) if said else "No optimizer is chosen"
    picture.alt = f"{picture.get_suptitle()}. Loss {surface.formula}, lowest at {minima} (stars). {walked}."
    return picture


@drawn
def range_tests(results: "Mapping[str, RangeTest]", *, title: str = "", style: str | None = None) -> Picture:
    """Loss over the learning rate (logarithmic), a panel for each optimizer: batches grey, their running mean blue.

    results: {"SGD": RangeTest, …}, up to 3. A dashed line marks the suggestion.
    """
    look_ = look(style)
    if not 1 <= len(results) <= 3:
        raise InvalidInputError(f"range_tests got {len(results)} results. Allowed: 1 to 3 in one picture")
    picture = Picture(max(4.2 * len(results), 6) * look_.size, 3.5 * look_.size, look_)
    panels = np.atleast_1d(picture.subplots(1, len(results), sharey=True))
    most = max(_highest(seen) for seen in results.values())
    said = []
    for ax, (name, seen) in zip(panels, results.items(), strict=True):
        dress(ax, look_, name, x="learning rate (logarithmic)", y="loss (nats per image)" if ax is panels[0] else "")
        ax.set_xscale("log")
        ax.plot(seen.rates, seen.losses, ".", color="#8A8A8A", ms=look_.marker * 0.8)
        ax.plot(seen.rates, seen.smoothed, color=HUES[0], lw=look_.line)
        if seen.suggestion is not None:
            _mark(ax, seen.suggestion, look_)
        said.append(f"{name}: " + _said(seen))
    panels[0].set_ylim(0, 1.5 * most)  # an explosion at the end must not flatten the rest
    picture.headline(title or "Learning-rate range test: one update at each rate")
    picture.alt = f"{picture.get_suptitle()}. " + " ".join(said)
    return picture


def _highest(seen: "RangeTest") -> float:
    """The smoothed loss before it was lowest, at its highest."""
    return max(seen.smoothed[: int(np.nanargmin(seen.smoothed)) + 1])


def _mark(ax: Axes, rate: float, style: Style) -> None:
    """A line at the suggested rate, its number beside it where there is room."""
    ax.axvline(rate, color=HUES[1], linestyle="--", lw=style.line * 0.8)
    low, high = np.log(ax.get_xlim())
    left = (np.log(rate) - low) / (high - low) > 0.5
    ax.annotate(
        f"{rate:.2g}",
        (rate, 0.03),
        xycoords=("data", "axes fraction"),
        xytext=(-4 if left else 4, 0),
        textcoords="offset points",
        ha="right" if left else "left",
        va="bottom",
        color=HUES[1],
        fontsize=style.font,
    )


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
    style: str | None = None,
) -> Picture:
    """The mean of several runs for each name, in a band that says how far the runs differ.

    groups: {"Adam": [run, run, …], …}, up to 5 names, runs of one name equally long, value i drawn at x = i + 1.
    band: "range", from the lowest run to the highest, or "error", one standard error of the mean on each side.
    levels: {name: value} of grey reference lines. Raises InvalidInputError for runs that do not fit.
    """
    look_ = look(style)
    if band not in BANDS:
        raise InvalidInputError(f"band {band!r} is unknown{nearest(str(band), BANDS)}")
    if not 1 <= len(groups) <= len(HUES):
        raise InvalidInputError(f"bands got {len(groups)} names. Allowed: 1 to {len(HUES)} in one picture")
    picture = Picture(7.6 * look_.size, 3.6 * look_.size, look_)
    ax = picture.subplots()
    dress(ax, look_, x=x, y=y)
    labels, said, longest = [], [], 1
    for (name, runs), colour, dash in zip(groups.items(), HUES, _DASHES, strict=False):
        mean, low, high = _band(name, runs, band)
        steps = np.arange(1, len(mean) + 1)
        marker = "o" if len(mean) <= 16 else ""
        ax.fill_between(steps, low, high, color=colour, alpha=0.18, linewidth=0)
        ax.plot(steps, mean, linestyle=dash, color=colour, lw=look_.line, marker=marker, ms=look_.marker)
        labels.append(EndLabel(float(steps[-1]), float(mean[-1]), name, colour))
        between = f"{quantity(float(f'{low[-1]:.3g}'))} to {quantity(float(f'{high[-1]:.3g}'))}"
        said.append(
            f"{name}: mean of {len(runs)} {float(mean[0]):.3g} at first, {float(mean[-1]):.3g} in the end"
            f" (band {between})"
        )
        longest = max(longest, len(mean))
    ax.set_xlim(*((1, longest) if longest > 16 else (0.8, max(longest, 2) + 0.2)))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if ax.get_ylim()[0] >= 0:
        ax.set_ylim(bottom=0)
    for name, value in (levels or {}).items():
        ax.axhline(value, color=GREY, linestyle=":", linewidth=look_.line * 0.8)
        labels.append(EndLabel(ax.get_xlim()[1], value, f"{name} = {quantity(value)}", GREY))
    label_ends(ax, labels, look_)
    what = "lowest to highest run" if band == "range" else "one standard error"
    picture.headline(title or f"Several runs each: mean, and band ({what})")
    said += [f"{name} {quantity(value)}" for name, value in (levels or {}).items()]
    picture.alt = f"{picture.get_suptitle()}. Bands: {what}. " + "; ".join(said) + "."
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
