"""Where the validation loss turns upwards (the report's Figure 2), and where the training loss flattens.

A loss per epoch is noisy: its lowest value may be a lucky epoch, and its first rise a bad one. So the curve is
smoothed with a running median, which a single odd epoch cannot move, and a turn counts only if the epochs at the end
of the run all lie clearly above the lowest.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinylab.diagnosis.cards import change
from tinylab.support.errors import InvalidInputError, check_range
from tinylab.training.history import History

HALF = 1  # epochs that the running median takes on either side: 3 in all, the least that one odd epoch cannot move
RISE = 0.02  # † share above the lowest: what a turned loss has risen at least
CONFIRM = 3  # † epochs at the end that all have to lie above: one epoch's rise is noise
FLAT = 0.05  # † of the whole fall: what may be left of it where a loss counts as flat
PLATEAU = 0.2  # † of the run: how long a flat end has to be; the end of any fall looks flat for a moment


@dataclass(frozen=True)
class Turning:
    """The lowest point of a loss, and whether the loss has turned there. Epochs count from 1."""

    turned: bool
    epoch: int  # where the loss is lowest, once smoothed
    between: tuple[int, int]  # first and last epoch around it that noise cannot tell from it
    lowest: float  # smoothed loss there, nats
    last: float  # smoothed loss at the end, nats
    epochs: int  # of the run
    eval_split: str = "validation"

    @property
    def rise(self) -> float:
        """How far the end lies above the lowest point, as a share of it: 0.1 is 10 %."""
        return self.last / self.lowest - 1 if self.lowest > 0 else 0.0

    @property
    def evidence(self) -> str:
        """What was found, in numbers."""
        low, high = self.between
        around = f"epoch {self.epoch}" + (f" (noise allows {low} to {high})" if low < high else "")
        if self.turned:
            return (
                f"The {self.eval_split} loss turns at {around}: from {self.lowest:.2f} up to {self.last:.2f} at epoch "
                f"{self.epochs} (medians), {change(self.rise)}, and the last {CONFIRM} epochs all lie more than "
                f"{RISE:.0%} above the lowest."
            )
        if self.epochs <= CONFIRM:
            return (
                f"{self.epochs} epoch{'s' * (self.epochs > 1)} of {self.eval_split} loss so far; a turn cannot be seen "
                f"before {CONFIRM + 1}."
            )
        if self.epoch == self.epochs:
            at_end = f"lowest at the end, {self.lowest:.2f} in epoch {self.epochs}"
            return f"The {self.eval_split} loss has not turned: {at_end}."
        return (
            f"The {self.eval_split} loss has not turned: lowest at {around}, {self.lowest:.2f}, and "
            f"{change(self.rise)} at the end (medians); not all of the last {CONFIRM} epochs lie more than {RISE:.0%} "
            "above the lowest."
        )

    def __str__(self) -> str:
        return self.evidence

    __repr__ = __str__


def turning_point(losses: History | Sequence[float]) -> Turning:
    """Where the validation loss of a run is lowest, and whether it turns upwards there.

    losses: a History, or one validation loss per epoch (nats).

    The lowest point of the smoothed curve (there, the lowest epoch in the median's window) is a turn if each of the
    last 3 epochs, as measured, lies more than 2 % above it. `between` are the neighbouring epochs whose smoothed loss
    differs from the lowest by less than the typical distance of an epoch from the smoothed curve.

    Raises InvalidInputError for no epochs, or a loss that is not a finite number.
    """
    eval_split = losses.eval_split if isinstance(losses, History) else "validation"
    raw = _finite(losses.column("eval_loss") if isinstance(losses, History) else losses)
    smooth = smoothed(raw)
    bottom = int(smooth.argmin())
    # the median rounds a sharp corner off: of the epochs that take part in the lowest one, the lowest as measured
    start = max(0, bottom - HALF)
    best = start + int(raw[start : bottom + HALF + 1].argmin())
    noise = float(np.median(np.abs(raw - smooth)))
    lowest = float(smooth[bottom])
    low, high = min(best, bottom), max(best, bottom)
    while low > 0 and smooth[low - 1] <= lowest + noise:
        low -= 1
    while high < len(raw) - 1 and smooth[high + 1] <= lowest + noise:
        high += 1
    turned = len(raw) - 1 - best >= CONFIRM and bool((raw[-CONFIRM:] > (1 + RISE) * lowest).all())
    return Turning(turned, best + 1, (low + 1, high + 1), lowest, float(smooth[-1]), len(raw), eval_split)


@dataclass(frozen=True)
class Flattening:
    """Where a loss stops falling; `epoch` is None if it still falls at the end."""

    epoch: int | None  # from 1
    level: float  # smoothed loss at the end, nats
    epochs: int  # of the run

    @property
    def evidence(self) -> str:
        if self.epoch is None:
            return f"The training loss is still falling at the end, epoch {self.epochs}, where it is {self.level:.2f}."
        return (
            f"The training loss flattens near epoch {self.epoch}: less than {FLAT:.0%} of its whole fall is left for "
            f"the {self.epochs - self.epoch} epochs after; it ends at {self.level:.2f}."
        )


def flattening(losses: History | Sequence[float]) -> Flattening:
    """Where the training loss of a run flattens: from there on less than 5 % of its whole fall is left.

    losses: a History, or one training loss per epoch (nats). A loss that gets there only in the last fifth of the run
    still falls. Raises InvalidInputError for no epochs, or a loss that is not a finite number.
    """
    raw = _finite(losses.column("train_loss") if isinstance(losses, History) else losses)
    smooth = smoothed(raw)
    first = int(np.argmax(smooth <= smooth.min() + FLAT * (smooth[0] - smooth.min())))
    flat = len(raw) - first >= max(PLATEAU * len(raw), CONFIRM)
    return Flattening(first + 1 if flat else None, float(smooth[-1]), len(raw))


def smoothed(losses: Sequence[float] | np.ndarray) -> np.ndarray:
    """The running median over 3 epochs, float64 (epochs,); 2 take part at both ends."""
    values = np.asarray(losses, dtype=np.float64)
    return np.array([np.median(values[max(0, i - HALF) : i + HALF + 1]) for i in range(len(values))])


def _finite(losses: Sequence[float]) -> np.ndarray:
    """One loss per epoch as float64 (epochs,)."""
    values = [losses] if isinstance(losses, str) else list(losses)
    if not values:
        raise InvalidInputError("there is no epoch to look at yet. Give a history, or losses, of at least one")
    for value in values:
        check_range(
            "a loss", float(value) if isinstance(value, np.floating) else value, -math.inf, math.inf, low_open=True
        )
    return np.array(values, dtype=np.float64)
