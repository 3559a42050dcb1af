"""Lecture 07: what is right, and the hint for each typical mistake."""

import numpy as np

from tests.course.exercises.answers import PROSE


def by_sets(validation: list[float], train: list[float]) -> bool:
    """The rule of 07.4, written another way: medians of windows, the middle one of three sorted numbers."""
    padded = [np.nan, *validation, np.nan]
    medians = [float(np.nanmedian(padded[i : i + 3])) for i in range(len(validation))]
    low = min(medians)
    bottom = medians.index(low)
    best = min((loss, i) for i, loss in enumerate(validation) if abs(i - bottom) <= 1)[1]
    return bool(best < len(validation) - 3 and min(validation[-3:]) / low > 1.02 and train[-1] < train[best])


def by_raw_minimum(validation: list[float], train: list[float]) -> bool:
    best = validation.index(min(validation))
    return min(validation[-3:]) > 1.02 * validation[best] and train[-1] < train[best]


def raw_lowest(validation: list[float], train: list[float]) -> bool:
    return validation[-1] > min(validation)


RIGHT = [
    ("07.1", " Overfitting"),
    ("07.2", 5),
    ("07.2", np.int64(5)),
    ("07.3", 0.3918),
    ("07.4", by_sets),
    ("07.4", lambda v, t: np.bool_(by_sets(v, t))),
    ("07.5", PROSE + " Dropout is off in evaluation mode."),
]
WRONG = [
    ("07.1", "underfitting", "Has this one"),
    ("07.1", "divergence", "explodes"),
    ("07.1", "flu", "Answer"),
    ("07.2", 2, "lowest number"),
    ("07.2", 4, "from 1"),
    ("07.2", 3, "Cross out"),
    ("07.3", 0.2435, "guessing alone"),
    ("07.3", 0.2435 * 40, "above 1"),
    ("07.3", (0.2435 - 0.005) / 0.995, "That is the skill"),
    ("07.3", 39.176, "In percent"),
    ("07.3", 0.5, "First the skill"),
    ("07.4", lambda v, t: True, "falls to the end"),
    ("07.4", lambda v, t: False, "rises for three"),
    ("07.4", raw_lowest, "single bad epoch"),
    ("07.4", lambda v, t: by_sets(v, [-i for i, _ in enumerate(t)]), "rises, too"),
    ("07.4", lambda v, t: v[4] != 1.4 and min(v[-3:]) > min(v[:-3]) and t[-1] < t[3], "less than 2 %"),
    ("07.4", by_raw_minimum, "neighbours contradict"),
    ("07.4", lambda v, t: min(v[-3:]) > 1.02 * v[-4] and t[-1] < t[-4], "far back"),
    ("07.4", lambda v, t: 1, "True or False"),
    ("07.5", "Dropout.", "at least 15"),
    ("07.5", PROSE, "while it learns"),
    ("07.5", PROSE + " Dropout!", "compared"),
]
