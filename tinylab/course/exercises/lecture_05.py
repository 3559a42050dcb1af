"""Checks of lecture 05, Model 3: receptive fields, an equal pair of layers, telling fits apart."""

from typing import Any

import numpy as np

from tinylab import models
from tinylab.course.exercises import counted, exercise, function, text
from tinylab.models import notation


@exercise("05.1")
def field_of_a_late_conv3(answer: Any) -> str | None:
    """By how many pixels a 3×3 convolution after two poolings widens the field: (3 − 1) · 4."""
    hints = {
        2: "That is what it adds before any pooling. How far apart do its inputs lie after two?",
        4: "After two poolings neighbouring units lie 4 pixels apart. How many such steps does a width of 3 add?",
        6: "Two poolings double the stride twice.",
        12: "A convolution of width k adds k − 1 steps, not k.",
    }
    return counted(
        answer, 8, hints, "A convolution of width k adds (k − 1) × stride; each 2×2 pooling doubles the stride."
    )


@exercise("05.2")
def field_of_two_conv3(answer: Any) -> str | None:
    """Receptive field of two 3×3 convolutions in a row: 5 pixels wide."""
    hints = {
        3: "That is what one of them sees. The second one looks at a whole window of such units.",
        6: "The two windows overlap. How much does the second one add at each side?",
        9: "The two windows overlap. How much does the second one add at each side?",
        25: "So many pixels in all. How wide is that square?",
    }
    return counted(answer, 5, hints, "Start at 1; a convolution of width k adds k − 1.")


@exercise("05.3")
def two_conv3_for_one_conv5(answer: Any) -> str | None:
    """Model 3's line with conv3-32 - relu - conv3-32 in place of conv5-32."""
    line = notation.format(notation.parse(text(answer)))
    wanted = models.ARCHITECTURES["model_3"].replace("conv5-32", "conv3-32 - relu - conv3-32")
    if line == wanted:
        return None
    if "conv5-32" in line:
        return "The 5×5 layer is still there."
    if line == models.ARCHITECTURES["model_3"].replace("conv5-32", "conv3-32"):
        return "One 3×3 layer sees 3 pixels. How many of them see 5?"
    if line == models.ARCHITECTURES["model_3"].replace("conv5-32", "conv3-32 - conv3-32"):
        return "Between the two something is missing: without it, two convolutions are no more than one."
    return "Start from models.ARCHITECTURES['model_3'] and replace only its first layer."


@exercise("05.4")
def diagnose(answer: Any, random: np.random.Generator) -> str | None:
    """diagnose(train, validation): by the gap and the level, as the exercise defines it."""
    judge = function(answer)
    cases = {
        (0.5693, 0.2435): "overfitting",
        (0.1871, 0.1799): "underfitting",
        (0.6236, 0.1560): "overfitting",
        (0.70, 0.68): "neither",
        (0.60, 0.45): "neither",
        (0.42, 0.40): "underfitting",
        (1.00, 0.10): "overfitting",
    }
    for train, validation in random.uniform(0.05, 0.95, (30, 2)).round(3).tolist():
        gap = train - validation
        if min(abs(gap - 0.2), abs(gap - 0.05), abs(validation - 0.5)) > 0.005:  # rounding may decide nothing
            held = "underfitting" if gap < 0.05 and validation < 0.5 else "neither"
            cases[train, validation] = "overfitting" if gap > 0.2 else held
    for (train, validation), expected in cases.items():
        said = judge(train, validation)
        if said not in {"overfitting", "underfitting", "neither"}:
            return f"For ({train}, {validation}) it returns {said!r}; allowed are the three words of the exercise."
        if said != expected:
            why = f"the gap is {train - validation:.3f}, validation {validation}"
            return f"For ({train}, {validation}) it says {said!r}. Look again: {why}."
    return None
