"""Checks after an epoch, or at the end, on a `History`: they read numbers and train nothing.

Each gives a `Card`, also for a history with too few epochs to tell: that one says so and does not fire. Losses are
those in evaluation mode, on the training images too; otherwise dropout alone looks like "validation beats training".
"""

import math
from collections.abc import Callable

import numpy as np

from tinylab.diagnosis.cards import Card, change
from tinylab.diagnosis.turning import RISE
from tinylab.support.errors import InvalidInputError
from tinylab.training.history import History

PLAYBOOK = "Tuning Playbook (Godbole et al., 2023)"
CS231N = "CS231n, Neural Networks Part 3"
UMLAUT = "Umlaut (E. Schoop et al., 2021)"

LASTING = 3  # † epochs that have to agree: one epoch's rise is noise
GAP, POOR, STILL = 0.05, 0.5, 0.02  # † accuracy; † share of ln C left; † share that a flat loss may still fall
AHEAD, TOO_GOOD, EARLY = 0.05, 0.95, 2  # accuracy; accuracy; † epochs that are early
FALLING = 0.02  # † share by which a loss has to fall, from one stretch to the next, to be still improving
LONG, LONG_SHARE = 5, 0.5  # † epochs; † share of the run: how long without a new best is too long


def after(history: History) -> tuple[Card, ...]:
    """All checks that a history allows; cheap enough to be called after every epoch."""
    checks: tuple[Callable[[History], Card], ...] = (
        overfitting,
        underfitting,
        suspicious_validation,
        stopped_too_early,
        stopped_too_late,
    )
    return tuple(check(history) for check in checks)


def overfitting(history: History) -> Card:
    """Fires if the validation loss has been more than 2 % above its best for 3 epochs, while training loss fell."""
    validation, train = _columns(history, "eval_loss", "train_loss")
    evidence, fired = _too_few(history, LASTING + 1), False
    if not evidence:
        best = int(validation[:-LASTING].argmin())
        above = validation[-LASTING:] / validation[best] - 1
        fired = bool((above > RISE).all() and train[-1] < train[best])
        evidence = (
            f"In the last {LASTING} epochs the {history.eval_split} loss lay "
            f"{change(above.min())} to {change(above.max())} "
            f"from its best before, {validation[best]:.2f} at epoch {best + 1}; since then the training loss went from "
            f"{train[best]:.2f} to {train[-1]:.2f}."
        )
    return Card(
        "overfitting",
        fired,
        evidence,
        "the network has begun to learn its training images by heart, and grows more certain where it is wrong.",
        "keep the weights of the best epoch; then more or augmented images, dropout, weight decay, one at a time.",
        f"{PLAYBOOK}; {UMLAUT}",
    )


def underfitting(history: History) -> Card:
    """Fires if training and validation are alike, both poor, and the training loss has stopped falling.

    Alike: training accuracy is less than 5 points above validation. Poor: more than half of ln C is left of the
    training loss. Stopped: the best of the last 3 epochs is less than 2 % below the best before them.
    """
    loss, accuracy, validation = _columns(history, "train_loss", "train_accuracy", "eval_accuracy")
    evidence, fired = _too_few(history, LASTING + 1), False
    if not evidence:
        gap = accuracy[-1] - validation[-1]
        left = loss[-1] / math.log(max(len(history.classes), 2))
        fall = 1 - loss[-LASTING:].min() / loss[:-LASTING].min()
        fired = bool(gap < GAP and left > POOR and fall < STILL)
        evidence = (
            f"Training and {history.eval_split} accuracy are {accuracy[-1]:.1%} and "
            f"{validation[-1]:.1%} ({100 * gap:+.0f} "
            f"points); the training loss is {left:.0%} of that of guessing, and fell by {fall:.1%} in the "
            f"last {LASTING} epochs."
        )
    return Card(
        "underfitting",
        fired,
        evidence,
        "something holds the network back: a penalty or dropout that is too strong, a learning rate that is too small, "
        "or too few filters.",
        "take the regularisation away first, then look for a better learning rate; only then a larger network.",
        CS231N,
    )


