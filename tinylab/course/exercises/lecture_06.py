"""Checks of lecture 06, optimizers: Adam's first step, momentum's reach, its code."""

import math
from typing import Any

import numpy as np
import torch

from tinylab.course.exercises import counted, exercise, function


@exercise("06.1")
def first_step_of_adam(answer: Any) -> str | None:
    """How far Adam's first step goes at learning rate 0.001 when the gradient is 50: 0.001."""
    small = "Both running means start at 0 and are too small at first. What is done about it?"
    hints = {
        0.05: "That is SGD's step. What does Adam divide the gradient by?",
        0.0001: small,
        0.001 / math.sqrt(0.001): small,
        0.1 * 0.001 / math.sqrt(0.001): small,
    }
    walk = "After the correction, m̂ is the first gradient and ŝ its square. Put 50 into the last line of the rule."
    return counted(answer, 0.001, hints, walk, relative=1e-3)


@exercise("06.2")
def reach_of_momentum(answer: Any) -> str | None:
    """The velocity under a constant gradient 1 and momentum 0.9 grows to 1 + 0.9 + 0.81 + … = 10."""
    hints = {
        9: "Nearly. Does the newest gradient count as well?",
        1: "The velocity remembers the gradients before this one, too.",
        2: "1 + 0.9 are the newest two. All those before them still count.",
    }
    return counted(answer, 10, hints, "When the velocity no longer changes, v = 0.9·v + 1. Solve for v.")


@exercise("06.3")
def momentum_step(answer: Any, random: np.random.Generator) -> str | None:
    """step(w, g, v, learning_rate, momentum): the new weight and the new velocity."""
    step = function(answer)
    w, g, v = torch.from_numpy(random.normal(size=(3, 2)))
    rate, momentum = float(random.uniform(0.05, 0.2)), float(random.uniform(0.7, 0.95))
    result = step(w.clone(), g.clone(), v.clone(), rate, momentum)
    if not isinstance(result, tuple | list) or len(result) != 2:
        return "Return two things: the new weight and the new velocity."
    new_w, new_v = (torch.as_tensor(part, dtype=torch.float64) for part in result)
    if new_w.shape != w.shape or new_v.shape != v.shape:
        return "Weight and velocity keep their shape."
    velocity = momentum * v + g
    if torch.allclose(new_v, momentum * v + (1 - momentum) * g):
        return "That is Adam's running mean. SGD's velocity adds the gradient in full."
    if not torch.allclose(new_v, velocity):
        return "The velocity first: what is left of the old one, plus the new gradient."
    if torch.allclose(new_w, w + rate * velocity):
        return "The right size, the wrong way: the gradient points uphill. It is the slip of the report's formula."
    if torch.allclose(new_w, w - rate * g):
        return "The velocity is right, but it is not used: the weight moves along the velocity."
    if torch.allclose(new_w, w - rate * v):
        return "The weight moves along the new velocity, not the old one."
    right = torch.allclose(new_w, w - rate * velocity)
    return None if right else "The weight: one learning rate times the velocity, down."
