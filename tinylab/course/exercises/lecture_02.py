"""Checks of lecture 02, the layers: counting weights, writing kernels and pools, who gets the gradient."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tinylab import models
from tinylab.course.exercises import Unreadable, counted, exercise, function, text
from tinylab.models import notation


@exercise("02.1")
def parameters_of_conv5_32(answer: Any) -> str | None:
    """Weights and biases of conv5-32 on a colour image: 32 filters of 5·5·3 weights and a bias each."""
    hints = {
        2400: "All weights are there. Is a weight all that a filter has?",
        832: "A filter looks at more than one channel of a colour image.",
        76: "That is one filter. How many are there?",
        9248: "That is conv3-32 on 32 channels. How large is the filter here, and how many channels has a photo?",
    }
    return counted(answer, 2432, hints, "Count one filter first: height × width × channels, + ?")


@exercise("02.2")
def move_right(answer: Any) -> str | None:
    """A 3×3 kernel that moves the image one pixel to the right: the weight 1 left of the centre."""
    try:
        kernel = torch.as_tensor(answer, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise Unreadable("The answer should be three rows of three numbers.") from None
    if kernel.shape != (3, 3):
        return f"A 3×3 kernel has three rows of three numbers; the shape {tuple(kernel.shape)} came."
    moved = {"up": (0, -1), "down": (0, 1), "left": (-1, 0), "right": (1, 0)}
    image = torch.rand(12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    response = F.conv2d(image[None, None], kernel[None, None])[0, 0]  # the inner 10×10 pixels
    for name, (x, y) in moved.items():
        if torch.allclose(response, image.roll((y, x), (0, 1))[1:-1, 1:-1]):
            wrong_side = "The filter is not flipped: which neighbour must land on the centre's place?"
            return None if name == "right" else f"It moves the image, but {name}. {wrong_side}"
    if torch.allclose(response, image[1:-1, 1:-1]):
        return "This kernel leaves the image where it is: each pixel becomes itself. Which should it become?"
    if not math.isclose(float(kernel.sum()), 1):
        return "The image should keep its brightness: what must all nine numbers add up to?"
    return "Each pixel should become exactly one of its neighbours. How many of the nine numbers are not 0?"


@exercise("02.3")
def average_pool(answer: Any, random: np.random.Generator) -> str | None:
    """average_pool(x): the mean of each 2×2 window, (B, C, H, W) -> (B, C, H/2, W/2), differentiable."""
    pool = function(answer)
    x = torch.from_numpy(random.normal(size=(2, 3, 6, 8)))
    x.requires_grad_()
    out, expected = pool(x), F.avg_pool2d(x, 2)
    if not isinstance(out, Tensor):
        return f"average_pool should return a tensor; a {type(out).__name__} came back."
    if out.shape != expected.shape:
        return f"For x {tuple(x.shape)} the result should have shape {tuple(expected.shape)}; got {tuple(out.shape)}."
    if torch.allclose(out, F.max_pool2d(x, 2)):
        return "That is max pooling. The mean, this time."
    if torch.allclose(out, 4 * expected):
        return "That is the sum of each window. How many numbers is it the sum of?"
    if not torch.allclose(out, expected):
        return "The shape is right, the values are not. Try it on torch.arange(16.0).reshape(1, 1, 4, 4)."
    if not out.requires_grad:
        return "The values are right, but no gradient flows back through it. Stay with operations on tensors."
    return None


@exercise("02.4")
def gradients_behind_a_pool(answer: Any) -> str | None:
    """Numbers of 32 maps of 64×64 that get a gradient through a max pool: one of each 2×2 window, 32·32·32."""
    hints = {
        64 * 64 * 32: "That is all of them. Which of the four numbers of a window gets the gradient?",
        3 * 32 * 32 * 32: "So many get none.",
        32 * 32: "That is one map. How many maps are there?",
        64 * 32: "That is one row of windows twice over. How many windows has a map?",
        4: "That is one window's size. How many windows are there, and how many numbers of each?",
    }
    return counted(answer, 32 * 32 * 32, hints, "How many windows has one map? And how many of each window's numbers?")


@exercise("02.5")
def model_1_with_batch_norm(answer: Any) -> str | None:
    """Model 1's line with batch normalisation wherever the student would put it."""
    line = notation.format(notation.parse(text(answer)))
    layers = line.split(" - ")
    if "batch norm" not in layers:
        return "That line has no `batch norm` yet."
    if " - ".join(layer for layer in layers if layer != "batch norm") != models.ARCHITECTURES["model_1"]:
        return "Without its batch norms, the line should be Model 1's: one change at a time."
    if "batch norm - batch norm" in line:
        return "Two batch norms stand side by side. What is left to normalise for the second?"
    return None
