"""Lecture 08: what is right, and the hint for each typical mistake."""

import numpy as np

from tests.course.exercises.answers import PROSE


def rms(gradient: np.ndarray) -> float:
    return float(np.sqrt(np.square(gradient).mean()))


def inplace(image: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    image += gradient / (rms(gradient) + 1e-5)
    return image


RIGHT = [
    ("08.1", 9),
    ("08.2", 14),
    ("08.3", lambda image, gradient: image + gradient / (rms(gradient) + 1e-5)),
    ("08.4", lambda maps: ((maps > 0).sum(axis=(0, 2, 3)) == 0).mean()),
    ("08.4", lambda maps: float(np.mean(maps.max(axis=(0, 2, 3)) <= 0))),
    ("08.5", PROSE + " The method draws noise; look at an untrained network beside it."),
]

WRONG = [
    ("08.1", 7, "Figure 4"),
    ("08.1", 4, "Convolutions alone"),
    ("08.1", 12, "put a number"),
    ("08.2", 10, "layer 7"),
    ("08.2", 12, "2 pixels apart"),
    ("08.2", 196, "along one side"),
    ("08.2", 3, "Go back"),
    ("08.3", lambda image, gradient: image - gradient / (rms(gradient) + 1e-5), "downhill"),
    ("08.3", lambda image, gradient: image + gradient, "root mean square first"),
    ("08.3", lambda image, gradient: image + gradient / gradient.std(), "subtracts the mean"),
    ("08.3", lambda image, gradient: image + gradient / rms(gradient) ** 2, "mean square"),
    ("08.3", lambda image, gradient: image + gradient / np.linalg.norm(gradient), "root of the sum"),
    ("08.3", lambda image, gradient: gradient / rms(gradient), "step itself"),
    ("08.3", lambda image, gradient: image * 2, "term by term"),
    ("08.3", lambda image, gradient: image[0], "shape of the old one"),
    ("08.3", inplace, "changes the image"),
    ("08.3", lambda image, gradient: image + gradient / rms(gradient), "Add 1e-5"),
    ("08.4", lambda maps: (maps.max(axis=(0, 2, 3)) > 0).mean(), "what share does not"),
    ("08.4", lambda maps: (maps.min(axis=(0, 2, 3)) <= 0).mean(), "One place in one image"),
    ("08.4", lambda maps: (maps.max(axis=(0, 2, 3)) < 0).mean(), "exactly 0"),
    ("08.4", lambda maps: (maps.max(axis=(0, 2, 3)) <= 0).sum(), "how many"),
    ("08.4", lambda maps: 0.1, "no image and no place"),
    ("08.5", "It is noise.", "at least 15"),
    ("08.5", PROSE, "besides the network"),
    ("08.5", PROSE + " The method.", "compare the picture"),
]
