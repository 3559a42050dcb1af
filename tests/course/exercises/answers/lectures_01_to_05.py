"""Lectures 01 and 03 to 05: what is right, and the hint for each typical mistake."""

import math

import numpy as np

from tests.course.exercises.answers import PROSE
from tinylab import models


def _held_out(labels: np.ndarray, share: float) -> np.ndarray:
    rows = [np.flatnonzero(labels == c) for c in np.unique(labels)]
    return np.concatenate([r[: round(share * len(r))] for r in rows])


RIGHT = [
    ("01.1", 12288),
    ("01.2", "Development"),
    ("01.3", lambda images, mean, scale: (images.astype(float) - mean) / scale),
    ("01.3", lambda images, mean, scale: (images.astype(np.float32) - mean) / scale),
    ("01.4", _held_out),
    ("01.5", 0),
    ("03.1", 1000),
    ("03.1", math.exp(6.91)),
    ("03.2", 1 / math.sqrt(2)),
    ("03.2", 0.71),
    ("03.3", models.ARCHITECTURES["model_1"].replace("-32", "-16").replace("-64", "-32").replace("512", "256")),
    ("03.4", lambda losses: 1 + losses.index(min(losses))),
    ("03.5", PROSE + " It grows more confident in its wrong answers."),
    ("04.1", "underfitting"),
    ("04.2", 346),
    ("04.2", 347),
    ("04.3", 2097664),
    ("04.4", lambda w, l2: 2 * l2 * w),
    ("04.5", PROSE + " Adam divides by the size, so small gradients count."),
    ("05.1", 8),
    ("05.2", 5),
    ("05.3", models.ARCHITECTURES["model_3"].replace("conv5-32", "conv3-32 - relu - conv3-32")),
    (
        "05.4",
        lambda t, v: "overfitting" if t - v > 0.2 else "underfitting" if v < 0.5 and t - v < 0.05 else "neither",
    ),
    ("05.5", PROSE + " No dropout, and more parameters than images."),
]

WRONG = [
    ("01.1", 4096, "one pixel have"),
    ("01.2", "validation", "really is"),
    ("01.2", "tset", "one of the four"),
    ("01.3", lambda images, mean, scale: ((images - mean) / scale).astype(np.uint8), "no room"),
    ("01.3", lambda images, mean, scale: (images - mean) / scale**2, "square"),
    ("01.3", lambda images, mean, scale: images - mean, "Now the scale"),
    ("01.3", lambda images, mean, scale: np.copyto(images, 0), "changes the images"),
    ("01.4", lambda labels, share: np.arange(16), "class by class"),
    ("01.4", lambda labels, share: [], "whole numbers"),
    ("01.4", lambda labels, share: [0] * 16, "twice"),
    ("01.4", lambda labels, share: [80], "reach 80"),
    ("01.4", lambda labels, share: np.flatnonzero(labels == 0), "images of a class"),
    ("01.5", 1, "validation expects"),
    ("01.5", 2, "one image in training"),
    ("03.1", 2**6.91, "another base"),
    ("03.1", math.log(6.91), "logarithm once more"),
    ("03.1", 200, "only guesses"),
    ("03.2", 0.5, "standard deviation"),
    ("03.2", math.sqrt(2), "wrong direction"),
    ("03.2", 1, "with relu"),
    ("03.2", 3, "few scales"),
    ("03.3", models.ARCHITECTURES["model_1"], "layer 1, 'conv3-32'"),
    ("03.3", models.ARCHITECTURES["model_2"], "Only the numbers"),
    ("03.4", lambda losses: losses.index(min(losses)), "count from 1"),
    ("03.4", min, "lowest loss itself"),
    ("03.4", lambda losses: len(losses) - losses[::-1].index(min(losses)), "take the first"),
    ("03.4", lambda losses: len(losses), "lowest"),
    ("03.5", "More confident.", "at least 15"),
    ("03.5", PROSE, "accuracy does not"),
    ("03.5", "wrong confident " * 10, "only 2 different"),
    ("03.5", PROSE + " An unsure mistake.", "accuracy does not"),
    ("04.1", "overfitting", "learned from"),
    ("04.1", "both", "Answer"),
    ("04.2", 250, r"what is \*left\*"),
    ("04.2", 693, "derivative of w²"),
    ("04.2", 0.02, "Which share"),
    ("04.3", 2097152, "one number more"),
    ("04.4", lambda w, l2: l2 * w, "Half"),
    ("04.4", lambda w, l2: -2 * l2 * w, "uphill"),
    ("04.4", lambda w, l2: float((w**2).sum()), "for each weight"),
    ("04.5", PROSE, "before the step"),
    ("05.1", 2, "before any pooling"),
    ("05.1", 12, "not k"),
    ("05.1", 5, "doubles the stride"),
    ("05.1", 2.5, "doubles the stride"),
    ("05.2", 9, "overlap"),
    ("05.3", models.ARCHITECTURES["model_3"], "still there"),
    ("05.3", models.ARCHITECTURES["model_3"].replace("conv5-32", "conv3-32 - conv3-32"), "missing"),
    ("05.4", lambda t, v: "fine", "three words"),
    ("05.4", lambda t, v: "overfitting", "Look again"),
    ("05.5", PROSE, "has not"),
]
