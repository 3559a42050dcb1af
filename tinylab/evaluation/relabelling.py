"""Which permutation of classes makes predictions fit their labels best: an assignment problem (Kuhn, 1955)."""

import numpy as np

FLOOR = 0.01  # of probabilities, before their logarithm is taken
_FOLDS = 5


def matching(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The output that stands for each class, int64 (C,), all different: so that the labels are most probable.

    probabilities float (N, C), labels int (N,).
    """
    from scipy.optimize import linear_sum_assignment  # slow to import, and not needed to predict

    gains = np.eye(probabilities.shape[1])[labels].T @ log_score(probabilities)  # (C, C), class by output
    return np.asarray(linear_sum_assignment(gains, maximize=True)[1])


def log_score(probabilities: np.ndarray) -> np.ndarray:
    """Logarithm of the probability plus `FLOOR`, float64: one sure and wrong answer must not decide alone."""
    return np.log(probabilities.astype(np.float64) + FLOOR)


def crossfitted(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Probabilities (N, C) after the best relabelling; that of each image is found without that image.

    A permutation fitted to the very images that it is judged by would always look like a success.
    """
    fold = np.random.default_rng(0).permutation(len(labels)) % _FOLDS
    result = np.empty_like(probabilities)
    for number in range(_FOLDS):
        held = fold == number
        result[held] = probabilities[held][:, matching(probabilities[~held], labels[~held])]
    return result
