"""Predictions of a network that does not exist, with the habits of those that do, at a wanted accuracy.

Classes come in groups that look alike, some are easier than others, some are named more often than they occur, and the
probabilities are more confident than they should be.
"""

import numpy as np

from tinylab.evaluation import Predictions


def predictions(classes: int, per_class: int, *, accuracy: float = 0.3, seed: int = 0) -> Predictions:
    """`classes` × `per_class` images, numbered without regard to class, as in the real archive."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(classes), per_class))
    N = len(labels)
    group = rng.permutation(classes) // int(rng.integers(2, 5))  # of each class: those that look alike
    noise = rng.normal(size=(N, classes))
    noise += rng.normal(scale=0.3, size=classes)  # what the network likes to say
    alike = (group[labels][:, None] == group) * rng.uniform(0.2, 0.6)
    alike[np.arange(N), labels] = 1.0
    signal = alike * rng.uniform(0.5, 1.5, classes)[labels][:, None]  # some classes are easier
    low, high = 0.0, 50.0
    for _ in range(14):  # the strength that gives the accuracy asked for
        middle = (low + high) / 2
        reached = ((noise + middle * signal).argmax(axis=1) == labels).mean()
        low, high = (middle, high) if reached < accuracy else (low, middle)
    logits = rng.uniform(1.0, 3.0) * (noise + high * signal)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    files = np.array([f"val_{number}.JPEG" for number in range(N)])
    return Predictions(files, (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32), labels)


def wnids(classes: int, seed: int = 0) -> list[str]:
    """Names that are not sorted, as those of the real wnids.txt."""
    rng = np.random.default_rng([seed, 1])
    return [f"n{number:08d}" for number in rng.choice(10**8, classes, replace=False)]
