"""Training curves: one run, or several runs over each other.

Training is blue and solid, validation vermillion and dashed, what was measured while learning (dropout on) blue
and dotted. Grey dotted lines are what guessing gives: loss ln C and accuracy 1/C for C classes.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from tinylab.diagnosis import turning_point
from tinylab.figures.style import (
    AT_X,
    HUES,
    TRAINING,
    VALIDATION,
    EndLabel,
    Picture,
    compared,
    drawn,
    dress,
    label_ends,
    note,
    percent,
    reference,
    style_of,
)
from tinylab.support.errors import InvalidInputError
from tinylab.training import History

FAINT, FAINT_INK = "#6FA8CF", "#3A749E"  # single batches, behind the epochs; their name
SCALE = {"loss": 1.0, "accuracy": 100.0}
UNIT = {"loss": "loss (nats per image)", "accuracy": "accuracy (%)"}
_MOST = 4  # runs that can be told apart in one panel
Level = tuple[str, float]  # name and accuracy (0..1) of one more reference line


def column(history: History, name: str) -> np.ndarray:
    """A column of a history as float64 (epochs,)."""
    return np.array(history.column(name), dtype=np.float64)


def best_epoch(history: History) -> int | None:
    """The epoch (from 1) with the lowest validation loss; None before there is one."""
    return history.best.epoch if history.epochs else None


def verdict(history: History) -> str:
    """One sentence on what the curves of a run show, from its numbers."""
    if not history.epochs:
        return "No epoch has finished yet"
    watched, best, last, turning = history.eval_split, history.best, history.last, turning_point(history)
    if turning.turned:
        falls = last.train_loss < history.epochs[turning.epoch - 1].train_loss
        still = " while training loss keeps falling" if falls else ""
        return f"The {watched} loss turns upwards after epoch {turning.epoch}{still}"
    if last.epoch == 1:
        return f"After one epoch: {watched} loss {last.eval_loss:.2f}"
    if best is last:
        return f"The {watched} loss is still falling at epoch {last.epoch}"
    return f"The {watched} loss is lowest at epoch {best.epoch} of {last.epoch}"


def _references(ax: Axes, kind: str, history: History, level: Level | None) -> list[EndLabel]:
    """Lines of what guessing and, in the panel of accuracies, `level` give; the labels for their ends."""
    labels, classes = [], len(history.classes)
    if classes >= 2:
        guess = math.log(classes) if kind == "loss" else 100 / classes
        text = f"guessing: ln {classes} = {guess:.2f}" if kind == "loss" else f"guessing: {guess:.3g} %"
        labels.append(reference(ax, guess, text))
    if level is not None and kind == "accuracy":
        labels.append(reference(ax, 100 * level[1], f"{level[0]}: {100 * level[1]:.3g} %"))
    return labels


def _line(
    ax: Axes, history: History, what: str, kind: str, colour: str, dash: str, name: str, width: float = 1.0
) -> list[EndLabel]:
    """One line over the epochs, with a dot where a run has a single point; the label for its end."""
    style = style_of(ax)
    x, y = column(history, "epoch"), column(history, f"{what}_{kind}") * SCALE[kind]
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


def _highest(runs: Sequence[History]) -> float | None:
    """Three times what guessing costs, unless most of what is drawn lies above."""
    classes = len(runs[0].classes)
    losses = np.concatenate([column(h, c) for h in runs for c in ("train_loss", "eval_loss", "running_loss")])
    if classes < 2 or not np.isfinite(losses).any():
        return None
    level = 3 * math.log(classes)
    return level if np.nanmedian(losses) < level else None


def _panel(ax: Axes, history: History, kind: str, level: Level | None) -> list[EndLabel]:
    """Loss or accuracy of one run: training, validation, while learning, guessing; the labels for their ends."""
    labels = _line(ax, history, "train", kind, TRAINING, "-", "training")
    labels += _line(ax, history, "eval", kind, VALIDATION, "--", history.eval_split)
    labels += _line(ax, history, "running", kind, TRAINING, ":", "while learning", 0.8)
    epochs = column(history, "epoch")
    _limits(ax, kind, int(epochs[-1]) if len(epochs) else 1, _highest([history]))
    return labels + _references(ax, kind, history, level)


def mark_best(ax: Axes, history: History, kind: str, colour: str = VALIDATION) -> None:
    """A hollow dot on the validation at the best epoch, which the panel of losses names. Call it after the limits."""
    best, style = history.best.epoch, style_of(ax)
    value = history.column(f"eval_{kind}")[best - 1] * SCALE[kind]
    ax.plot([best], [value], "o", color=colour, ms=style.marker * 1.3, mfc="white", mew=style.line * 0.8)
    if kind == "loss":  # above the lowest validation loss there is room; in the other panel there may be none
        side = "right" if best > 0.6 * ax.get_xlim()[1] else "left"
        note(ax, f"lowest loss: epoch {best}", (best, 1), (0, 2), colour, xycoords=AT_X, ha=side, va="bottom")


def _described(name: str, history: History) -> str:
    """The key numbers of a run, as text."""
    if not history.epochs:
        return f"{name}: no epoch has finished."
    last, best, watched = history.last, history.best, history.eval_split
    return (
        f"{name}: after {last.epoch} epoch{'s' * (last.epoch > 1)}, training loss {last.train_loss:.2f} and accuracy "
        f"{percent(last.train_accuracy)} ({percent(last.running_accuracy)} while learning), "
        f"{watched} loss {last.eval_loss:.2f} and accuracy {percent(last.eval_accuracy)}; "
        f"best epoch {best.epoch}, {watched} loss {best.eval_loss:.2f}."
    )


def _overlaid(picture: Picture, runs: Mapping[str, History], level: Level | None) -> None:
    """All runs in the same two panels: the hue tells the run, dashes the validation."""
    first = next(iter(runs.values()))
    for ax, kind in zip(picture.subplots(1, 2), SCALE, strict=True):
        dress(ax, f"{kind}: training solid, {first.eval_split} dashed", x="epoch", y=UNIT[kind])
        labels = []
        for (name, history), hue in zip(runs.items(), HUES, strict=False):
            _line(ax, history, "train", kind, hue, "-", name, 0.8)
            labels += _line(ax, history, "eval", kind, hue, "--", name)
        _limits(ax, kind, max(len(h.column("epoch")) for h in runs.values()), _highest(list(runs.values())))
        label_ends(ax, labels + _references(ax, kind, first, level))


@drawn
def curves(histories: History | Mapping[str, History], *, title: str = "", level: Level | None = None) -> Picture:
    """Loss and accuracy over the epochs, of one run or of several ({name: history}).

    One run: training and validation in evaluation mode, the running values (dropout on) dotted, the best
    epoch marked, guessing as a grey line. Up to 4 runs share the panels: hue tells the run, validation is
    dashed and carries the name.
    level: (name, accuracy 0..1) of one more grey line, such as `evaluation.baseline(data).level`.
    """
    runs = dict(histories) if isinstance(histories, Mapping) else {"": histories}
    if not 1 <= len(runs) <= _MOST:
        raise InvalidInputError(f"curves got {len(runs)} runs. Allowed: 1 to {_MOST} in one picture")
    if len(runs) == 1:
        picture, (history,) = Picture(9.4, 3.5), runs.values()
        for ax, kind in zip(picture.subplots(1, 2), SCALE, strict=True):
            dress(ax, x="epoch", y=UNIT[kind])
            labels = _panel(ax, history, kind, level)
            if len(history.epochs) > 1:
                ax.axvline(history.best.epoch, color=VALIDATION, lw=0.8, alpha=0.5)
                mark_best(ax, history, kind)
            label_ends(ax, labels)
        title = title or verdict(history)
    else:
        picture = Picture(9.4, 3.7)
        _overlaid(picture, runs, level)
    said = " ".join(_described(name or "This run", history) for name, history in runs.items())
    classes = len(next(iter(runs.values())).classes)
    guess = 1 / classes if classes >= 2 else None
    beside = "".join(f" {name}: {percent(share)}." for name, share in compared(guess, level))
    picture.tell(title or "The same protocol, several runs", f"Loss and accuracy over the epochs. {said}{beside}")
    return picture
