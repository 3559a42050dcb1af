"""What lecture 10 shows: few images with and without pre-training, longer training, recipes compared, the ladder.

Where training and validation stand side by side, training is blue and filled, validation vermillion and hollow.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from tinylab.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    INK,
    PURPLE,
    TRAINING,
    VALIDATION,
    VERMILLION,
    EndLabel,
    Picture,
    compared,
    drawn,
    dress,
    label_ends,
    listed,
    note,
    percent,
    quantity,
    reference,
)
from tinylab.support.errors import InvalidInputError

if TYPE_CHECKING:
    from tinylab.training.transfer import Results

_LOOKS = {  # way: colour, line, marker; told apart without colour, too
    "from scratch": (VERMILLION, "--", "s"),
    "more epochs": (PURPLE, "-.", "D"),
    "fine-tuned": (BLUE, "-", "o"),
    "frozen": (GREEN, ":", "^"),
}
_SECTIONS = {
    "to compare": GREY, "the report": GREY, "the report's recipe": VERMILLION, "one change": VERMILLION,
    "done well": BLUE, "one factor of today's recipe": BLUE, "on one GPU": GREEN, "beyond": GREEN,
}  # fmt: skip


@drawn
def few_images(
    results: "Results", *, chance: float | None = None, level: tuple[str, Sequence[float]] | None = None
) -> Picture:
    """Validation accuracy over the number of training images per class, a line for each way to learn.

    results: of `transfer.compare`. Faint marks are the seeds, large ones their means, bars one standard error of the
    mean. chance: accuracy of guessing, 0..1, drawn as a dotted line; level: (name, accuracies) of one more, such as
    k-NN's, for each number of images.
    """
    sizes, ways = results.sizes, results.ways
    if not sizes:
        raise InvalidInputError("few_images got results without an attempt. Give those of transfer.compare")
    picture = Picture(7.6, 3.9)
    style = picture.style
    ax = picture.subplots()
    dress(ax, x="training images per class", y="validation accuracy (%)")
    labels, said = [], []
    for position, way in enumerate(ways):
        colour, dash, marker = _LOOKS[way]
        # each way a little aside, so that no bar hides another; sizes stand evenly, whatever lies between them
        places = np.arange(len(sizes)) + 0.05 * (position - (len(ways) - 1) / 2)
        values = [100 * np.array(results.column(way, size)) for size in sizes]
        means = [float(seeds.mean()) for seeds in values]
        for place, seeds in zip(places, values, strict=True):
            ax.plot(np.full(len(seeds), place), seeds, marker, color=colour, alpha=0.35, ms=style.marker * 0.7, mew=0)
        errors = [seeds.std(ddof=1) / len(seeds) ** 0.5 if len(seeds) > 1 else 0.0 for seeds in values]
        size: dict[str, Any] = {"lw": style.line, "ms": style.marker * 1.5, "capsize": style.marker}
        ax.errorbar(places, means, errors, color=colour, linestyle=dash, marker=marker, **size)
        labels.append(EndLabel(float(places[-1]), means[-1], way, colour))
        said.append(f"{way}: {_by_size(means, sizes)}.")
    ax.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    ax.set_xlim(-0.3, len(sizes) - 0.7)
    labels += _references(ax, chance, None)
    if level is not None:
        heights = [100 * value for value in level[1]]
        ax.plot(range(len(sizes)), heights, ":", color=GREY, marker="x", lw=style.line * 0.8, ms=style.marker)
        labels.append(EndLabel(len(sizes) - 1, heights[-1], level[0], GREY))
        said.append(f"{level[0]}: {_by_size(heights, sizes)}.")
    label_ends(ax, labels)
    picture.tell(
        "Few images: pre-training, or more epochs?",
        "Mean validation accuracy over the training images per class. " + " ".join(said),
    )
    return picture


def _by_size(shares: Sequence[float], sizes: Sequence[int]) -> str:
    return ", ".join(f"{share:.1f} % with {size}" for share, size in zip(shares, sizes, strict=True))


@drawn
def longer(
    runs: Mapping[str, Mapping[int, tuple[float, float]]],
    *,
    chance: float | None = None,
    level: tuple[str, float] | None = None,
) -> Picture:
    """Training and validation accuracy over the length of the training, a panel for each recipe.

    runs: {"plain": {6: (0.7, 0.4), 12: (…), …}, …}: epochs, then accuracies 0..1 at the end of so many. chance, level:
    grey lines, see `costs`. Raises InvalidInputError for none, or accuracies outside 0..1.
    """
    if not runs or not all(runs.values()):
        raise InvalidInputError("longer got no runs. Give {recipe: {epochs: (training, validation)}}, not empty")
    values = [value for lengths in runs.values() for pair in lengths.values() for value in pair]
    if not all(0 <= value <= 1 for value in values):
        raise InvalidInputError("longer got an accuracy outside 0..1; give shares, not percent")
    picture = Picture(2.6 + 3.1 * len(runs), 3.7)
    style = picture.style
    panels = np.atleast_1d(picture.subplots(1, len(runs), sharey=True))
    said = []
    for ax, (name, lengths) in zip(panels, runs.items(), strict=True):
        dress(ax, name, x="epochs (each step doubles)", y="accuracy (%)" if ax is panels[0] else "")
        epochs = sorted(lengths)
        ax.set_xscale("log", base=2)
        ends = []
        looks = (("training", TRAINING, "o-", TRAINING), ("validation", VALIDATION, "o--", "white"))
        for column, (what, colour, line, fill) in enumerate(looks):
            shares = [100 * lengths[length][column] for length in epochs]
            ax.plot(epochs, shares, line, color=colour, lw=style.line, ms=style.marker * 1.4, mfc=fill)
            ends.append(EndLabel(epochs[-1], shares[-1], what, colour))
        ax.set_xticks(epochs, [str(length) for length in epochs])
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_xlim(epochs[0] / 1.2, epochs[-1] * 1.2)
        ax.set_ylim(0, 103)
        ends += _references(ax, chance, level)
        if ax is panels[-1]:  # two names would not fit between the panels, and colours and lines are the same
            label_ends(ax, ends)
        told = "; ".join(f"{n} epochs {percent(lengths[n][0])} / {percent(lengths[n][1])}" for n in epochs)
        said.append(f"{name}: {told}.")
    said = ["Training / validation accuracy by length of the training.", *said, *_told(chance, level)]
    picture.tell("Are more epochs enough?", " ".join(said))
    return picture


@drawn
def costs(
    networks: Mapping[str, tuple[int, Mapping[str, float]]],
    *,
    images: int | None = None,
    chance: float | None = None,
    level: tuple[str, float] | None = None,
) -> Picture:
    """Validation accuracy of networks, the cheapest first: an arrow for each, from its first recipe to its last.

    networks: {"Model 1": (7_300_000, {"as described": 0.42, "modern recipe": 0.55}), …}: multiply-adds for one image,
    then accuracies 0..1; one of the recipes may be missing. images: on how many they were measured; bars are then one
    standard error. chance: accuracy of guessing, drawn as a dotted line; level: (name, accuracy) of one more, such
    as `evaluation.baseline(data).level`. Raises InvalidInputError for none.
    """
    if not networks or not all(shares for _, shares in networks.values()):
        raise InvalidInputError("costs got no networks. Give {name: (multiply-adds, {recipe: accuracy})}, one or more")
    recipes = list(dict.fromkeys(recipe for _, shares in networks.values() for recipe in shares))
    picture = Picture(max(2.8 + 1.3 * len(networks), 5.4), 4.0)
    style = picture.style
    ax = picture.subplots()
    dress(ax, x="network, multiply-adds for one image", y="validation accuracy (%)")
    colours = dict(zip(recipes, (VERMILLION, BLUE, GREEN, PURPLE, BLACK), strict=False))
    ordered = sorted(networks.items(), key=lambda item: item[1][0])
    labels: dict[str, EndLabel] = {}
    said = []
    for place, (name, (cost, shares)) in enumerate(ordered):
        points = [(recipe, 100 * shares[recipe]) for recipe in recipes if recipe in shares]
        if len(points) > 1:
            arrow = {"arrowstyle": "->", "color": GREY, "lw": style.line, "shrinkA": 7, "shrinkB": 7}
            ax.annotate("", (place, points[-1][1]), (place, points[0][1]), arrowprops=arrow)
        for recipe, height in points:
            colour = colours[recipe]
            near = [other for _, other in points if 0 < abs(other - height) < 5]  # whose number would touch this one
            if images:
                error = 100 * math.sqrt(shares[recipe] * (1 - shares[recipe]) / images)
                ax.errorbar(place, height, yerr=error, color=colour, elinewidth=style.line * 0.7, capsize=3)
            fill = "white" if recipe == recipes[0] and len(recipes) > 1 else colour
            ax.plot(place, height, "o", color=colour, mfc=fill, ms=style.marker * 1.8, mew=style.line)
            va = "center" if not near else "bottom" if height > near[0] else "top"
            note(ax, f"{height:.0f}", (place, height), (-style.marker * 2, 0), colour, ha="right", va=va)
            labels[recipe] = EndLabel(place, height, recipe, colour)  # named at the last network that has it
        told = ", ".join(f"{recipe} {height:.1f} %" for recipe, height in points)
        said.append(f"{name} ({quantity(cost)} multiply-adds): {told}.")
    # two networks may cost the same: their places are even, and the costs are written below
    ax.set_xticks(range(len(ordered)), [f"{name}\n{quantity(cost)}" for name, (cost, _) in ordered])
    ax.set_xlim(-0.5, len(ordered) - 0.5)
    heights = [100 * share for _, shares in networks.values() for share in shares.values()]
    ax.set_ylim(0, 1.2 * max(heights))  # from zero: what an arrow adds is seen beside what was there
    ax.locator_params(axis="y", nbins=6)
    label_ends(ax, [*labels.values(), *_references(ax, chance, level)])
    if images:
        said.append(f"Bars: one standard error on {images} images.")
    said = ["Validation accuracy.", *said, *_told(chance, level)]
    picture.tell("What a network costs, and what a recipe adds", " ".join(said))
    return picture


@drawn
def ladder(rows: Sequence[tuple[str, str, str]]) -> Picture:
    """Validation accuracies from the report to the best, a bar each; what has not been run has none and says so.

    rows: (section, network, accuracy as text), such as ("the report", "Model 3", "15.6 %") or ("beyond", "modern",
    "not yet run"): columns of `records.table`. Raises InvalidInputError for none.
    """
    if not rows:
        raise InvalidInputError("ladder got no rows. Give (section, network, accuracy), one or more")
    picture = Picture(8.6, 1.1 + 0.33 * len(rows))
    ax = picture.subplots()
    dress(ax, x="validation accuracy on 200 classes (%)", grid="x")
    ax.set_xlim(0, 100)
    for place, (section, _, text) in zip(range(len(rows))[::-1], rows, strict=True):
        number = re.match(r"\d+(\.\d+)?", text)
        colour = _SECTIONS.get(section.split(",")[0], BLACK)
        width = float(number[0]) if number else 0.0
        ax.barh(place, width, 0.66, color=colour)
        ink, slant = (INK, "normal") if number else (GREY, "italic")
        note(ax, text, (width, place), (4, 0), ink, 0.95, va="center", style=slant)
    ax.set_yticks(range(len(rows))[::-1], [f"{section}: {network}" for section, network, _ in rows])
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(-0.6, len(rows) - 0.4)
    sections = listed(list(dict.fromkeys(section for section, *_ in rows)))
    told = "; ".join(f"{section}, {network}: {text}" for section, network, text in rows)
    picture.tell("From the report to the best", f"Validation accuracy of {sections}. {told}.")
    return picture


def _told(chance: float | None, level: tuple[str, float] | None) -> list[str]:
    return [f"{name}: {percent(share)}." for name, share in compared(chance, level)]


def _references(ax: Axes, chance: float | None, level: tuple[str, float] | None) -> list[EndLabel]:
    """Grey lines of what guessing and `level` give; the labels for their ends."""
    return [reference(ax, 100 * share, f"{name}: {100 * share:.3g} %") for name, share in compared(chance, level)]
