"""The checks of the lectures: right answers pass, typical mistakes get the hint meant for them, odd ones do no harm."""

import re

import numpy as np
import pytest

from tests.course.exercises.answers import lecture_06, lecture_07, lecture_08, lecture_09, lecture_10, lectures_01_to_05
from tinylab.course.exercises import check, exercises
from tinylab.course.exercises import lecture_07 as checks_07

TABLES = (lectures_01_to_05, lecture_06, lecture_07, lecture_08, lecture_09, lecture_10)
RIGHT = [row for table in TABLES for row in table.RIGHT]
WRONG = [row for table in TABLES for row in table.WRONG]


@pytest.mark.parametrize(("identifier", "answer"), RIGHT)
def test_right_answers_pass(identifier: str, answer: object) -> None:
    verdict = check(identifier, answer)
    assert verdict.passed, verdict


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize(("identifier", "answer", "hint"), WRONG)
def test_typical_mistakes_get_their_hint(identifier: str, answer: object, hint: str) -> None:
    verdict = check(identifier, answer)
    assert not verdict.passed
    assert re.search(hint, verdict.hint), verdict.hint


@pytest.mark.parametrize("identifier", exercises())
@pytest.mark.parametrize("odd", [None, ..., "?", "", [], float("nan"), object(), lambda: 1 / 0])
def test_odd_answers_get_a_hint_and_no_traceback(identifier: str, odd: object) -> None:
    verdict = check(identifier, odd)
    assert not verdict.passed
    assert verdict.hint


def test_the_rule_agrees_with_the_oracle() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        validation, train = rng.uniform(1, 1.1, (2, 8)).tolist()
        assert checks_07._overfits(validation, train) == lecture_07.by_sets(validation, train)
