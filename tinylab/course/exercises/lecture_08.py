"""Checks of lecture 08, filters: counting layers, what one number sees, a step uphill, dead channels."""

from typing import Any

import numpy as np

from tinylab.course.exercises import counted, exercise, function


@exercise("08.1")
def second_conv3_64(answer: Any) -> str | None:
    """The number of Model 1's second conv3-64, counted as the report counts: 9."""
    hints = {
        4: "Convolutions alone are not what Keras counts: relu, max pool and dropout are layers, too.",
        7: "That is the first conv3-64, the one of Figure 4.",
        8: "Keras counts from 0 in Python, the report from 1. Which one is layer 1?",
        10: "That is the relu that follows it.",
    }
    return counted(answer, 9, hints, "Write the line of Model 1 down and put a number under each layer, 1 first.")


@exercise("08.2")
def receptive_field(answer: Any) -> str | None:
    """Side of the receptive field of layer 9: 14 pixels."""
    hints = {
        10: "That is layer 7. How far does one more 3×3 filter reach, where neighbours are 2 pixels apart?",
        12: "After the pooling, neighbours on the map are 2 pixels apart: a 3×3 filter adds more than 2 pixels.",
        16: "Layer 9 comes before the second pooling.",
        196: "That is how many pixels; the question is how many along one side.",
        9: "Each filter reaches one pixel further on each side, but after the pooling its pixels are 2 apart.",
    }
    walk = (
        "Go back from the map: 3×3 of them, each 3×3 of the ones before, then 2×2 pixels each, then two filters more."
    )
    return counted(answer, 14, hints, walk)


@exercise("08.3")
def step_uphill(answer: Any, random: np.random.Generator) -> str | None:
    """step(image, gradient): image + gradient / (root mean square + 1e-5)."""
    step = function(answer)
    image, gradient = random.uniform(0, 255, (3, 8, 8)), random.normal(0.3, 2.0, (3, 8, 8))
    kept = image.copy()
    result = np.asarray(step(image, gradient), dtype=np.float64)
    size = np.sqrt(np.square(gradient).mean())
    if not np.array_equal(image, kept):
        return "The function changes the image that it was given. Return a new one."
    if result.shape != image.shape:
        return f"The new image has the shape of the old one, {image.shape}; {result.shape} came."
    hints = [
        (image - gradient / size, "The right size, downhill: which sign makes the activation larger?"),
        (image + gradient, "A step of the size of the gradient. Divide it by its root mean square first."),
        (
            image + gradient / gradient.std(),
            "The standard deviation subtracts the mean; the root mean square does not.",
        ),
        (image + gradient / np.square(gradient).mean(), "That is the mean square. What is missing?"),
        (image + gradient / np.linalg.norm(gradient), "That is the root of the sum of squares, not of their mean."),
        (gradient / size, "That is the step itself. Where does the image go?"),
    ]
    for wrong, hint in hints:
        if np.allclose(result, wrong, atol=1e-3):
            return hint
    if not np.allclose(result, image + gradient / size, atol=1e-3):
        return "image + gradient / (root mean square of the gradient + 1e-5): compare term by term."
    flat = np.asarray(step(kept, np.zeros_like(kept)), dtype=np.float64)
    return None if np.isfinite(flat).all() else "A silent channel has gradient 0 everywhere, and 0 / 0 came. Add 1e-5."


@exercise("08.4")
def dead_share(answer: Any, random: np.random.Generator) -> str | None:
    """dead_share(maps): share of channels of (B, C, h, w) that are nowhere positive."""
    share = function(answer)
    maps = np.full((4, 8, 3, 3), -1.0)
    maps[0, 0, 1, 1] = 0.5  # one place in one image is enough
    maps[:, 1] = 0.0  # the relu gives 0, and its slope is 0
    maps[:, 2] = 2.0
    maps[3, 3] = -0.1
    maps[3, 3, 0, 0] = 7.0
    value = float(share(maps.copy()))
    hints = {
        3 / 8: "Channels 0, 2 and 3 speak. The question is what share does not.",
        7 / 8: "One place in one image is enough to be alive. Over which axes do you look?",
        4 / 8: "A value of exactly 0 is silent as well: the relu gives 0, and has no slope there.",
        5.0: "That is how many. What share of all channels?",
    }
    if np.isclose(value, 5 / 8):
        alive = random.permutation(20)[: random.integers(3, 17)]
        drawn = -random.uniform(0.1, 1, (3, 20, 4, 4))
        drawn[random.integers(3), alive, 1, 2] = 0.5
        if np.isclose(float(share(drawn)), 1 - len(alive) / 20):
            return None
    for wrong, hint in hints.items():
        if np.isclose(value, wrong):
            return hint
    return "A channel is dead if no image and no place makes it larger than 0. Axes: image, channel, row, column."
