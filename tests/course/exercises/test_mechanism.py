"""The checks of the exercises: right answers pass, typical wrong ones get their hint, odd ones do no harm."""

import math
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tinylab import models
from tinylab.course import exercises
from tinylab.course.exercises import check, exercise
from tinylab.support.errors import InvalidInputError


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exercises registered in a test are forgotten after it."""
    exercises.exercises()
    monkeypatch.setattr(exercises, "_CHECKS", dict(exercises._CHECKS))


RIGHT = [
    ("02.1", 2432),
    ("02.1", torch.tensor(2432)),
    ("02.2", [[0, 0, 0], [1, 0, 0], [0, 0, 0]]),
    ("02.2", np.array([[0.0, 0, 0], [1, 0, 0], [0, 0, 0]])),
    ("02.3", lambda x: F.avg_pool2d(x, 2)),
    ("02.3", lambda x: x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).mean((3, 5))),
    ("02.4", 32 * 32 * 32),
    ("02.5", re.sub(r"(conv3-\d+)", r"\1 - batch norm", models.ARCHITECTURES["model_1"])),
    ("02.5", models.ARCHITECTURES["model_1"].replace("fc(512) - relu", "fc(512) - relu - batch norm")),
]

WRONG = [
    ("02.1", 2400, "Is a weight all"),
    ("02.1", 832, "more than one channel"),
    ("02.1", 3, "Count one filter"),
    ("02.1", "many", "should be a number; a str came"),
    ("02.1", float("inf"), "finite"),
    ("02.1", None, "return something"),
    ("02.1", ..., "three dots"),
    ("02.2", [[0, 0, 0], [0, 0, 1], [0, 0, 0]], "but left"),
    ("02.2", [[0, 0, 0], [0, 0, 0], [0, 1, 0]], "but up"),
    ("02.2", [[0, 1, 0], [0, 0, 0], [0, 0, 0]], "but down"),
    ("02.2", [[0, 0, 0], [0, 1, 0], [0, 0, 0]], "where it is"),
    ("02.2", [[0, 0, 0], [2, 0, 0], [0, 0, 0]], "brightness"),
    ("02.2", [[1 / 9] * 3] * 3, "not 0"),
    ("02.2", [0, 1, 0], "three rows"),
    ("02.2", "right", "three rows"),
    ("02.3", 5, "should be a function"),
    ("02.3", lambda x: F.max_pool2d(x, 2), "max pooling"),
    ("02.3", lambda x: 4 * F.avg_pool2d(x, 2), "How many numbers"),
    ("02.3", lambda x: x, r"shape \(2, 3, 3, 4\)"),
    ("02.3", lambda x: F.avg_pool2d(x, 2).detach(), "no gradient"),
    ("02.3", lambda x: F.avg_pool2d(x, 2) + 1, "values are not"),
    ("02.3", lambda x: None, "NoneType"),
    ("02.3", lambda x: 1 / 0, "ZeroDivisionError: division by zero"),
    ("02.4", 64 * 64 * 32, "Which of the four"),
    ("02.4", 12, "How many windows"),
    ("02.5", models.ARCHITECTURES["model_1"], "no `batch norm`"),
    ("02.5", models.ARCHITECTURES["model_2"].replace("relu", "batch norm - relu"), "one change"),
    ("02.5", models.ARCHITECTURES["model_1"].replace("relu", "batch norm - batch norm - relu"), "side by side"),
    ("02.5", models.ARCHITECTURES["model_1"].replace("relu", "batchnorm"), "did you mean 'batch norm'"),
    ("02.5", models.build("softmax"), "should be text"),
]


@pytest.mark.parametrize(("identifier", "answer"), RIGHT)
def test_right_answers_pass(identifier: str, answer: object) -> None:
    verdict = check(identifier, answer)
    assert verdict.passed, verdict
    assert verdict
    assert verdict.hint == ""
    assert f"{identifier}: right" in str(verdict)


@pytest.mark.parametrize(("identifier", "answer", "hint"), WRONG)
def test_wrong_answers_get_their_hint(identifier: str, answer: object, hint: str) -> None:
    verdict = check(identifier, answer)
    assert not verdict
    assert re.search(hint, verdict.hint), verdict.hint
    assert "\n" not in str(verdict)


def test_hints_do_not_give_the_number_away() -> None:
    for identifier, secret in (("02.1", "2432"), ("02.4", "32768"), ("03.2", "0.70")):
        for answer in [*range(0, 300), 832, 2400, 9248, 0.5, math.sqrt(2)]:
            assert secret not in check(identifier, answer).hint


def test_the_pool_s_gradients_are_what_torch_says() -> None:
    """Exercise 02.4 measured: the numbers of 32 maps of 64×64 whose gradient behind a max pool is not 0."""
    x = torch.rand(1, 32, 64, 64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    F.max_pool2d(x, 2).sum().backward()
    assert check("02.4", int((x.grad != 0).sum())).passed


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("handler", [signal.default_int_handler, signal.SIG_IGN], ids=["usual", "in the background"])
def test_an_answer_that_never_ends_is_interrupted(monkeypatch: pytest.MonkeyPatch, handler: object) -> None:
    monkeypatch.setattr(exercises, "LIMIT", 0.2)
    before = signal.signal(signal.SIGINT, handler)

    def endless(losses: list[float]) -> int:
        while True:
            pass

    try:
        verdict = check("03.4", endless)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert "still running after 0.2 s" in verdict.hint


def test_an_interrupted_check_shows_none_of_its_cases() -> None:
    def stopped(losses: list[float]) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as raised:
        check("03.4", stopped)
    frames = [frame.name for frame in raised.traceback]
    assert frames[-1] == "check"
    assert raised.value.__suppress_context__


@pytest.mark.parametrize("doc", ["", '"""What it does."""\n    '])
def test_an_untouched_function_is_no_answer(doc: str) -> None:
    names: dict[str, object] = {}
    exec(f"def turning_point(losses):\n    {doc}...", names)
    assert "in place of the three dots" in check("03.4", names["turning_point"]).hint
    assert "three dots" not in check("03.4", lambda losses: 3).hint


def test_a_refused_line_is_told_in_the_notation_s_own_words() -> None:
    hint = check("03.3", "conv3-16 - relo - softmax").hint
    assert "did you mean 'relu'" in hint
    assert "Error" not in hint


def test_words_are_told_what_was_found_in_them_and_never_called_right() -> None:
    words = "An image that was wrong stays wrong, but its loss grows while the network becomes more confident about it."
    verdict = check("03.5", words)
    assert verdict
    assert "found in your words: confidence, wrong answers" in str(verdict)
    assert "right" not in str(verdict)
    half = check("03.5", words.replace("wrong", "red"))
    assert not half
    assert str(half) == "Exercise 03.5: not yet. Found in your words: confidence. Which images make the loss grow?"


KERNEL = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
def run(code):
    return shell.run_cell(code, store_history=True).result
run("from tinylab.course.exercises import check")
for answer in ("answer_1 = 12288", "answer_1 = 12288 +", "answer_1 = 12288 / 0", "answer_1 = 12288"):
    run(answer)
    print("verdict:", run('check("01.1", answer_1)'))
"""


