"""The checks of lecture 08: right answers pass, each typical mistake gets the hint meant for it."""

import re

import numpy as np
import pytest

from tinylab.exercises import check

PROSE = "The quick brown fox jumps over the lazy dog and then it goes home to sleep until the next morning."


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


@pytest.mark.parametrize(("identifier", "answer"), RIGHT)
def test_right(identifier: str, answer: object) -> None:
    verdict = check(identifier, answer)
    assert verdict, str(verdict)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize(("identifier", "answer", "hint"), WRONG)
def test_each_slip_gets_its_hint(identifier: str, answer: object, hint: str) -> None:
    verdict = check(identifier, answer)
    assert not verdict
    assert re.search(re.escape(hint), verdict.hint), verdict.hint


@pytest.mark.parametrize("identifier", ["08.1", "08.2", "08.3", "08.4", "08.5"])
@pytest.mark.parametrize("answer", [..., None, "text", object(), float("nan")])
def test_odd_answers_get_a_hint_and_no_traceback(identifier: str, answer: object) -> None:
    verdict = check(identifier, answer)
    assert not verdict
    assert verdict.hint
