"""The live laboratory as a still, for paper, slides and runs without a page: up to four branches, marks, images.

One branch: training is blue and solid, the watched split vermillion and dashed, as in all curves of the course.
Several: the hue tells the branch, named by a letter at its end and by its change in the key below. The page draws the
same from the same numbers (`tinylab/lab/live/chart.js`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from tinylab.figures.curves import FAINT, FAINT_INK, SCALE, UNIT, best_epoch, column, mark_best
from tinylab.figures.style import (
    AT_X,
    GREEN,
    HUES,
    INK,
    TRAINING,
    VALIDATION,
    VERMILLION,
    EndLabel,
    Picture,
    drawn,
    dress,
    label_ends,
    note,
    percent,
    reference,
    style_of,
)
from tinylab.support.errors import InvalidInputError

if TYPE_CHECKING:
    from tinylab.training.history import History

MOST = 4  # branches that can be told apart
MOST_IMAGES = 8
_LEFT, _ACROSS = (0.065, 0.56), 0.272  # of the two panels; their width
_WIDTH, _HEIGHT = 9.4, 5.5  # inches, style "page"
_PANELS, _KEY, _STRIP = (0.465, 0.41), 0.375, 0.235  # bottom and height of the panels; top of the key; of the strip


@dataclass(frozen=True)
class Branch:
    """One run since the beginning; what it shares with the one it left is drawn there."""

    letter: str
    name: str
    history: "History"
    batches: np.ndarray  # float64 (steps, 3): loss and accuracy of every batch, dropout on; epochs that had passed
    start: float = 0.0  # epochs: where it left


@dataclass(frozen=True, eq=False)
class Watched:
    """A few images, the same for a whole run."""

    images: np.ndarray  # uint8 (N, H, W, 3)
    names: Sequence[str]  # what they are


@dataclass(frozen=True)
class Strip:
    """What the network takes them for, and how sure it is (0..1)."""

    watched: Watched
    chosen: Sequence[str]
    sure: Sequence[float]


@dataclass(frozen=True)
class Scene:
    """All that one picture of the laboratory shows. Steps are updates since the beginning."""

    branches: tuple[Branch, ...]
    current: str  # the letter of the one that trains
    epochs: int  # where the axis ends
    classes: int
    marks: tuple[tuple[int, str], ...] = ()  # (step, text) of the current branch's knobs
    title: str = ""
    values: str = ""  # the knobs in force
    strip: Strip | None = None
    neighbours: float | None = None  # accuracy 0..1 of a k-nearest-neighbour classifier


@drawn
def laboratory(scene: Scene) -> Picture:
    """Loss and accuracy of all branches, marks, best epoch, key, images; always of the same size.

    Raises InvalidInputError for no branch, more than four, or a current one that is not there.
    """
    letters = [branch.letter for branch in scene.branches]
    if not 1 <= len(letters) <= MOST or scene.current not in letters:
        raise InvalidInputError(
            f"laboratory got branches {letters}, current {scene.current!r}. Allowed: 1 to {MOST}, one of them current"
        )
    picture = Picture(_WIDTH, _HEIGHT, layout=None)
    for left, kind in zip(_LEFT, SCALE, strict=True):
        ax = picture.add_axes((left, _PANELS[0], _ACROSS, _PANELS[1]))
        dress(ax, x="epoch", y=UNIT[kind])
        ax.set_xlim(0, scene.epochs * 1.02)  # room for the last marker
        ax.set_ylim(0, _top(scene) if kind == "loss" else 100)  # accuracy keeps its natural end
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        _panel(ax, scene, kind)
    picture.headline(scene.title, y=0.99)
    _write(picture, 0.01, 0.945, scene.values, INK, 0.95)
    for row, branch in enumerate(scene.branches):
        here = " (current)" if branch.letter == scene.current and len(letters) > 1 else ""
        text = f"{branch.letter}  {_named(branch)}{here}"
        _write(picture, 0.01, _KEY - row * 0.033, text, _hues(scene)[branch.letter], 0.9)
    if scene.strip is not None:
        _strip(picture, scene.strip)
    picture.alt = described(scene)
    return picture


def _write(picture: Picture, x: float, y: float, text: str, colour: str, size: float, va: str = "top") -> None:
    """Words outside the panels: `x`, `y` as shares of the picture, `size` of the style's font."""
    picture.text(x, y, text, va=va, color=colour, fontsize=picture.style.font * size, parse_math=False)


