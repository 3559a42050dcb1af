"""What luck alone explains: how surprising a number of hits is, and how many images it takes to tell.

A p-value here is the probability of a result at least so extreme if nothing but luck were at work.
"""

from dataclasses import dataclass

import numpy as np

from tinylab.support.errors import InvalidInputError, check_int, check_range

_SHUFFLES = 199  # so the smallest p-value of `dependence` is 1 in 200
_ERROR = 0.001  # of either kind that `images_needed` accepts
_MOST = 10_000  # images: as many as the real test set has


def binomial_tail(hits: int, trials: int, chance: float) -> float:
    """Probability of `hits` or more in `trials` independent attempts that succeed with probability `chance`."""
    check_int("trials", trials, 0)
    check_range("chance", chance, 0, 1)
    from scipy.stats import binom  # slow to import, and not needed to predict

    return float(binom.sf(hits - 1, trials, chance))


def paired_test(before: np.ndarray, after: np.ndarray, *, two_sided: bool = False) -> float:
    """p-value for "after is no better than before": scores, float (N,), of the same N images.

    two_sided: for "after is neither better nor worse", where either would have been told.

    If nothing but luck made the differences, each could as well have the other sign (Fisher's sign-flip test, 1935).
    Where all are as large, as of right and wrong, the flips are counted exactly (a sign test), else the normal
    distribution stands for all 2^N of them. Images that do not differ say nothing.
    """
    before, after = np.asarray(before, np.float64), np.asarray(after, np.float64)
    if before.shape != after.shape or before.ndim != 1:
        raise InvalidInputError(f"shapes {before.shape} and {after.shape} do not pair up. Allowed: two of (N,)")
    gain = after - before
    if not gain.any():
        return 1.0
    from scipy.stats import binom, norm

    if len(np.unique(np.abs(gain[gain != 0]))) == 1:
        won, lost = (gain > 0).sum(), (gain < 0).sum()
        better, worse = (float(binom.sf(count - 1, won + lost, 0.5)) for count in (won, lost))
    else:
        better, worse = (float(norm.sf(sign * gain.sum() / np.linalg.norm(gain))) for sign in (1, -1))
    return min(1.0, 2 * min(better, worse)) if two_sided else better


@dataclass(frozen=True)
class Dependence:
    """How much the predicted class tells about the true one."""

    information: float  # nats, mutual information of the two
    by_luck: float  # nats, its mean when the labels are shuffled
    p: float  # share of shuffles that reach `information`, the real one counted in


def dependence(labels: np.ndarray, predicted: np.ndarray, classes: int) -> Dependence:
    """Mutual information of two class numbers, int (N,), against that of shuffled labels.

    It asks for no agreement, only for a connection: classes that are mixed up one to one keep all of it.
    """
    labels, predicted = np.asarray(labels, np.int64), np.asarray(predicted, np.int64)
    rng = np.random.default_rng(0)
    real = _information(labels, predicted, classes)
    shuffled = [_information(rng.permutation(labels), predicted, classes) for _ in range(_SHUFFLES)]
    reached = sum(value >= real - 1e-12 for value in shuffled)
    return Dependence(real, float(np.mean(shuffled)), (1 + reached) / (1 + _SHUFFLES))


def _information(labels: np.ndarray, predicted: np.ndarray, classes: int) -> float:
    from scipy.stats import entropy

    joint = np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)
    independent = np.outer(joint.sum(axis=1), joint.sum(axis=0))
    return float(entropy(joint.ravel(), independent.ravel()))


def images_needed(accuracy: float, chance: float) -> tuple[int, int]:
    """How few test images tell a network of that `accuracy` from one that guesses: (images, hits).

    With so many images, "at least so many hits" is wrong once in 1,000 times at most, either way: a guesser hardly
    ever reaches them, the network hardly ever misses them.
    """
    check_range("chance", chance, 0, 1, low_open=True)
    check_range("accuracy", accuracy, chance, 1, low_open=True)
    from scipy.stats import binom

    images = np.arange(1, _MOST + 1)
    hits = binom.isf(_ERROR, images, chance) + 1  # the first number that guessing reaches rarely enough
    enough = (hits <= images) & (binom.cdf(hits - 1, images, accuracy) <= _ERROR)
    if not enough.any():
        raise InvalidInputError(
            f"accuracy {accuracy} and chance {chance} are too close to be told apart by {_MOST:,} images"
        )
    first = int(enough.argmax())
    return int(images[first]), int(hits[first])
