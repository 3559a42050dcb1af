"""What lecture 07 shows: a loss with its turning point, one factor at a time.

Training is blue and filled, validation vermillion and hollow, as in the curves; the line between the two is the gap.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from tinylab.figures.style import (
    AT_X,
    GREY,
    INK,
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
    style_of,
)
from tinylab.support.errors import InvalidInputError

if TYPE_CHECKING:
    from tinylab.diagnosis import Flattening, Outcome, Turning
    from tinylab.training import History


@drawn
def turning(history: "History", found: "Turning", flat: "Flattening | None" = None, *, title: str = "") -> Picture:
    """Figure 2: training and validation loss over the epochs, the turning point marked, the noise around it shaded.

    found, flat: from `diagnosis.turning_point` and `diagnosis.flattening` of the same history. Raises
    InvalidInputError for a history without an epoch.
    """
    epochs = np.array(history.column("epoch"), dtype=float)
    if not len(epochs):
        raise InvalidInputError("turning got a history without an epoch. Train first")
    picture = Picture(7.6, 3.6)
    style = picture.style
    ax = picture.subplots()
    dress(ax, x="epoch", y="loss (nats per image)")
    train, validation = (np.array(history.column(f"{kind}_loss")) for kind in ("train", "eval"))
    marker = "o" if len(epochs) <= 20 else ""
    ax.plot(epochs, train, "-", color=TRAINING, lw=style.line, marker=marker, ms=style.marker * 0.7)
    ax.plot(epochs, validation, "--", color=VALIDATION, lw=style.line, marker=marker, ms=style.marker * 0.7)
    ax.set_xlim(*((1, epochs[-1]) if len(epochs) > 1 else (0.5, 1.5)))
    ax.set_ylim(bottom=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    notes = []
    if len(epochs) > 1:
        low, high = found.between
        ax.axvspan(low - 0.5 * (low > 1), high + 0.5 * (high < epochs[-1]), color=VALIDATION, alpha=0.10, lw=0)
        notes.append((found.epoch, f"{'turns' if found.turned else 'lowest'}: epoch {found.epoch}", VALIDATION))
    if flat is not None and flat.epoch is not None and len(epochs) > 1:
        notes.append((flat.epoch, f"training flat: epoch {flat.epoch}", TRAINING))
    for row, (epoch, text, colour) in enumerate(notes):
        ax.axvline(epoch, color=colour, lw=0.8, alpha=0.6)
        # above the panel, one line of text for each mark: they may be neighbours
        side = "right" if epoch > 0.6 * epochs[-1] else "left"
        note(ax, text, (epoch, 1), (0, 2 + 1.25 * style.font * row), colour, xycoords=AT_X, ha=side, va="bottom")
    ends = [EndLabel(epochs[-1], train[-1], "training", TRAINING)]
    label_ends(ax, [*ends, EndLabel(epochs[-1], validation[-1], history.eval_split, VALIDATION)])
    title = title or (f"The {history.eval_split} loss " + ("turns" if found.turned else "has not turned"))
    count = f"{len(epochs)} epoch{'s' * (len(epochs) > 1)}"
    picture.tell(title, f"Loss over {count}. {found.evidence}" + (f" {flat.evidence}" if flat else ""))
    return picture


@drawn
def one_factor(
    outcomes: Sequence["Outcome"], *, chance: float | None = None, level: tuple[str, float] | None = None
) -> Picture:
    """A row for each setting: training and validation accuracy with the gap between, and the loss, best and at the end.

    outcomes: from `diagnosis.outcome`; chance: accuracy of guessing, 0..1, drawn as a dotted line; level: (name,
    accuracy) of one more, such as `evaluation.baseline(data).level`. Raises InvalidInputError for none.
    """
    if not outcomes:
        raise InvalidInputError("one_factor got no outcomes. Give one or more from diagnosis.outcome")
    picture = Picture(9.4, 1.5 + 0.42 * len(outcomes))
    style = picture.style
    left, right = picture.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    watched = outcomes[0].turning.eval_split
    dress(left, f"accuracy: training ●, {watched} ○", x="accuracy (%)", grid="x")
    dress(right, "loss: best ○, at the end ●", x=f"{watched} loss (nats per image)", grid="x")
    places = np.arange(len(outcomes))[::-1]
    for place, o in zip(places, outcomes, strict=True):
        _pair(left, place, (100 * o.train, TRAINING), (100 * o.validation, VALIDATION))
        _pair(right, place, (o.eval_loss, VALIDATION), (o.best_loss, VALIDATION))
        # at the right edge, where no point can be: a column of gaps
        gap = f"gap {100 * o.gap:.0f}".replace("-", "−")
        note(left, gap, (1, place), (4, 0), INK, xycoords=("axes fraction", "data"), va="center")
    left.set_yticks(places, [o.name for o in outcomes])
    left.set_xlim(0, 102)
    left.set_ylim(-0.6, len(outcomes) - 0.4)
    right.set_xlim(0, 1.06 * max(o.eval_loss for o in outcomes))
    for ax in (left, right):
        ax.tick_params(axis="y", length=0)
    for row, (name, value) in enumerate(compared(chance, level)):  # one name above the other: they may be neighbours
        left.axvline(100 * value, color=GREY, linestyle=":", lw=style.line * 0.8)
        note(left, name, (100 * value, 0), (3, 3 + 1.1 * style.font * row), GREY, 0.8, xycoords=AT_X)
    picture.tell(
        "One factor at a time: what closes the gap?",
        f"Training / {watched} accuracy; {watched} loss at its best and at the end. "
        + " ".join(
            f"{o.name}: {percent(o.train)} / {percent(o.validation)}, gap {100 * o.gap:.0f} points; loss "
            f"{o.best_loss:.2f}, {o.eval_loss:.2f}."
            for o in outcomes
        )
        + "".join(f" {name}: {percent(value)}." for name, value in compared(chance, level)),
    )
    return picture


def _pair(ax: Axes, place: float, one: tuple[float, str], other: tuple[float, str]) -> None:
    """Two points on one row, (value, colour) each, and the line between them; the first filled, the other hollow."""
    style = style_of(ax)
    ax.plot([one[0], other[0]], [place, place], color=GREY, lw=style.line, zorder=1, solid_capstyle="butt")
    for (value, colour), fill in ((other, "white"), (one, one[1])):
        ax.plot([value], [place], "o", color=colour, ms=style.marker * 1.7, mew=style.line, mfc=fill, zorder=2)
