"""Lecture 10: what is right, and the hint for each typical mistake."""

import numpy as np
from scipy.stats import t as student
from scipy.stats import ttest_1samp

from tests.course.exercises.answers import PROSE


def by_scipy(gains: list[float]) -> str:
    """The rule of 10.4 with Student's own number: 3.18 is that of four seeds, rounded."""
    assert abs(student.ppf(0.975, 3) - 3.18) < 0.003
    test = ttest_1samp(gains, 0)
    return "cannot tell" if test.pvalue > 0.05 else "Better" if test.statistic > 0 else "worse"


def population(gains: list[float]) -> str:
    """The usual slip: the standard deviation with n."""
    error = np.std(gains) / 2
    return "cannot tell" if abs(np.mean(gains)) <= 3.18 * error else "better" if np.mean(gains) > 0 else "worse"


def by_sign(gains: list[float]) -> str:
    return "better" if sum(gains) > 0 else "worse"


def deviations(gains: list[float]) -> str:
    """Another slip: standard deviations in place of standard errors."""
    spread = np.std(gains, ddof=1)
    return "cannot tell" if abs(np.mean(gains)) <= 3.18 * spread else "better" if np.mean(gains) > 0 else "worse"


RIGHT = [
    ("10.1", " From scratch"),
    ("10.2", 8_454_688),
    ("10.2", np.int64(8_454_688)),
    ("10.3", 73_984),
    ("10.4", by_scipy),
    ("10.5", PROSE + " It had more epochs, and it may be luck."),
]
WRONG = [
    ("10.1", "more epochs", "trains for longer"),
    ("10.1", "frozen", "without pre-training"),
    ("10.1", "fine-tuned", "without pre-training"),
    ("10.1", "scratch", "Answer one of"),
    ("10.2", 8_557_288, "all of it"),
    ("10.2", 8_475_208, "whole new network"),
    ("10.2", 8_454_888, "biases, too"),
    ("10.2", 65_568, "before the last one"),
    ("10.2", 102_600, "stays behind"),
    ("10.2", 1, "Which layer belongs"),
    ("10.3", 73_728, "What else in the block"),
    ("10.3", 36_864, "one convolution"),
    ("10.3", 36_992, "half of the branch"),
    ("10.3", 74_112, "have biases"),
    ("10.3", 73_856, "how many numbers"),
    ("10.3", 78_080, "way past the block"),
    ("10.3", 78_208, "way past the block"),
    ("10.3", 1, "Go through"),
    ("10.4", lambda gains: "better", "losses that agree"),
    ("10.4", by_sign, "one lucky seed"),
    ("10.4", lambda gains: "cannot tell", "gains that agree"),
    ("10.4", population, "2.9 standard errors"),
    ("10.4", deviations, "3.4 standard errors"),
    ("10.4", lambda gains: 1, "Return"),
    ("10.5", "Luck.", "at least 15"),
    ("10.5", PROSE, "How much work"),
    ("10.5", PROSE + " The other had fewer epochs.", "second time"),
]
