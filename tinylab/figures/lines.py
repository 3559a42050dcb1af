"""Any few series over the updates of a network: a loss, one weight, a learning rate; a sketch of Figure 2."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullFormatter

from tinylab.figures.style import (
    DASHES,
    GREY,
    HUES,
    TRAINING,
    VALIDATION,
    EndLabel,
    Picture,
    array,
    drawn,
    dress,
    label_ends,
    quantity,
    reference,
)
from tinylab.support.errors import InvalidInputError

_EPOCHS = 200  # of the report's Figure 2
FEW = 16  # points, up to which each gets a marker


@drawn
def lines(
    series: Mapping[str, Sequence[float]],
    *,
    title: str = "",
    x: str = "update",
    y: str = "loss (nats per image)",
    level: tuple[str, float] | None = None,
    log: bool = False,
    first: int = 1,
) -> Picture:
    """One line for each name, value i drawn at x = first + i and the name at the line's end.

    series: {"real images": [2.3, 1.9, …], …}, up to 5; level: (name, value) of a grey reference line;
    log: logarithmic y axis, on which values that are not above 0 have no place and are left out.
    Raises InvalidInputError for no series, too many, or one without a finite value.
    """
    if not 1 <= len(series) <= len(HUES):
        raise InvalidInputError(f"lines got {len(series)} series. Allowed: 1 to {len(HUES)} in one picture")
    picture = Picture(7.6, 3.3)
    style = picture.style
    ax = picture.subplots()
    dress(ax, x=x, y=y)
    if log:
        ax.set_yscale("log")
        ax.yaxis.set_minor_formatter(NullFormatter())  # over less than a decade it would write 2×10⁰
    labels, said, longest = [], [], max(len(values) for values in series.values())
    for (name, raw), colour, dash in zip(series.items(), HUES, DASHES, strict=False):
        values = array(raw).astype(float)
        values = np.where(np.isfinite(values) & ((values > 0) | (not log)), values, np.nan)
        known = np.flatnonzero(np.isfinite(values))
        if not len(known):
            raise InvalidInputError(f"lines got {name!r} without a value that can be drawn")
        marker = "o" if longest <= FEW else ""
        steps = np.arange(first, first + len(values))
        ax.plot(steps, values, linestyle=dash, color=colour, lw=style.line, marker=marker, ms=style.marker)
        labels.append(EndLabel(first + known[-1], values[known[-1]], name, colour))
        said.append(f"{name} from {quantity(values[known[0]])} to {quantity(values[known[-1]])}")
    frame_steps(ax, longest, first)
    if level is not None:
        labels.append(reference(ax, level[1], f"{level[0]} = {quantity(level[1])}"))
    label_ends(ax, labels)
    picture.tell(title or f"{y.partition(' (')[0].capitalize()} over {longest} {x}s", "; ".join(said) + ".")
    return picture


def frame_steps(ax: Axes, longest: int, first: int = 1) -> None:
    """Limits for lines over `longest` whole steps from `first`; from zero upwards, unless something lies below."""
    last = first + longest - 1
    ax.set_xlim(*((first, last) if longest > FEW else (first - 0.2, max(last, first + 1) + 0.2)))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if ax.get_yscale() == "linear" and ax.get_ylim()[0] >= 0:
        ax.set_ylim(bottom=0)


@drawn
def reported_losses() -> Picture:
    """The report's Figure 2 as a sketch of what its text says; the heights are ours, as is all that it leaves open.

    Said are the turn of the validation loss near epoch 20, its steady rise after, and a training loss that falls for
    the whole run, more slowly from about epoch 100 on, and stays above 1.
    """
    picture = Picture(7.6, 3.0)
    style = picture.style
    ax = picture.subplots()
    dress(ax, x="epoch", y="loss", grid=None)
    epochs = np.linspace(1, _EPOCHS, 400)
    drawn_ = {
        "training": (TRAINING, "-", 1.15 + 4.1 * np.exp(-epochs / 30)),
        "validation": (VALIDATION, "--", 3.3 + 1.9 * np.exp(-epochs / 6) + 0.0105 * epochs),  # lowest near 20
    }
    labels = []
    for name, (colour, dash, losses) in drawn_.items():
        (line,) = ax.plot(epochs, losses, linestyle=dash, color=colour, lw=style.line)
        line.set_sketch_params(1.5, 120, 8)  # drawn by hand: nobody should read a number off it
        labels.append(EndLabel(_EPOCHS, losses[-1], name, colour))
    ax.set(xlim=(1, _EPOCHS), ylim=(0, 6), xticks=[20, 100, _EPOCHS], yticks=[1])
    ax.axvline(20, color=GREY, linestyle=":", lw=style.line * 0.8)
    ax.axhline(1, color=GREY, linestyle=":", lw=style.line * 0.8)
    label_ends(ax, labels)
    picture.headline("A sketch of the report's Figure 2, from its words")
    picture.alt = (
        f"{picture.get_suptitle()}, without its numbers: the validation loss turns near epoch 20 and rises from there; "
        "the training loss falls for the whole run, more slowly from about epoch 100 on, and stays above 1."
    )
    return picture
