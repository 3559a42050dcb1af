"""Which one-to-one exchange of classes makes predictions fit their labels best.

The assignment problem: C classes, C outputs, every pair has a gain, and each is used once (Kuhn, 1955).
"""

import numpy as np

from tinylab.support.errors import InvalidInputError

FLOOR = 0.01  # of probabilities, before their logarithm is taken
_FOLDS = 5


def best_relabelling(gains: np.ndarray) -> np.ndarray:
    """The column for each row, int64 (C,), all different, whose gains add up to the most; gains (C, C), finite."""
    from scipy.optimize import linear_sum_assignment  # slow to import, and not needed to predict

    gains = np.asarray(gains, np.float64)
    if gains.ndim != 2 or gains.shape[0] != gains.shape[1] or not np.isfinite(gains).all():
        raise InvalidInputError(f"gains of shape {gains.shape} are not possible. Allowed: finite numbers (C, C)")
    return np.asarray(linear_sum_assignment(gains, maximize=True)[1], np.int64)


def matching(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The output that stands for each class, int64 (C,): the exchange that makes the labels most probable.

    probabilities float (N, C), labels int (N,).
    """
    C = probabilities.shape[1]
    return best_relabelling(np.eye(C)[labels].T @ log_score(probabilities))  # (C, C), class by output


def log_score(probabilities: np.ndarray) -> np.ndarray:
    """Logarithm of the probability plus `FLOOR`, float64: one sure and wrong answer must not decide alone."""
    return np.log(probabilities.astype(np.float64) + FLOOR)


def crossfitted(probabilities: np.ndarray, labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Probabilities (N, C) after the best relabelling; that of each image is found without that image.

    An exchange fitted to the very images that it is judged by would always look like a success.
    """
    fold = np.random.default_rng(seed).permutation(len(labels)) % _FOLDS
    result = np.empty_like(probabilities)
    for number in range(_FOLDS):
        held = fold == number
        result[held] = probabilities[held][:, matching(probabilities[~held], labels[~held])]
    return result
