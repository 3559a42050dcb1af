"""Checks of lecture 05, Model 3: counting, receptive fields, an equal pair of layers, telling fits apart."""

from typing import Any

from tinylab import models
from tinylab.course.exercises import counted, exercise, explanation, function, text
from tinylab.models import notation


@exercise("05.1")
def parameters_of_conv5_32(answer: Any) -> str | None:
    """Parameters of Model 3's conv5-32: 32 filters of 5·5·3 weights and a bias."""
    hints = {
        5 * 5 * 3 * 32: "All weights are there. What else has every filter?",
        (3 * 3 * 3 + 1) * 32: "That is a conv3-32. How wide are the filters of Model 3's first layer?",
        (5 * 5 + 1) * 32: "The image has colours: how many channels does a filter see?",
    }
    walk = "One filter first: width × height × input channels, + 1. Then times the number of filters."
    return counted(answer, (5 * 5 * 3 + 1) * 32, hints, walk)


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
    wanted = models.LINES["model_3"].replace("conv5-32", "conv3-32 - relu - conv3-32")
    if line == wanted:
        return None
    if "conv5-32" in line:
        return "The 5×5 layer is still there."
    if line == models.LINES["model_3"].replace("conv5-32", "conv3-32"):
        return "One 3×3 layer sees 3 pixels. How many of them see 5?"
    if line == models.LINES["model_3"].replace("conv5-32", "conv3-32 - conv3-32"):
        return "Between the two something is missing: without it, two convolutions are no more than one."
    return "Start from models.LINES['model_3'] and replace only its first layer."


@exercise("05.4")
def diagnose(answer: Any) -> str | None:
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
    for (train, validation), expected in cases.items():
        said = judge(train, validation)
        if said not in {"overfitting", "underfitting", "neither"}:
            return f"For ({train}, {validation}) it returns {said!r}; allowed are the three words of the exercise."
        if said != expected:
            gap = f"the gap is {train - validation:.3f}, validation {validation}"
            return f"For ({train}, {validation}) it says {said!r}. Look again: {gap}."
    return None


@exercise("05.5")
def fewest_parameters_most_overfitting(answer: Any) -> str | None:
    """Why Model 3 can overfit the most: all have parameters enough; it lacks dropout between convolutions."""
    return explanation(
        answer,
        {
            ("dropout", "regulari"): "What do Models 1 and 2 have between their convolutions that Model 3 has not?",
            ("image", "enough", "more than", "data", "example"): "Compare the parameters with the training set.",
        },
    )
