"""The checks of the exercises: right answers pass, typical wrong ones get their hint, odd ones do no harm."""

import math
import re

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
    ("02.4", 16),
    ("02.5", 1 / math.sqrt(2)),
    ("02.5", 0.71),
    ("02.6", re.sub(r"(conv3-\d+)", r"\1 - batch norm", models.LINES["model_1"])),
    ("02.6", models.LINES["model_1"].replace("fc(512) - relu", "fc(512) - relu - batch norm")),
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
    ("02.4", 14, "One more layer"),
    ("02.4", 12, "Walk"),
    ("02.5", 0.5, "standard deviation"),
    ("02.5", 1, "with relu"),
    ("02.5", math.sqrt(2), "wrong direction"),
    ("02.5", 3, "few scales"),
    ("02.6", models.LINES["model_1"], "no `batch norm`"),
    ("02.6", models.LINES["model_2"].replace("relu", "batch norm - relu"), "one change"),
    ("02.6", models.LINES["model_1"].replace("relu", "batch norm - batch norm - relu"), "side by side"),
    ("02.6", models.LINES["model_1"].replace("relu", "batchnorm"), "did you mean 'batch norm'"),
    ("02.6", models.build("softmax"), "should be text"),
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
    for identifier, secret in (("02.1", "2432"), ("02.4", "16"), ("02.5", "0.70")):
        for answer in [*range(0, 300), 832, 2400, 9248, 0.5, math.sqrt(2)]:
            assert secret not in check(identifier, answer).hint


def test_the_receptive_field_is_what_the_network_says() -> None:
    """Exercise 02.4 measured: the input pixels that one number after the second pool of Model 1 depends on."""
    model = models.build("model_1", 2).eval()
    x = torch.rand(1, 3, 64, 64, requires_grad=True)
    model[: [name for name, _ in model.named_children()].index("max pool_2") + 1](x)[0, :, 8, 8].sum().backward()
    touched = x.grad[0].abs().sum(0) > 0
    assert int(touched.any(0).sum()) == int(touched.any(1).sum()) == 16


def test_there_is_a_check_for_each_exercise_in_order() -> None:
    names = exercises.exercises()
    assert [name for name in names if name.startswith("02")] == [f"02.{i}" for i in range(1, 7)]
    assert list(names) == sorted(names, key=lambda name: [int(part) for part in name.split(".")])


def test_unknown_exercise() -> None:
    with pytest.raises(InvalidInputError, match=r"'02.66' is unknown, did you mean '02.6'"):
        check("02.66", 1)


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
