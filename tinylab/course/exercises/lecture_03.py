"""Checks of lecture 03, Model 1: counting, the first loss, writing a line, the turning point, confidence."""

import math
from typing import Any

import numpy as np

from tinylab.course.exercises import Found, close, counted, exercise, explanation, function, text
from tinylab.models import notation


@exercise("03.1")
def parameters_of_the_first_conv3_64(answer: Any) -> str | None:
    """Parameters of the first conv3-64 of Model 1: 64 filters of 3·3·32 weights and a bias."""
    hints = {
        3 * 3 * 32 * 64: "All weights are there. What else has every filter?",
        (3 * 3 * 64 + 1) * 64: "That is the second conv3-64. How many channels does the first one get?",
        (3 * 3 * 3 + 1) * 64: "It does not see the image any more: how many channels does the layer before it give?",
    }
    walk = "One filter first: width × height × input channels, + 1. Then times the number of filters."
    return counted(answer, (3 * 3 * 32 + 1) * 64, hints, walk)


@exercise("03.2")
def first_loss_of_200_classes(answer: Any) -> str | None:
    """Loss of a network that gives each of 200 classes the same probability: ln 200."""
    if close(answer, math.log(200), relative=0.002):
        return None
    if close(answer, math.log2(200), relative=0.01) or close(answer, math.log10(200), relative=0.01):
        return "The right idea with another base: the softmax loss uses the natural logarithm."
    if close(answer, 1 / 200):
        return "That is the probability of each class. The loss is minus its logarithm."
    return "It gives each class the same probability. Which one, and what is minus its logarithm?"


@exercise("03.3")
def half_of_model_1(answer: Any) -> str | None:
    """Model 1's line with half the filters and half the units."""
    line = notation.format(notation.parse(text(answer)))
    wanted = (
        "conv3-16 - relu - conv3-16 - relu - max pool - dropout - conv3-32 - relu - conv3-32 - relu - max pool"
        " - dropout - fc(256) - relu - dropout - softmax"
    )
    if line == wanted:
        return None
    ours, theirs = wanted.split(" - "), line.split(" - ")
    if len(ours) != len(theirs):
        return f"Model 1 has {len(ours)} layers, your line {len(theirs)}. Only the numbers should change."
    place = next(i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b)
    return f"Look at layer {place + 1}, {theirs[place]!r}: what stands there in Model 1, and what is half of it?"


@exercise("03.4")
def turning_point(answer: Any, random: np.random.Generator) -> str | None:
    """turning_point(losses): the epoch, from 1, of the lowest validation loss."""
    turn = function(answer)
    cases = {(2.3, 2.0, 1.8, 1.9, 2.2): 3, (2.3, 2.1, 2.0): 3, (1.0, 1.2, 1.4): 1, (2.0, 1.5, 1.7, 1.5, 1.9): 2}
    for epochs in random.integers(5, 12, 4):
        drawn = random.permutation(np.arange(1.5, 1.5 + 0.1 * epochs, 0.1).round(1)).tolist()
        cases[tuple(drawn)] = 1 + drawn.index(min(drawn))
    for losses, expected in cases.items():
        found = turn(list(losses))
        if found == expected:
            continue
        if found == expected - 1:
            return f"For {list(losses)} it returns {found}. Epochs count from 1."
        if found == min(losses):
            return "That is the lowest loss itself. In which epoch was it?"
        if losses.count(min(losses)) > 1:
            return f"For {list(losses)} it returns {found}. When two epochs are equally good, take the first."
        return f"For {list(losses)} it returns {found!r}. In which epoch was the loss lowest?"
    return None


@exercise("03.5")
def loss_without_accuracy(answer: Any) -> str | Found | None:
    """Why loss can rise at level accuracy: growing confidence in wrong answers."""
    return explanation(
        answer,
        {
            "confidence": (
                ("confiden", "certain", "sure", "probabilit"),
                "What does the loss look at that accuracy does not?",
            ),
            "wrong answers": (
                ("wrong", "mistake", "incorrect", "misclassif", "true class"),
                "Which images make the loss grow?",
            ),
        },
    )
