"""The checks of the lectures: right answers pass, typical mistakes get the hint meant for them, odd ones do no harm."""

import importlib
import pkgutil
import re

import numpy as np
import pytest

from tests.course.exercises import answers
from tests.course.exercises.answers import lecture_07
from tinylab import diagnosis
from tinylab.course.exercises import check, exercises
from tinylab.course.exercises import lecture_07 as checks_07

TABLES = [importlib.import_module(one.name) for one in pkgutil.iter_modules(answers.__path__, f"{answers.__name__}.")]
RIGHT = [row for table in TABLES for row in table.RIGHT]
WRONG = [row for table in TABLES for row in table.WRONG]
LECTURES = sorted({name[:2] for name in exercises()})


@pytest.mark.parametrize("lecture", LECTURES)
def test_right_answers_pass_on_the_visible_inputs_and_on_others(lecture: str) -> None:
    mine = [(name, answer) for name, answer in RIGHT if name.startswith(lecture)]
    verdicts = [check(name, answer, seed=seed) for name, answer in mine for seed in (0, 1, 2**31, 12345)]
    assert [str(verdict) for verdict in verdicts if not verdict.passed] == []


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("lecture", LECTURES)
def test_typical_mistakes_get_their_hint(lecture: str) -> None:
    mine = [row for row in WRONG if row[0].startswith(lecture)]
    verdicts = [(check(name, answer), hint) for name, answer, hint in mine]
    assert [str(got) for got, hint in verdicts if got.passed or not re.search(hint, got.hint)] == []


@pytest.mark.parametrize("odd", [None, ..., "?", "", [], float("nan"), object(), lambda: 1 / 0])
def test_odd_answers_get_a_hint_and_no_traceback(odd: object) -> None:
    verdicts = {identifier: check(identifier, odd) for identifier in exercises()}
    assert [name for name, verdict in verdicts.items() if verdict.passed or not verdict.hint] == []


def test_no_exercise_is_asked_twice() -> None:
    """Not even in another lecture: no answer that is right in one place is right in another, words apart."""
    numbers = [(name, answer) for name, answer in RIGHT if type(answer) in (int, float) and abs(answer) > 100]
    for name, answer in numbers:
        assert [other for other, same in numbers if same == answer and other != name] == []


def test_an_answer_that_knows_the_visible_inputs_fails_on_others() -> None:
    seen: list[tuple[list[float], int]] = []

    def turning_point(losses: list[float]) -> int:
        seen.append((losses, 1 + losses.index(min(losses))))
        return seen[-1][1]

    assert check("03.4", turning_point).passed
    table = {tuple(losses): turn for losses, turn in seen}
    assert check("03.4", lambda losses: table.get(tuple(losses))).passed
    assert not check("03.4", lambda losses: table.get(tuple(losses)), seed=7).passed


def test_the_series_of_07_2_turns_by_the_lecture_s_own_rule() -> None:
    turn = diagnosis.turning_point([1.90, 1.10, 1.60, 1.40, 1.30, 1.32, 1.45, 1.52, 1.60])
    assert (turn.turned, turn.epoch) == (True, 5)
    assert check("07.2", turn.epoch).passed


def test_the_rule_agrees_with_the_oracle() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        validation, train = rng.uniform(1, 1.1, (2, 8)).tolist()
        validation[-3:] = [loss + rng.choice([0, 0.1]) for loss in validation[-3:]]
        assert checks_07._overfits(validation, train) == lecture_07.by_sets(validation, train)
