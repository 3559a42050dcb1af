"""Who is better? A difference between two sides of a race, and whether chance alone could make it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinylab.support.errors import InvalidInputError, check_int

CHANCE = 0.05  # how often chance alone may make a difference look clear, by Student's t (1908)


@dataclass(frozen=True)
class Difference:
    """What one side is above the other, on average over the seeds."""

    mean: float
    error: float  # standard error of the mean; not a number for a single seed
    seeds: int
    clear: bool  # beyond what chance alone does in one of twenty such races, or of twenty such sets of them

    def says(self, sign: int) -> str:
        """Of a claim that the difference has this sign, +1 or -1: supported, contradicted, or not decided."""
        if not self.clear:
            return "not decided by these runs"
        return "supported" if self.mean * sign > 0 else "contradicted"

    def __str__(self) -> str:
        digits = 1 if self.error >= 1 else 3  # points of accuracy, or nats
        signed = f"{self.mean:+.{digits}f}".replace("-", "−")
        return f"{signed} ± {self.error:.{digits}f} ({self.seeds} seed{'s' * (self.seeds != 1)})"


def difference(first: Sequence[float], second: Sequence[float], tests: int = 1) -> Difference:
    """How much `first` is above `second`, seed by seed: run i of both began with the same weights and images.

    Compared pair by pair, what a seed does to both sides cancels out. With one seed nothing is ever clear. tests: one
    of how many comparisons this is; chance shall make any of them clear in one of twenty sets (Bonferroni). Raises
    InvalidInputError unless both have the same number of runs, all finite.
    """
    check_int("tests", tests, 1)
    from scipy.stats import t as student  # slow to import, and only needed at the end of a race

    if len(first) != len(second) or not len(first):
        raise InvalidInputError(
            f"{len(first)} runs and {len(second)} do not pair up. Allowed: as many of both, of the same seeds"
        )
    pairs = np.subtract(first, second, dtype=np.float64)
    if not np.isfinite(pairs).all():
        raise InvalidInputError("a run without a finite result cannot be compared. Leave its seed out, on both sides")
    mean, seeds = float(pairs.mean()), len(pairs)
    if seeds == 1:
        return Difference(mean, math.nan, 1, False)
    error = float(pairs.std(ddof=1)) / math.sqrt(seeds)
    return Difference(mean, error, seeds, bool(abs(mean) > student.isf(CHANCE / tests / 2, seeds - 1) * error))
