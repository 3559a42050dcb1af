"""Checks of lecture 03, Model 1: the first loss, the first weights, writing a line, the turning point."""

import math
from typing import Any

import numpy as np

from tinylab.course.exercises import counted, exercise, function, text
from tinylab.models import notation


@exercise("03.1")
def classes_of_a_first_loss(answer: Any) -> str | None:
    """How many classes a network tells apart whose first loss is 6.91 as it should be: e^6.91, about 1000."""
    base = "The right idea with another base: the softmax loss uses the natural logarithm."
    hints = {
        2**6.91: base,
        10**6.91: base,
        math.log(6.91): "That is the logarithm once more. Which number has 6.91 as its logarithm?",
    }
    walk = "The loss of someone who only guesses is ln C. For which C is that 6.91?"
    return counted(answer, 1000, hints, walk, relative=0.01)


@exercise("03.2")
def scale_without_relu(answer: Any) -> str | None:
    """The scale, as a share of He's, that keeps the spread where no relu follows: sqrt(1/2)."""
    hints = {
        0.5: "Half the variance, yes. The scale multiplies the standard deviation.",
        2**0.5: "The right factor in the wrong direction: without relu, does more of the signal survive, or less?",
        1: "That is right with relu. What share of the mean square does relu remove, for numbers around 0?",
    }
    walk = "Run `spread` without relu for a few scales: does the last number grow or shrink?"
    return counted(answer, math.sqrt(0.5), hints, walk, relative=0.02)


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
