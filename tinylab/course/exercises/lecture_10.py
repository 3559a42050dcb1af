"""Checks of lecture 10, beyond: what is carried over, the size of a block, a verdict by Student's t."""

import math
from typing import Any

import numpy as np

from tinylab.course.exercises import counted, exercise, function

STUDENT = 3.18  # of four seeds, two-sided, one in twenty


@exercise("10.2")
def carried_over(answer: Any) -> str | None:
    """All but the last layer of Model 1: 8,557,288 - (512 + 1) · 200."""
    hints = {
        8_557_288: "That is all of it. What use is a unit for a class that the new task has not got?",
        8_475_208: "That is the size of the whole new network. Its last layer begins anew; take it away, too.",
        8_454_888: "Close: the last layer's units have biases, too.",
        65_568: "The fully connected layer before the last one is carried over as well.",
        102_600: "That is what stays behind. How much goes over?",
    }
    return counted(answer, 8_454_688, hints, "Which layer belongs to the old classes? Count it, and take it away.")


@exercise("10.3")
def block_of_64(answer: Any) -> str | None:
    """Two convolutions without bias and two batch norms: 2 · 9 · 64² + 2 · 2 · 64."""
    hints = {
        73_728: "The convolutions are right. What else in the block learns?",
        36_864: "That is one convolution. What else is in the block?",
        36_992: "That is half of the branch.",
        74_112: "Do the convolutions have biases? Look at the class, and why.",
        73_856: "Each channel of a batch norm learns how many numbers? And a bias would only be subtracted again.",
        78_080: "Does the way past the block need weights when the channels stay the same?",
        78_208: "Does the way past the block need weights when the channels stay the same?",
    }
    return counted(answer, 73_984, hints, "Go through the branch: two convolutions, two batch norms, nothing else.")


def _verdict(gains: list[float]) -> str:
    """The rule of the exercise."""
    mean, error = float(np.mean(gains)), float(np.std(gains, ddof=1)) / math.sqrt(len(gains))
    return "cannot tell" if abs(mean) <= STUDENT * error else "better" if mean > 0 else "worse"


@exercise("10.4")
def own_verdict(answer: Any, random: np.random.Generator) -> str | None:
    """verdict(gains): Student's t of four gains against zero."""
    verdict = function(answer)
    cases = [
        ([0.10, 0.12, 0.09, 0.11], "four gains that agree"),
        ([-0.10, -0.12, -0.09, -0.11], "four losses that agree"),
        ([0.30, -0.05, 0.02, 0.01], "one lucky seed"),
        ([0.10, 0.02, 0.08, 0.01], "a mean between two and three standard errors"),
        ([0.10, 0.03, 0.08, 0.03], "a mean of 3.4 standard errors (does the deviation have n - 1?)"),
        ([0.08, 0.02, 0.08, 0.02], "a mean of 2.9 standard errors (does the deviation have n - 1?)"),
        ([-0.30, 0.05, 0.02, -0.01], "one unlucky seed"),
    ]
    for middle in (0.1, -0.1, 0.0, 0.04):
        drawn = random.normal(middle, 0.03, 4).round(3)
        errors = abs(drawn.mean()) / (drawn.std(ddof=1) / 2)
        if abs(errors - STUDENT) > 0.1:  # rounding may decide nothing
            cases.append((drawn.tolist(), f"a mean of {errors:.1f} standard errors"))
    for gains, what in cases:
        given, expected = verdict(list(gains)), _verdict(gains)
        if not isinstance(given, str):
            return f'Return "better", "worse" or "cannot tell"; {given!r} came.'
        if given.strip().lower() != expected:
            return f"Try it with {what}: {gains}. Your answer there is {given!r}."
    return None