def suspicious_validation(history: History) -> Card:
    """Fires if validation accuracy is more than 5 points above training accuracy, or above 95 % very early.

    Both in evaluation mode; the difference is the mean of the last 3 epochs, since a small split jumps by more than
    that from one epoch to the next. Early: within 2 epochs.
    """
    train, validation = _columns(history, "train_accuracy", "eval_accuracy")
    evidence, fired = _too_few(history, 1), False
    if not evidence:
        ahead = float((validation - train)[-LASTING:].mean())
        early = float(validation[:EARLY].max())
        fired = early > TOO_GOOD or (len(train) >= LASTING and ahead > AHEAD)
        last, first = min(LASTING, len(train)), min(EARLY, len(train))
        evidence = (
            f"The {history.eval_split} accuracy is {100 * ahead:+.0f} points against training "
            f"({f'mean of the last {last} epochs' if last > 1 else 'one epoch'}, both in evaluation mode), and was at "
            f"most {early:.1%} in the first {f'{first} epochs' if first > 1 else 'epoch'}."
        )
    return Card(
        "suspicious validation",
        fired,
        evidence,
        "the splits are not what they are called: images in both, an easier validation split, or training measured "
        "with dropout on.",
        "look for the same images in both splits, measure both in evaluation mode, and score shuffled labels: those "
        "must fall to chance.",
        UMLAUT,
    )


def stopped_too_early(history: History) -> Card:
    """Fires if the validation loss was still falling at the end.

    The last epoch is the best, and the last 3 epochs are on average more than 2 % below the 3 before.
    """
    (validation,) = _columns(history, "eval_loss")
    evidence, fired = _too_few(history, 2 * LASTING), False
    if not evidence:
        before, last = validation[-2 * LASTING : -LASTING].mean(), validation[-LASTING:].mean()
        fall = 1 - last / before
        fired = bool(fall > FALLING and validation.argmin() == len(validation) - 1)
        evidence = (
            f"The {history.eval_split} loss went from {before:.2f} to {last:.2f} ({change(-fall)}) over the last two "
            f"stretches of {LASTING} epochs; the best epoch is {int(validation.argmin()) + 1} of {len(validation)}."
        )
    return Card(
        "stopped too early",
        fired,
        evidence,
        "the run ended before it had learned what it can.",
        "train on from the checkpoint, twice as long; conclusions about recipes have to wait.",
        PLAYBOOK,
    )


def stopped_too_late(history: History) -> Card:
    """Fires if there has been no new best validation loss for 5 epochs, and for half of the run."""
    (validation,) = _columns(history, "eval_loss")
    evidence, fired = _too_few(history, LONG + 1), False
    if not evidence:
        best = int(validation.argmin())
        idle = len(validation) - 1 - best
        fired = idle >= max(LONG, LONG_SHARE * len(validation))
        evidence = (
            f"The best {history.eval_split} loss, {validation[best]:.2f}, is that of epoch {best + 1} of "
            f"{len(validation)}; {idle} epochs followed without a better one."
        )
    return Card(
        "stopped too late",
        fired,
        evidence,
        "the run went on long after the validation loss had stopped improving.",
        "keep the best epoch's weights, and spend the time on another recipe; or lower the learning rate at the end.",
        PLAYBOOK,
    )


def _columns(history: History, *names: str) -> tuple[np.ndarray, ...]:
    """Columns as float64 (epochs,). Raises InvalidInputError for what is no history."""
    if not isinstance(history, History):
        raise InvalidInputError(f"a {type(history).__name__} is no history. Give what `run.finish()` returns")
    return tuple(np.array(history.column(name), dtype=np.float64) for name in names)


def _too_few(history: History, needed: int) -> str:
    """The sentence for a history that is too short to tell; empty for one that is long enough."""
    have = len(history.epochs)
    return "" if have >= needed else f"{have} epoch{'s' * (have != 1)} so far; this check needs {needed}."
