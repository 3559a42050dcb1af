"""What each way to score a network wrongly leaves behind: confusion and class profiles, side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from tinylab.figures.style import BLUE, GREY, INK, VERMILLION, Picture, array, drawn, dress, listed, percent, style_of
from tinylab.support.errors import InvalidInputError

_MOST_CASES = 6  # side by side on a page
_MOST_CLASSES = 20  # of a confusion matrix that can still be read
_BLUES = LinearSegmentedColormap.from_list("blues", ["#FFFFFF", BLUE, "#00304D"])


@drawn
def signatures(matrices: Mapping[str, Any], *, title: str = "") -> Picture:
    """A column for each case: confusion, share of each class that is recognised, share of answers that name it.

    matrices: {"as it should be": int (C, C), "files in sorted order": …}, rows true, columns predicted, 1 to 6 of
    one size. Shown are all classes, or those 20 that the first case recognises best; accuracies are of all classes.
    Raises InvalidInputError for matrices that do not fit.
    """
    counts = {name: array(matrix) for name, matrix in matrices.items()}
    shapes = {matrix.shape for matrix in counts.values()}
    if not 1 <= len(counts) <= _MOST_CASES or len(shapes) != 1 or any(len(s) != 2 or s[0] != s[1] for s in shapes):
        raise InvalidInputError(
            f"signatures got {len(counts)} matrices of shapes {sorted(shapes)}. Allowed: 1 to {_MOST_CASES}, all (C, C)"
        )
    first = next(iter(counts.values()))
    known = np.diag(first) / np.maximum(first.sum(axis=1), 1)
    shown = np.sort(np.argsort(-known, kind="stable")[:_MOST_CLASSES])
    picture = Picture(1.2 + 1.5 * len(counts), 4.7)
    style = picture.style
    panels = picture.subplots(3, len(counts), sharey="row", squeeze=False, height_ratios=[1.5, 1, 1])
    for column, (name, matrix) in zip(panels.T, counts.items(), strict=True):
        _column(column, matrix, shown, left=column[0] is panels[0, 0])
        accuracy = percent(float(np.trace(matrix) / max(matrix.sum(), 1)))
        column[0].set_title(f"{_broken(name)}\n{accuracy}", fontsize=style.font * 0.95, color=INK, parse_math=False)
    some = "" if len(shown) == len(first) else f", {len(shown)} of {len(first)} classes"
    picture.tell(
        title or f"The signature of each case: accuracy, confusion, profiles{some}",
        " ".join(f"{name}: {_words(matrix)}." for name, matrix in counts.items()),
    )
    return picture


def _column(panels: Sequence[Axes], matrix: np.ndarray, shown: np.ndarray, *, left: bool) -> None:
    style = style_of(panels[0])
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    recognised = 100 * np.diag(shares)
    named = 100 * matrix.sum(axis=0) / max(int(matrix.sum()), 1)
    real = 100 * matrix.sum(axis=1) / max(int(matrix.sum()), 1)
    dress(panels[0], y="true class" if left else "", x="predicted class", grid=None)
    # "auto": a square panel would leave gaps in the row, and the cells need no exact shape to be read
    panels[0].imshow(shares[np.ix_(shown, shown)], cmap=_BLUES, vmin=0, vmax=1, aspect="auto")
    places = np.arange(len(shown))
    for panel, values, colour, name in (
        (panels[1], recognised, BLUE, "recognised (%)"),
        (panels[2], named, VERMILLION, "named (%)"),
    ):
        dress(panel, y=name if left else "", x="class" if panel is panels[2] else "")
        panel.bar(places, values[shown], 0.8, color=colour)
        panel.set_xlim(-0.6, len(shown) - 0.4)
        if panel is panels[1]:
            panel.set_ylim(0, 100)
    edges, level = [-0.5, *(places + 0.5)], [real[shown][0], *real[shown]]  # dotted: how often the class occurs
    panels[2].step(edges, level, color=GREY, linestyle=":", linewidth=style.line)
    for panel in panels:
        panel.set_xticks([])
        panel.yaxis.label.set_fontsize(style.font * 0.9)
        panel.xaxis.label.set_fontsize(style.font * 0.9)
    panels[0].set_yticks([])


def _broken(name: str) -> str:
    """A name in at most two lines, broken at the space nearest to its middle."""
    spaces = [i for i, letter in enumerate(name) if letter == " "]
    if len(name) < 12 or not spaces:
        return f"\n{name}"
    middle = min(spaces, key=lambda i: abs(i - len(name) / 2))
    return f"{name[:middle]}\n{name[middle + 1 :]}"


def _words(matrix: np.ndarray) -> str:
    """The signature in words and numbers."""
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    recognised = np.diag(shares)
    named = matrix.sum(axis=0) / max(int(matrix.sum()), 1)
    wrong = np.where(np.eye(len(matrix), dtype=bool), -1, matrix)
    r, c = divmod(int(wrong.argmax()), len(matrix))
    parts = [
        f"accuracy {percent(float(np.trace(matrix) / max(matrix.sum(), 1)))}",
        f"classes recognised between {percent(recognised.min())} and {percent(recognised.max())}",
        f"the class named most often takes {percent(named.max())} of the answers",
        f"the most frequent confusion, {r} for {c}, {percent(float(shares[r, c]))} of its class",
    ]
    return listed(parts)
