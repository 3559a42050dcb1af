"""Which learning rate? The range test, one short run at growing rates; and the choice from a grid of runs.

The range test is Smith's (2015, "Cyclical learning rates for training neural networks"): begin with a rate far too
small, multiply it after every batch, watch the loss. It hardly moves, falls, and at last rises or explodes.
"""

import copy
import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tinylab.data.batches import Batches
from tinylab.support.errors import InvalidInputError, check_int, check_range

SMOOTHING = 0.7  # share of the running mean that a new loss leaves: about three batches count
DIVERGED = 4.0  # times the best smoothed loss, or the first: nothing is learned beyond (fastai's rule)
SAFETY = 10.0  # the lowest loss is on the brink, above all with momentum, whose effect comes late
FEWEST = 10  # steps of a test
MOVED = 3.0  # times the noise between batches (standard deviation): a smaller fall of the smoothed loss is none


@dataclass(frozen=True)
class RangeTest:
    """What was seen at each learning rate, and what follows from it. Losses are in nats per image."""

    rates: tuple[float, ...]  # growing, as far as the test went
    losses: tuple[float, ...]  # of the batch at that rate, before the update
    smoothed: tuple[float, ...]  # running mean, corrected for its start at 0 as in Adam
    diverged: bool  # the last loss was the end of it
    suggestion: float | None  # a rate to begin with; None if there is none to be had
    reason: str  # where the suggestion comes from, in a sentence
    warning: str  # empty, or why not to trust it


def range_test(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Batches,
    *,
    lowest: float = 1e-5,
    highest: float = 1.0,
    steps: int = 60,
) -> RangeTest:
    """One update at each of `steps` learning rates from `lowest` to `highest`, in equal ratios.

    model, optimizer  as a training would begin with them; the optimizer holds the model's parameters. Copies are
                      trained: weights, buffers, modes, gradients and the optimizer's memory stay what they were,
                      and so do torch's random numbers, whatever happens in between.
    batches           labelled; when an epoch ends, the next one begins

    Stops when the smoothed loss exceeds four times its best, or is no longer finite. Suggests a tenth of the rate at
    which the smoothed loss was lowest. Raises InvalidInputError for rates out of
    order, fewer than 10 steps, or images without labels.
    """
    check_range("lowest", lowest, 0, math.inf, low_open=True)
    check_range("highest", highest, lowest, math.inf, low_open=True)
    check_int("steps", steps, FEWEST)
    if not batches.labelled:
        raise InvalidInputError(f"split {batches.split.name!r} has no labels. Test on one that has: data.train")
    rates = tuple(lowest * (highest / lowest) ** (i / (steps - 1)) for i in range(steps))
    # copied together, so that the optimizer's copy holds the parameters of the model's
    model, optimizer = copy.deepcopy((model, optimizer))
    target = batches.device.target
    endless = (pair for number in itertools.count(1) for pair in batches.epoch(number))
    losses: list[float] = []
    smoothed: list[float] = []
    mean = 0.0
    with torch.random.fork_rng([target] if target.type == "cuda" else []):
        torch.manual_seed(batches.seed)
        for rate, (x, y) in zip(rates, endless, strict=False):
            losses.append(_update(model, optimizer, batches, rate, x, y))
            mean = SMOOTHING * mean + (1 - SMOOTHING) * losses[-1]
            smoothed.append(mean / (1 - SMOOTHING ** len(losses)))
            diverged = not math.isfinite(smoothed[-1]) or smoothed[-1] > DIVERGED * min(smoothed)
            if diverged:
                break
    verdict = _read(rates[: len(losses)], losses, smoothed, diverged)
    return RangeTest(rates[: len(losses)], tuple(losses), tuple(smoothed), diverged, *verdict)


def _update(
    model: nn.Module, optimizer: torch.optim.Optimizer, batches: Batches, rate: float, x: Tensor, y: Tensor
) -> float:
    """One update at `rate`; the loss before it."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    model.train()
    optimizer.zero_grad()
    with batches.device.autocast():
        logits = model(x)
    loss = cross_entropy(logits.float(), y)
    loss.backward()
    optimizer.step()
    return loss.item()


def _read(
    rates: Sequence[float], losses: Sequence[float], smoothed: Sequence[float], diverged: bool
) -> tuple[float | None, str, str]:
    """Suggestion, reason and warning."""
    known = smoothed[:-1] if diverged else smoothed
    if not known:
        remedy = "check the images and the network (the sanity ladder of lecture 03)"
        return None, f"the loss was {losses[0]} before the first update", remedy
    best = min(range(len(known)), key=known.__getitem__)
    calm = best + 1 if best + 1 >= FEWEST else len(known)  # beyond the best, losses jump for another reason
    # 1.48 times the median distance: a standard deviation that a few wild losses do not move
    noise = 1.48 * statistics.median(abs(losses[i] - known[i]) for i in range(calm))
    if max(known[: best + 1]) - known[best] <= MOVED * noise:
        if diverged:
            return None, "the loss diverged before it had fallen", "lower `lowest` and look again"
        remedy = "raise `highest`; if that does not help, check the network (the sanity ladder of lecture 03)"
        return None, "the loss fell no further than batches differ from each other", remedy
    suggestion = rates[best] / SAFETY
    reason = f"a tenth of {rates[best]:.2g}, where the smoothed loss was lowest"
    reason += f"; it diverged at {rates[-1]:.2g}" if diverged else ""
    if best == len(smoothed) - 1:
        return suggestion, reason, "the loss was still falling at the highest rate: raise `highest` and look again"
    if suggestion < rates[0]:
        return suggestion, reason, "the suggestion is below the lowest rate tried: lower `lowest` and look again"
    return suggestion, reason, ""


@dataclass(frozen=True)
class Choice:
    """The best of several learning rates."""

    rate: float
    loss: float  # nats per image; what was compared
    warning: str  # empty, or that the best may lie outside of what was tried


def choose(losses: Mapping[float, float]) -> Choice:
    """The learning rate with the lowest loss, and a warning when it lies on the edge of those tried.

    losses: {learning rate: development loss, NaN or infinite where it diverged}. Raises InvalidInputError if no
    loss is finite.
    """
    finite = {float(rate): float(loss) for rate, loss in losses.items() if math.isfinite(loss)}
    if not finite:
        raise InvalidInputError(f"none of {len(losses)} learning rates has a finite loss. Try lower ones")
    best = min(finite, key=finite.__getitem__)
    warning = ""
    if best in (min(losses), max(losses)):
        side, where = ("lowest", "lower") if best == min(losses) else ("highest", "higher")
        warning = f"{best:g} is the {side} rate tried: the best may be {where} still"
    return Choice(best, finite[best], warning)