def test_an_answer_whose_cell_failed_is_not_judged_by_the_one_before() -> None:
    done = subprocess.run([sys.executable, "-c", KERNEL], capture_output=True, text=True, check=True)
    first, syntax, error, again = [line for line in done.stdout.splitlines() if line.startswith("verdict: ")]
    assert "right" in first
    assert "not yet. The cell that defines answer_1 ended in a SyntaxError" in syntax
    assert "ended in a ZeroDivisionError" in error
    assert "right" in again


def test_there_is_a_check_for_each_exercise_in_order() -> None:
    names = exercises.exercises()
    assert [name for name in names if name.startswith("02")] == [f"02.{i}" for i in range(1, 6)]
    assert list(names) == sorted(names, key=lambda name: [int(part) for part in name.split(".")])


def test_unknown_exercise() -> None:
    with pytest.raises(InvalidInputError, match=r"'02.55' is unknown, did you mean '02.5'"):
        check("02.55", 1)


@pytest.mark.usefixtures("registry")
def test_registering() -> None:
    @exercise("99.10")
    def _(answer: object) -> str | None:
        return None if answer == 1 else "<b>no</b>"

    assert check("99.10", 1).passed
    assert exercises.exercises()[-1] == "99.10"
    assert "&lt;b&gt;" in check("99.10", 2)._repr_html_()  # a hint is text, whatever it holds
    with pytest.raises(ValueError, match="twice"):
        exercise("02.1")(lambda answer: None)
    with pytest.raises(ValueError, match=r"02\.1"):
        exercise("first")
