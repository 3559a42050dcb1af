"""Runs along their course: validation over training accuracy, a dot for each epoch, the report's rows as crosses."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tinylab.figures.style import (
    BLACK,
    GREY,
    HUES,
    EndLabel,
    Picture,
    drawn,
    dress,
    label_ends,
    look,
    percent,
)
from tinylab.support.errors import InvalidInputError

if TYPE_CHECKING:
    from tinylab.training import History

_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))


@drawn
def trajectories(
    histories: "Mapping[str, History]",
    rows: Mapping[str, tuple[float, float]] | None = None,
    *,
    running: bool = True,
    chance: float | None = None,
    level: tuple[str, float] | None = None,
    title: str = "",
    style: str | None = None,
) -> Picture:
    """Where each run has been: training accuracy to the right, accuracy on held-out images upwards, in percent.

    histories  {name: history}, up to 5; a dot for each epoch, the last one larger, named at its end
    rows       {name: (training, validation)} accuracies 0..1 as reported, drawn as crosses
    running    training accuracy as Keras prints it: while learning, dropout on, averaged over the epoch. False: in
               evaluation mode
    chance     accuracy of guessing, 0..1; level: (name, accuracy) of one more line, such as k nearest neighbours'

    Raises InvalidInputError for no run, more than 5, or one without an epoch.
    """
    look_ = look(style)
    if not 1 <= len(histories) <= len(HUES):
        raise InvalidInputError(f"trajectories got {len(histories)} runs. Allowed: 1 to {len(HUES)} in one picture")
    picture = Picture(7.6 * look_.size, 4.4 * look_.size, look_)
    ax = picture.subplots()
    column = "running_accuracy" if running else "train_accuracy"
    x_name = "training accuracy, while learning (%)" if running else "training accuracy, evaluation mode (%)"
    dress(ax, look_, x=x_name, y="accuracy on held-out images (%)", grid="both")
    ends, said, top = [], [], 10.0
    for (name, history), hue, dash in zip(histories.items(), HUES, _DASHES, strict=False):
        x, y = (100 * np.array(history.column(c), dtype=float) for c in (column, "eval_accuracy"))
        if not len(x):
            raise InvalidInputError(f"trajectories got {name!r} without an epoch. Train it first")
        ax.plot(x, y, linestyle=dash, color=hue, lw=look_.line * 0.8, marker="o", ms=look_.marker * 0.8)
        ax.plot(x[-1], y[-1], "o", color=hue, ms=look_.marker * 1.7)
        ends.append(EndLabel(float(x[-1]), float(y[-1]), name, hue))
        count = f"{len(x)} epoch{'s' * (len(x) > 1)}"
        said.append(f"{name}: {count}, from {x[0]:.1f} / {y[0]:.1f} % to {x[-1]:.1f} / {y[-1]:.1f} %")
        top = max(top, float(y.max()))
    for name, (train, validation) in (rows or {}).items():
        ax.plot(100 * train, 100 * validation, "X", color=BLACK, ms=look_.marker * 1.7, zorder=5)
        ends.append(EndLabel(100 * train, 100 * validation, name, BLACK))
        said.append(f"{name}, as reported: {percent(train)} / {percent(validation)}")
        top = max(top, 100 * validation)
    ax.set_xlim(0, 102)
    ax.set_ylim(0, min(102, 1.15 * top))
    ax.plot([0, 102], [0, 102], ":", color=GREY, lw=look_.line * 0.6)  # nothing is lost between the two
    for name, value in (("guessing", chance), level or ("", None)):
        if value is not None:
            ax.axhline(100 * value, color=GREY, linestyle=":", lw=look_.line * 0.8)
            ends.append(EndLabel(102, 100 * value, f"{name}: {100 * value:.3g} %", GREY))
            said.append(f"{name}: {percent(value)}")
    label_ends(ax, ends, look_)
    picture.headline(title or "Where each run has been: a dot for each epoch")
    stop = "" if picture.get_suptitle().endswith(("?", ".")) else "."
    picture.alt = f"{picture.get_suptitle()}{stop} Training / held-out accuracy. " + "; ".join(said) + "."
    return picture