def _hues(scene: Scene) -> dict[str, str]:
    """A branch keeps its hue as others come and go."""
    if len(scene.branches) == 1:
        return {scene.current: INK}
    return {branch.letter: HUES["ABCD".index(branch.letter)] for branch in scene.branches}


def _top(scene: Scene) -> float:
    """Where the axis of the loss ends: a diverging run, or the spike of a first step, must not flatten all else."""
    level, highest = math.log(scene.classes), 0.0
    for branch in scene.branches:
        losses = [column(branch.history, name) for name in ("train_loss", "eval_loss")]
        if branch.letter == scene.current and len(branch.batches):
            losses.append(1.2 * np.percentile(branch.batches[:, 0], [90]))
        highest = max([highest, *(float(values.max()) for values in losses if len(values))])
    return min(max(1.08 * highest, 1.15 * level), 3 * level)


def _panel(ax: Axes, scene: Scene, kind: str) -> None:
    current = next(branch for branch in scene.branches if branch.letter == scene.current)
    if kind == "loss":  # in fewer words than in the curves: the other panel is near
        labels = [reference(ax, math.log(scene.classes), f"guessing: ln {scene.classes}")]
    else:
        labels = [reference(ax, 100 / scene.classes, f"guessing: {100 / scene.classes:.3g} %")]
        if scene.neighbours is not None:
            labels.append(reference(ax, 100 * scene.neighbours, f"k-NN: {percent(scene.neighbours)}"))
    labels = [label for branch in scene.branches for label in _lines(ax, scene, branch, kind)] + labels
    for step, text in scene.marks:
        at = current.batches[step - 1, 2] if step else 0.0
        ax.axvline(at, color=INK, lw=0.9, linestyle=(0, (4, 2)))
        if kind == "loss":
            offset, side = ((-2, -1), "right") if at > 0.9 * scene.epochs else ((2, -1), "left")  # where there is room
            box = {"facecolor": "white", "alpha": 0.6, "edgecolor": "none", "pad": 0.5}
            upright = {"rotation": 90, "va": "top", "ha": side, "linespacing": 1.0, "bbox": box}
            note(ax, text, (at, 1), offset, INK, 0.8, xycoords=AT_X, **upright)
    label_ends(ax, labels)


