"""Training curves: one run, several runs over each other or side by side.

Training is blue and solid, validation vermillion and dashed, what was measured while learning (dropout on) blue
and dotted. Grey dotted lines are what guessing gives: loss ln C and accuracy 1/C for C classes.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from tinylab.figures.style import (
    GREY,
    HUES,
    TRAINING,
    VALIDATION,
    EndLabel,
    Picture,
    Style,
    decimate,
    drawn,
    dress,
    label_ends,
    look,
    percent,
)
from tinylab.support.errors import InvalidInputError

if TYPE_CHECKING:
    from tinylab.training import History

FAINT, FAINT_INK = "#6FA8CF", "#3A749E"  # single batches, behind the epochs; their name
_SCALE = {"loss": 1.0, "accuracy": 100.0}
_UNIT = {"loss": "loss (nats per image)", "accuracy": "accuracy (%)"}
_OVERLAY, _MULTIPLES = 4, 6  # most runs that can be told apart in one panel; most panels side by side
Level = tuple[str, float]  # name and accuracy (0..1) of one more reference line
_TURN = 1.02  # a validation loss 2 % above its best has turned; less is noise


def _column(history: "History", name: str) -> np.ndarray:
    """A column of a history as float64 (epochs,), NaN where a value is missing."""
    return np.array([np.nan if value is None else float(value) for value in history.column(name)])


def _classes(history: "History") -> int | None:
    """How many classes the run told apart, if it says so."""
    classes: Any = getattr(history, "classes", None)
    return classes if isinstance(classes, int) or classes is None else len(classes)


def _watched(history: "History") -> str:
    return str(getattr(history, "eval_split", None) or "validation")


def best_epoch(history: "History") -> int | None:
    """The epoch (from 1) with the lowest validation loss; None before there is one."""
    losses = _column(history, "eval_loss")
    return int(_column(history, "epoch")[np.nanargmin(losses)]) if np.isfinite(losses).any() else None


def verdict(history: "History") -> str:
    """One sentence on what the curves of a run show, from its numbers."""
    best, validation = best_epoch(history), _column(history, "eval_loss")
    train, last = _column(history, "train_loss"), int(_column(history, "epoch")[-1]) if len(validation) else 0
    watched = _watched(history)
    if best is None:
        return "No epoch has finished yet" if last == 0 else f"Training loss after {last} epochs: {train[-1]:.2f}"
    if validation[-1] > _TURN * np.nanmin(validation) and best < last:
        still = " while training loss keeps falling" if train[-1] < train[validation.argmin()] else ""
        return f"The {watched} loss turns upwards after epoch {best}{still}"
    if last == 1:
        return f"After one epoch: {watched} loss {validation[-1]:.2f}"
    if best == last:
        return f"The {watched} loss is still falling at epoch {last}"
    return f"The {watched} loss is lowest at epoch {best} of {last}"


def _references(ax: Axes, kind: str, history: "History", style: Style, level: Level | None) -> list[EndLabel]:
    """Lines of what guessing and, in the panel of accuracies, `level` give; the labels for their ends."""
    classes, lines = _classes(history), []
    if classes is not None and classes >= 2:
        guess = math.log(classes) if kind == "loss" else 100 / classes
        lines.append((guess, f"guessing: ln {classes} = {guess:.2f}" if kind == "loss" else f"guessing: {guess:.3g} %"))
    if level is not None and kind == "accuracy":
        lines.append((100 * level[1], f"{level[0]}: {100 * level[1]:.3g} %"))
    for height, _ in lines:
        ax.axhline(height, color=GREY, linestyle=":", linewidth=style.line * 0.8)
    return [EndLabel(ax.get_xlim()[1], height, text, GREY) for height, text in lines]


def _line(
    ax: Axes,
    history: "History",
    column: str,
    kind: str,
    colour: str,
    dash: str,
    name: str,
    style: Style,
    width: float = 1.0,
) -> list[EndLabel]:
    """One line over the epochs, with a dot where a run has a single point; the label for its end."""
    x, y = decimate(_column(history, "epoch"), _column(history, column) * _SCALE[kind])
    known = np.flatnonzero(np.isfinite(y))
    if not len(known):
        return []
    ax.plot(x, y, dash, color=colour, lw=style.line * width, marker="o" if len(known) < 3 else "", ms=style.marker)
    return [EndLabel(float(x[known[-1]]), float(y[known[-1]]), name, colour)]


def _limits(ax: Axes, kind: str, epochs: int, highest: float | None = None) -> None:
    """highest: of a loss that is drawn; a spike must not flatten everything else."""
    ax.set_xlim(*((1, epochs) if epochs > 1 else (0.5, 1.5)))
    ax.set_ylim(bottom=0)
    if kind == "loss" and highest is not None:
        ax.set_ylim(0, min(ax.get_ylim()[1], highest))
    if kind == "accuracy":
        ax.set_ylim(0, min(max(ax.get_ylim()[1], 10), 100 if ax.get_ylim()[1] <= 100 else 102))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _highest(runs: "Sequence[History]") -> float | None:
    """Three times what guessing costs, unless most of what is drawn lies above."""
    classes = _classes(runs[0])
    losses = np.concatenate([_column(h, c) for h in runs for c in ("train_loss", "eval_loss", "running_loss")])
    if classes is None or classes < 2 or not np.isfinite(losses).any():
        return None
    level = 3 * math.log(classes)
    return level if np.nanmedian(losses) < level else None


def _panel(
    ax: Axes,
    history: "History",
    kind: str,
    style: Style,
    *,
    names: bool = True,
    running: bool = True,
    best: bool = True,
    level: Level | None = None,
) -> None:
    """Loss or accuracy of one run: training, validation, while learning, best epoch, guessing."""
    watched = _watched(history)
    labels = _line(ax, history, f"train_{kind}", kind, TRAINING, "-", "training", style)
    labels += _line(ax, history, f"eval_{kind}", kind, VALIDATION, "--", watched, style)
    if running:
        labels += _line(ax, history, f"running_{kind}", kind, TRAINING, ":", "while learning", style, 0.8)
    epochs = _column(history, "epoch")
    _limits(ax, kind, int(epochs[-1]) if len(epochs) else 1, _highest([history]))
    labels += _references(ax, kind, history, style, level)
    epoch = best_epoch(history)
    if best and epoch is not None and len(epochs) > 1:
        value = _column(history, f"eval_{kind}")[list(epochs).index(epoch)] * _SCALE[kind]
        ax.axvline(epoch, color=VALIDATION, lw=0.8, alpha=0.5)
        ax.plot([epoch], [value], "o", color=VALIDATION, ms=style.marker * 1.3, mfc="white", mew=style.line * 0.8)
        left = epoch > epochs[-1] * 0.6
        if kind == "loss":  # above the lowest validation loss there is room; in the other panel there may be none
            ax.annotate(
                f"lowest loss: epoch {epoch}",
                (epoch, 1),
                xycoords=("data", "axes fraction"),
                va="bottom",
                xytext=(0, 2),
                textcoords="offset points",
                ha="right" if left else "left",
                color=VALIDATION,
                fontsize=style.font * 0.9,
            )
    if names:
        label_ends(ax, labels, style)


def _described(name: str, history: "History") -> str:
    """The key numbers of a run, as text."""
    if not len(history.column("epoch")):
        return f"{name}: no epoch has finished."

    def last(column: str) -> float:
        return float(_column(history, column)[-1])

    count, watched = int(last("epoch")), _watched(history)
    text = (
        f"{name}: after {count} epoch{'s' * (count > 1)}, training loss {last('train_loss'):.2f} and accuracy "
        f"{percent(last('train_accuracy'))} ({percent(last('running_accuracy'))} while learning), "
        f"{watched} loss {last('eval_loss'):.2f} and accuracy {percent(last('eval_accuracy'))}"
    )
    epoch = best_epoch(history)
    if epoch is None:
        return text + "."
    lowest = float(np.nanmin(_column(history, "eval_loss")))
    return f"{text}; best epoch {epoch}, {watched} loss {lowest:.2f}."


def _overlaid(picture: Picture, runs: Mapping[str, "History"], style: Style, level: Level | None) -> None:
    """All runs in the same two panels: the hue tells the run, dashes the validation."""
    for ax, kind in zip(picture.subplots(1, 2), _SCALE, strict=True):
        watched = _watched(next(iter(runs.values())))
        dress(ax, style, f"{kind}: training solid, {watched} dashed", x="epoch", y=_UNIT[kind])
        labels = []
        for (name, history), hue in zip(runs.items(), HUES, strict=False):
            _line(ax, history, f"train_{kind}", kind, hue, "-", name, style, 0.8)
            labels += _line(ax, history, f"eval_{kind}", kind, hue, "--", name, style)
        _limits(ax, kind, max(len(h.column("epoch")) for h in runs.values()), _highest(list(runs.values())))
        label_ends(ax, labels + _references(ax, kind, next(iter(runs.values())), style, level), style)


def _side_by_side(picture: Picture, runs: Mapping[str, "History"], style: Style, level: Level | None) -> None:
    """A column of two panels for each run, on shared axes."""
    axes = picture.subplots(2, len(runs), sharex=True, sharey="row", squeeze=False)
    for column, (name, history) in enumerate(runs.items()):
        for row, kind in enumerate(_SCALE):
            ax = axes[row, column]
            edge = column == 0
            dress(ax, style, name if row == 0 else "", x="epoch" if row else "", y=_UNIT[kind] if edge else "")
            _panel(ax, history, kind, style, names=column == len(runs) - 1, best=False, level=level)


@drawn
def curves(
    histories: "History | Mapping[str, History]",
    *,
    title: str = "",
    running: bool = True,
    best: bool = True,
    level: Level | None = None,
    side_by_side: bool | None = None,
    style: str | None = None,
) -> Picture:
    """Loss and accuracy over the epochs, of one run or of several ({name: history}).

    One run: training and validation in evaluation mode, the running values (dropout on) dotted, the best
    epoch marked, guessing as a grey line. Up to 4 runs share the panels (hue tells the run, validation is
    dashed and carries the name); up to 6 stand side by side (`side_by_side`; by default from 5).
    level: (name, accuracy 0..1) of one more grey line, such as `evaluation.baseline(data).level`.
    """
    look_ = look(style)
    runs = dict(histories) if isinstance(histories, Mapping) else {"": histories}
    if not runs or len(runs) > _MULTIPLES:
        raise InvalidInputError(f"curves got {len(runs)} runs. Allowed: 1 to {_MULTIPLES} in one picture")
    side_by_side = len(runs) > _OVERLAY if side_by_side is None else side_by_side
    if len(runs) > _OVERLAY and not side_by_side:
        raise InvalidInputError(f"curves got {len(runs)} runs for one panel. Allowed: {_OVERLAY}; or side_by_side=True")
    first = next(iter(runs.values()))
    if len(runs) == 1:
        picture = Picture(9.4 * look_.size, 3.5 * look_.size, look_)
        for ax, kind in zip(picture.subplots(1, 2), _SCALE, strict=True):
            dress(ax, look_, x="epoch", y=_UNIT[kind])
            _panel(ax, first, kind, look_, running=running, best=best, level=level)
        title = title or verdict(first)
    elif side_by_side:
        picture = Picture(max(2.4 * len(runs) + 1.2, 5) * look_.size, 5.2 * look_.size, look_)
        _side_by_side(picture, runs, look_, level)
    else:
        picture = Picture(9.4 * look_.size, 3.7 * look_.size, look_)
        _overlaid(picture, runs, look_, level)
    title = title or "The same protocol, several runs"
    picture.headline(title)
    said = " ".join(_described(name or "This run", history) for name, history in runs.items())
    beside = "" if level is None else f" {level[0]}: {percent(level[1])}."
    picture.alt = f"{title}. Loss and accuracy over the epochs. {said}{beside}"
    return picture
