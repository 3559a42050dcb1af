"""Runs along their course: validation over training accuracy, a dot for each epoch, the report's rows as crosses."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tinylab.diagnosis import skills
from tinylab.figures.style import (
    BLACK,
    DASHES,
    GREY,
    HUES,
    EndLabel,
    Picture,
    compared,
    drawn,
    dress,
    label_ends,
    percent,
    reference,
)
from tinylab.support.errors import InvalidInputError

if TYPE_CHECKING:
    from tinylab.training import History


@drawn
def trajectories(
    histories: "Mapping[str, History]",
    rows: Mapping[str, tuple[float, float]] | None = None,
    *,
    chance: float | None = None,
    level: tuple[str, float] | None = None,
    as_skill: bool = False,
    title: str = "",
) -> Picture:
    """Where each run has been: training accuracy to the right, accuracy on held-out images upwards, in percent.

    histories  {name: history}, up to 5; a dot for each epoch, the last one larger, named at its end. Training accuracy
               is what Keras prints: while learning, dropout on, averaged over the epoch
    rows       {name: (training, validation)} accuracies 0..1 as reported, drawn as crosses
    chance     accuracy of guessing, 0..1; level: (name, accuracy) of one more line, such as k nearest neighbours'
    as_skill   draw skills, guessing taken away, in place of accuracies; `rows` are skills (`diagnosis.skill`), too

    Raises InvalidInputError for no run, more than 5, or one without an epoch.
    """
    if not 1 <= len(histories) <= len(HUES):
        raise InvalidInputError(f"trajectories got {len(histories)} runs. Allowed: 1 to {len(HUES)} in one picture")
    picture = Picture(7.6, 4.4)
    style = picture.style
    ax = picture.subplots()
    what = "skill" if as_skill else "accuracy"
    dress(ax, x=f"training {what}, while learning (%)", y=f"{what} on held-out images (%)", grid="both")
    ends, said, top, right = [], [], 10.0, 10.0
    for (name, history), hue, dash in zip(histories.items(), HUES, DASHES, strict=False):
        both = (
            skills(history)
            if as_skill
            else np.array([(e.running_accuracy, e.eval_accuracy) for e in history.epochs]).reshape(-1, 2)
        )
        x, y = 100 * both.T
        if not len(x):
            raise InvalidInputError(f"trajectories got {name!r} without an epoch. Train it first")
        ax.plot(x, y, linestyle=dash, color=hue, lw=style.line * 0.8, marker="o", ms=style.marker * 0.8)
        ax.plot(x[-1], y[-1], "o", color=hue, ms=style.marker * 1.7)
        ends.append(EndLabel(float(x[-1]), float(y[-1]), name, hue))
        count = f"{len(x)} epoch{'s' * (len(x) > 1)}"
        said.append(f"{name}: {count}, from {x[0]:.1f} / {y[0]:.1f} % to {x[-1]:.1f} / {y[-1]:.1f} %")
        top, right = max(top, float(y.max())), max(right, float(x.max()))
    for name, (train, validation) in (rows or {}).items():
        ax.plot(100 * train, 100 * validation, "X", color=BLACK, ms=style.marker * 1.7, zorder=5)
        told = name if name.endswith("as reported") else f"{name}, as reported"
        said.append(f"{told}: {percent(train)} / {percent(validation)}")
        top, right = max(top, 100 * validation), max(right, 100 * train)
    ax.set_xlim(0, min(102, 1.15 * right))
    ax.set_ylim(0, min(102, 1.15 * top))
    below = 0.04 * ax.get_ylim()[1]  # under the cross, where no run that holds its accuracy comes by
    ends += [EndLabel(100 * t, 100 * v - below, name, BLACK) for name, (t, v) in (rows or {}).items()]
    ax.plot([0, 102], [0, 102], ":", color=GREY, lw=style.line * 0.6)  # nothing is lost between the two
    for name, share in compared(chance, level):
        ends.append(reference(ax, 100 * share, f"{name}: {100 * share:.3g} %"))
        said.append(f"{name}: {percent(share)}")
    label_ends(ax, ends)
    picture.tell(
        title or "Where each run has been: a dot for each epoch",
        f"Training / held-out {what}. " + "; ".join(said) + ".",
    )
    return picture