def _lines(ax: Axes, scene: Scene, branch: Branch, kind: str) -> list[EndLabel]:
    """One branch's lines; the labels for their ends."""
    style = style_of(ax)
    alone, current = len(scene.branches) == 1, branch.letter == scene.current
    hue, scale = _hues(scene)[branch.letter], SCALE[kind]
    labels = []
    batch = branch.batches[:, 0 if kind == "loss" else 1] * scale
    if current and len(batch):
        at = branch.batches[:, 2]
        ax.plot(at, batch, color=FAINT if alone else hue, lw=0.8, alpha=1.0 if alone else 0.35)
        if alone:
            labels.append(EndLabel(float(at[-1]), float(np.mean(batch[-10:])), "each batch", FAINT_INK))
    highest, top = int(np.argmax(batch)) if len(batch) else 0, ax.get_ylim()[1]
    if current and len(batch) and batch[highest] > top:  # what the axis leaves out is said
        value = f"{batch[highest]:,.0f}" if batch[highest] >= 100 else f"{batch[highest]:.3g}"
        note(ax, f"▲ {value}", (branch.batches[highest, 2], 1), (0, -1), hue, 0.8, xycoords=AT_X, ha="left", va="top")
    epochs = column(branch.history, "epoch")
    own = epochs >= branch.start  # with one epoch of the branch it left, so that the line begins there
    if branch.start and own.any():
        own[max(int(np.argmax(own)) - 1, 0)] = True
    width = style.line * (1.0 if current else 0.75)
    for what, dash, name, colour in (
        ("train", "-", "training", TRAINING),
        ("eval", "--", branch.history.eval_split, VALIDATION),
    ):
        values = column(branch.history, f"{what}_{kind}")[own] * scale
        if not len(values):
            continue
        marker = "o" if len(values) < 3 else ""
        ax.plot(epochs[own], values, dash, color=colour if alone else hue, lw=width, marker=marker, ms=style.marker)
        if alone:
            labels.append(EndLabel(float(epochs[-1]), float(values[-1]), name, colour))
        elif current or what == "eval" or len(scene.branches) == 2:  # of more, the solid lines can do without
            labels.append(EndLabel(float(epochs[-1]), float(values[-1]), f"{branch.letter} {name}", hue))
    if current and branch.history.epochs:
        mark_best(ax, branch.history, kind, VALIDATION if alone else hue)
    return labels


_SIDE, _MARGIN = 0.98 / MOST_IMAGES, 0.01  # of the width: of an image with the gap after it; before the first


def _strip(picture: Picture, strip: Strip) -> None:
    """A row of images, what each is above it, what it is taken for below."""
    watched = strip.watched
    for place, (image, name, chosen, sure) in enumerate(
        zip(watched.images, watched.names, strip.chosen, strip.sure, strict=True)
    ):
        left = _MARGIN + place * _SIDE
        ax = picture.add_axes((left, 0.3 * _STRIP, 0.55 * _HEIGHT * _STRIP / _WIDTH, 0.55 * _STRIP))
        ax.imshow(image, interpolation="nearest")
        ax.axis("off")
        _write(picture, left, 0.87 * _STRIP, _short(name), INK, 0.75, va="bottom")
        mark, colour = ("✓", GREEN) if name == chosen else ("✗", VERMILLION)
        _write(picture, left, 0.27 * _STRIP, f"{mark} {100 * sure:.0f} %\n{_short(chosen)}", colour, 0.75)


def _short(text: str) -> str:
    """As much as fits above an image in either style."""
    return text if len(text) <= 16 else text[:15] + "…"


def _named(branch: Branch) -> str:
    """Name and best epoch, for the key and for the text twin."""
    best = best_epoch(branch.history)
    if best is None:
        return f"{branch.name}: no epoch has finished"
    epoch = branch.history.epochs[best - 1]
    return (
        f"{branch.name}: best {branch.history.eval_split} loss {epoch.eval_loss:.2f} at epoch {best} "
        f"({percent(epoch.eval_accuracy)})"
    )


def described(scene: Scene) -> str:
    """The text twin."""
    parts = [f"{scene.title}. {scene.values}. Loss and accuracy over the epochs."]
    for branch in scene.branches:
        parts.append(f"Branch {branch.letter}: {_named(branch)}.")
        if branch.history.epochs:
            last = branch.history.last
            parts.append(
                f"After epoch {last.epoch}: training loss {last.train_loss:.2f} and accuracy "
                f"{percent(last.train_accuracy)}, {branch.history.eval_split} loss {last.eval_loss:.2f} and accuracy "
                f"{percent(last.eval_accuracy)}."
            )
    parts += [f"At step {step}: {text.replace(chr(10), ', ')}." for step, text in scene.marks]
    if scene.strip is not None:
        taken = zip(scene.strip.watched.names, scene.strip.chosen, scene.strip.sure, strict=True)
        parts.append(
            "Images: " + "; ".join(f"{name} taken for {said} ({100 * sure:.0f} %)" for name, said, sure in taken) + "."
        )
    return " ".join(parts)
