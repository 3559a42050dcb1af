"""Checks of lecture 04, Model 2: what an L2 penalty is to SGD, one block more."""

from typing import Any

import numpy as np
import torch

from tinylab.course.exercises import counted, exercise, function


@exercise("04.2")
def updates_that_halve(answer: Any) -> str | None:
    """Updates of plain SGD at 0.1 after which 0.01·Σw² alone has halved a weight: ln 0.5 / ln 0.998, 346 or 347."""
    hints = {
        250: "Each update takes a share of what is *left*, not of the weight that you began with.",
        693: "What is the derivative of w²? The pull is larger than you think.",
        34.5: "That is the pull itself. An update moves a weight by the learning rate times it.",
    }
    walk = "One update: w becomes w − 0.1 · (derivative of 0.01·w²). Which share is left, and when is it a half?"
    return counted(answer, 346.5, hints, walk, relative=2e-3)


@exercise("04.3")
def fc_of_a_fourth_block(answer: Any) -> str | None:
    """Parameters of fc(512) after a fourth block of conv3-256, pooled to 4×4."""
    hints = {
        256 * 4 * 4 * 512: "All weights are there. Each of the 512 units has one number more.",
        (256 * 8 * 8 + 1) * 512: "The fourth block is pooled, too: how large is its picture?",
        (128 * 4 * 4 + 1) * 512: "The picture is right. How many filters has its last convolution?",
    }
    walk = "64 pixels, halved four times: how many positions, times how many filters?"
    return counted(answer, (256 * 4 * 4 + 1) * 512, hints, walk)


@exercise("04.4")
def l2_gradient(answer: Any, random: np.random.Generator) -> str | None:
    """l2_gradient(w, l2): 2·l2·w."""
    gradient = function(answer)
    l2 = float(random.uniform(0.01, 0.09))
    w = torch.from_numpy(random.normal(size=4)).requires_grad_()
    (expected,) = torch.autograd.grad(l2 * w.square().sum(), w)
    result = gradient(w.detach().clone(), l2)
    if not isinstance(result, torch.Tensor) or result.shape != w.shape:
        return "The gradient has one number for each weight: a tensor of the shape of w."
    if torch.allclose(result, expected / 2):
        return "Half of it. What is the derivative of w²?"
    if torch.allclose(result, -expected):
        return "The right size, the wrong sign: the gradient points uphill, the update goes the other way."
    return None if torch.allclose(result, expected) else "Write the sum out for two weights and differentiate by one."
