"""Numbers for "good filters", and a test whether they rank networks as accuracy does.

The report judged its filters by eye. Three qualities that can be counted instead, of one layer of a network:

    dead         share of channels that no image makes positive anywhere
    roughness    mean spatial frequency of the kernels; noise is rough, edges and blobs are smooth
    selectivity  how much more a channel answers to its favourite class than to the others (Morcos et al., 2018)

`ranking` puts them beside the accuracies of several networks: Spearman's rank correlation (1904), with the exact share
of all orders that would do as well. Few networks prove little, and it says so.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from tinylab.data.normalisation import Normalisation
from tinylab.filters.address import find, module
from tinylab.filters.features import walk
from tinylab.support.errors import InvalidInputError, check_int
from tinylab.support.table import Table
from tinylab.training import gathered

if TYPE_CHECKING:
    from tinylab.data.split import Split

PADDED = 16  # kernels are laid into this many zeros each way before the FFT, which then looks between frequencies
EXACT = 8  # networks: 40,320 orders; beyond, a random sample of them
ORDERS = 20_000
LEVEL = 0.05  # of error that is accepted, over all qualities together


@dataclass(frozen=True)
class Quality:
    """Of one layer of one network."""

    dead: float  # 0..1
    roughness: float  # cycles per pixel, 0 to 0.71; white noise has 0.38
    selectivity: float  # 0 (no favourite class) to 1 (only the favourite), mean over channels, dead ones count 0


def quality(model: nn.Sequential, split: "Split", normalisation: Normalisation, layer: int | str) -> Quality:
    """The three qualities of a convolution, measured on the images of a labelled split, in evaluation mode."""
    one = module(model, layer)
    if not isinstance(one, nn.Conv2d):
        raise InvalidInputError(f"{find(model, layer)} has no kernels. Allowed: a convolution")
    targets = split.targets
    if targets is None:
        raise InvalidInputError(f"split {split.name!r} has no labels, so nothing can favour a class. Take one that has")
    maps = walk(model, split, normalisation, layer)  # (B, C, h, w) each
    means, highest = gathered(((each.relu().mean(dim=(2, 3)), each.amax(dim=(2, 3))) for each in maps), len(split))
    return Quality(
        dead=dead_share(highest.cpu().numpy()),
        roughness=float(roughness(one.weight.detach().float().cpu().numpy()).mean()),
        selectivity=float(selectivity(means.cpu().numpy(), np.asarray(targets)).mean()),
    )


def dead_share(highest: np.ndarray) -> float:
    """Share of channels that are silent after the relu, whatever is shown: 0..1.

    highest: (B, C), the largest value before the relu that each image reaches anywhere in the channel's map.
    """
    return float((np.asarray(highest) <= 0).all(axis=0).mean())


def roughness(kernels: np.ndarray) -> np.ndarray:
    """The mean spatial frequency of each kernel (N, C, h, w), weighted by power: float64 (N,), cycles per pixel.

    About 0.38 for white noise, 0.5 for wide stripes of one pixel. A kernel is taken as what it is: numbers among zeros,
    so that a constant one counts as a small blob and not as nothing. All-zero kernels have no frequency: nan.
    """
    kernels = np.asarray(kernels, dtype=np.float64)
    side = [max(PADDED, length) for length in kernels.shape[-2:]]
    power = (np.abs(np.fft.fft2(kernels, s=side)) ** 2).sum(axis=1)  # (N, H, W)
    frequency = np.hypot(np.fft.fftfreq(side[0])[:, None], np.fft.fftfreq(side[1])[None, :])
    total = power.sum(axis=(1, 2))
    weighted = (power * frequency).sum(axis=(1, 2))
    return np.divide(weighted, total, out=np.full(len(kernels), np.nan), where=total > 0)


def image_roughness(images: np.ndarray) -> np.ndarray:
    """The same of images (N, H, W, C), of any range, without their mean colour: float64 (N,), cycles per pixel."""
    images = np.asarray(images, dtype=np.float64)
    if images.ndim != 4:
        raise InvalidInputError(f"image_roughness got images of shape {images.shape}. Allowed: (N, H, W, C)")
    return roughness((images - images.mean(axis=(1, 2), keepdims=True)).transpose(0, 3, 1, 2))


def selectivity(means: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(favourite - others) / (favourite + others) of each channel: float64 (C,), 0..1; 0 for a silent one.

    means: (B, C), mean values after the relu; targets: int (B,). `favourite` is the mean over the class with the
    highest one, `others` the mean of the other classes' means. Measured on few images, noise alone gives some.
    """
    classes = np.unique(targets)
    if len(classes) < 2:
        raise InvalidInputError(f"selectivity needs images of 2 classes or more, got {len(classes)}")
    table = np.stack([np.asarray(means, dtype=np.float64)[targets == label].mean(axis=0) for label in classes])
    favourite = table.max(axis=0)
    others = (table.sum(axis=0) - favourite) / (len(classes) - 1)
    total = favourite + others
    return np.divide(favourite - others, total, out=np.zeros_like(total), where=total > 0)


# ---------------------------------------------------------------- does it rank the networks?


