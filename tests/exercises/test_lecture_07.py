"""The checks of lecture 07: right answers pass, each typical mistake gets the hint meant for it."""

import re

import numpy as np
import pytest

from tinylab.exercises import check, lecture_07

PROSE = "The quick brown fox jumps over the lazy dog and then it goes home to sleep until the next morning."


def by_sets(validation: list[float], train: list[float]) -> bool:
    """The rule of 07.4, written another way."""
    before = np.array(validation[:-3])
    risen = min(validation[-3:]) / before.min() > 1.02
    return bool(risen & (train[-1] < train[int(before.argmin())]))


def raw_lowest(validation: list[float], train: list[float]) -> bool:
    return validation[-1] > min(validation)


RIGHT = [
    ("07.1", " Overfitting"),
    ("07.2", 5),
    ("07.2", np.int64(5)),
    ("07.3", 0.3918),
    ("07.4", by_sets),
    ("07.4", lambda v, t: np.bool_(by_sets(v, t))),
    ("07.5", PROSE + " Dropout is off in evaluation mode."),
]
WRONG = [
    ("07.1", "underfitting", "Has this one"),
    ("07.1", "divergence", "explodes"),
    ("07.1", "flu", "Answer"),
    ("07.2", 2, "lowest number"),
    ("07.2", 4, "from 1"),
    ("07.2", 3, "Cross out"),
    ("07.3", 0.2435, "guessing alone"),
    ("07.3", 0.2435 * 40, "above 1"),
    ("07.3", (0.2435 - 0.005) / 0.995, "That is the skill"),
    ("07.3", 39.176, "In percent"),
    ("07.3", 0.5, "First the skill"),
    ("07.4", lambda v, t: True, "falls to the end"),
    ("07.4", lambda v, t: False, "rises for three"),
    ("07.4", raw_lowest, "single bad epoch"),
    ("07.4", lambda v, t: min(v[-3:]) > 1.02 * min(v[:-3]), "rises, too"),
    ("07.4", lambda v, t: min(v[-3:]) > min(v[:-3]) and t[-1] < t[3], "less than 2 %"),
    ("07.4", lambda v, t: min(v[-3:]) > 1.02 * v[-4] and t[-1] < t[-4], "far back"),
    ("07.4", lambda v, t: 1, "True or False"),
    ("07.5", "Dropout.", "at least 15"),
    ("07.5", PROSE, "while it learns"),
    ("07.5", PROSE + " Dropout!", "compared"),
]


@pytest.mark.parametrize(("identifier", "answer"), RIGHT)
def test_right_answers_pass(identifier: str, answer: object) -> None:
    verdict = check(identifier, answer)
    assert verdict.passed, verdict


@pytest.mark.parametrize(("identifier", "answer", "hint"), WRONG)
def test_typical_mistakes_get_their_hint(identifier: str, answer: object, hint: str) -> None:
    verdict = check(identifier, answer)
    assert not verdict.passed
    assert re.search(hint, verdict.hint), verdict.hint


@pytest.mark.parametrize("identifier", [f"07.{i}" for i in range(1, 6)])
@pytest.mark.parametrize("odd", [None, ..., "?", [], float("nan"), lambda: 1 / 0])
def test_odd_answers_get_a_hint_and_no_traceback(identifier: str, odd: object) -> None:
    verdict = check(identifier, odd)
    assert not verdict.passed
    assert verdict.hint


def test_the_rule_agrees_with_the_oracle() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        validation, train = rng.uniform(1, 1.1, (2, 8)).tolist()
        assert lecture_07._overfits(validation, train) == by_sets(validation, train)
