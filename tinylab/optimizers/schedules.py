"""Learning-rate schedules: what the learning rate is multiplied by at each step of a run."""

import math

from tinylab.support.errors import InvalidInputError, nearest

SCHEDULES = ("constant", "cosine", "one-cycle")

ONE_CYCLE_START = 1 / 25  # of the peak; Smith and Topin, "Super-convergence" (2018), with torch's defaults
ONE_CYCLE_END = ONE_CYCLE_START / 10_000
_RISE = 0.3  # share of the run in which the rate grows


def factor(schedule: str, step: int, steps: int) -> float:
    """What the learning rate is multiplied by at `step` (0 … steps - 1) of a run of `steps`: 0 < factor ≤ 1.

    "constant"   1 throughout
    "cosine"     from 1 to almost 0 along half a cosine (Loshchilov and Hutter, 2016)
    "one-cycle"  up from 1/25 to 1 in the first 30 % of the run, then down to 1/250,000, along
                 cosines (Smith and Topin, 2018; shape as in torch's OneCycleLR)

    Raises InvalidInputError for an unknown schedule.
    """
    if schedule == "constant":
        return 1.0
    if schedule == "cosine":
        return _along_cosine(1.0, 0.0, step / steps)
    if schedule == "one-cycle":
        peak = max(_RISE * steps - 1, 1e-9)
        if step <= peak:
            return _along_cosine(ONE_CYCLE_START, 1.0, step / peak)
        return _along_cosine(1.0, ONE_CYCLE_END, (step - peak) / max(steps - 1 - peak, 1e-9))
    raise InvalidInputError(f"schedule {schedule!r} is unknown{nearest(schedule, SCHEDULES)}")


def _along_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2