@dataclass(frozen=True)
class Correlation:
    """Spearman's ρ over n networks."""

    rho: float  # -1..1; nan if one side is constant
    p: float  # share of all orders whose ρ is at least as far from 0
    lowest: float  # and
    highest: float  # of ρ when any one network is left out
    count: int


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> Correlation:
    """How well x orders what y orders: ρ = Pearson's correlation of the ranks, equal values sharing their mean rank.

    p is exact up to 8 networks (all orders are tried), and beyond from 20,000 random ones with a fixed seed.
    Raises InvalidInputError for fewer than 3 pairs, different lengths, or values that are not finite.
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape or len(a) < 3 or not np.isfinite([a, b]).all():
        raise InvalidInputError(
            f"rank_correlation got {a.tolist()} and {b.tolist()}. Allowed: two lists of 3 or more finite "
            "numbers, equally long"
        )
    from scipy.stats import permutation_test, spearmanr  # slow to import, and only needed here

    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return Correlation(math.nan, 1.0, math.nan, math.nan, len(a))
    second = _centred_ranks(b)
    orders = permutation_test(
        (_centred_ranks(a),),
        lambda first, axis: np.abs(first @ second),
        permutation_type="pairings",
        alternative="greater",
        vectorized=True,
        rng=0,
        n_resamples=math.inf if len(a) <= EXACT else ORDERS,
    )
    without = [float(_centred_ranks(np.delete(a, i)) @ _centred_ranks(np.delete(b, i))) for i in range(len(a))]
    return Correlation(float(spearmanr(a, b).statistic), float(orders.pvalue), min(without), max(without), len(a))


def _centred_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks with mean 0 and length 1; equal values share their mean rank; all zero if all are equal."""
    from scipy.stats import rankdata

    ranks = rankdata(values) - (len(values) + 1) / 2
    length = np.linalg.norm(ranks)
    return np.asarray(ranks / length if length > 0 else ranks)


@dataclass(frozen=True)
class Ranking:
    """Which qualities order the networks as accuracy does, and how sure that is; prints as table and sentence."""

    correlations: dict[str, Correlation]
    level: float  # of p, below which one counts: 0.05 divided by how many were tried
    least: float  # the smallest p that so many networks can reach at all
    clear: tuple[int, int]  # pairs of networks whose accuracies differ by more than two standard errors, of all

    @property
    def found(self) -> tuple[str, ...]:
        """The qualities that passed."""
        return tuple(name for name, one in self.correlations.items() if one.p <= self.level)

    @property
    def verdict(self) -> str:
        count = next(iter(self.correlations.values())).count
        if self.least > self.level:
            return (
                f"{count} networks cannot settle it: with so few, even a perfect order comes up by chance with p = "
                f"{self.least:.2g}, and {self.level:.2g} is asked for."
            )
        if not self.found:
            return (
                f"None of the {len(self.correlations)} qualities ranks these {count} networks as accuracy does, by the "
                f"standard p ≤ {self.level:.2g}."
            )
        each = []
        for name in self.found:
            one = self.correlations[name]
            each.append(f"{name} ({'more' if one.rho > 0 else 'less'} of it in better networks, ρ = {one.rho:+.2f})")
        return (
            f"{' and '.join(each)} ranks these {count} networks as accuracy does, by the standard p ≤ {self.level:.2g}."
        )

    def table(self) -> Table:
        rows = [
            [
                name,
                "–" if math.isnan(one.rho) else f"{one.rho:+.2f}",
                "the same everywhere" if math.isnan(one.rho) else f"{one.lowest:+.2f} to {one.highest:+.2f}",
                f"{one.p:.3f}",
                "yes" if one.p <= self.level else "no",
            ]
            for name, one in self.correlations.items()
        ]
        return Table(
            ["quality", "ρ", "with any one left out", "p", f"p ≤ {self.level:.2g}"],
            rows,
            "Rank correlation with accuracy",
        )

    def __str__(self) -> str:
        differ, pairs = self.clear
        return f"{self.verdict} Of {pairs} pairs of networks, {differ} differ in accuracy by over two standard errors."

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"{self.table()._repr_html_()}<p>{self}</p>"


def ranking(qualities: Mapping[str, Sequence[float]], accuracies: Sequence[float], images: int) -> Ranking:
    """Whether each quality, one number for each network, orders the networks as their accuracies do.

    accuracies: 0..1, one for each network, measured on `images` images. The more qualities are tried, the stricter
    each is judged (Bonferroni). Raises InvalidInputError for no quality, or fewer than 3 networks.
    """
    if not qualities:
        raise InvalidInputError("ranking got no qualities. Give one at least: {'dead': [0.1, 0.0, 0.2]}")
    check_int("images", images, 1)
    correlations = {name: rank_correlation(values, accuracies) for name, values in qualities.items()}
    right = np.asarray(accuracies, dtype=np.float64)
    if ((right < 0) | (right > 1)).any():
        raise InvalidInputError(f"ranking got accuracies {right.tolist()}. Allowed: shares from 0 to 1")
    variance = right * (1 - right) / images
    pairs = list(itertools.combinations(range(len(right)), 2))
    differ = sum(abs(right[i] - right[j]) > 2 * math.sqrt(variance[i] + variance[j]) for i, j in pairs)
    count = len(right)
    # with distinct values only the order itself and its reverse reach ρ = ±1
    least = 2 / math.factorial(count) if count <= EXACT else 1 / (ORDERS + 1)
    return Ranking(correlations, LEVEL / len(qualities), least, (int(differ), len(pairs)))
