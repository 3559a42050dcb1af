"""The checks of lecture 06: right answers pass, each typical mistake gets the hint meant for it."""

import re

import pytest
import torch

from tinylab.exercises import check

PROSE = "The quick brown fox jumps over the lazy dog and then it goes home to sleep until the next morning."


def step(sign: float = -1.0, share: float = 1.0, use: str = "new"):
    """momentum_step with a slip: the sign, the gradient's share, which velocity moves the weight."""

    def momentum_step(w, g, v, learning_rate, momentum):
        new = momentum * v + share * g
        return w + sign * learning_rate * {"new": new, "old": v, "none": g}[use], new

    return momentum_step


RIGHT = [
    ("06.1", 0.001),
    ("06.2", 10),
    ("06.3", step()),
    ("06.3", lambda w, g, v, rate, mu: [w - rate * (mu * v + g), mu * v + g]),
    ("06.4", " Lower "),
    ("06.5", PROSE + " The same rate means different steps, so each gets its own."),
]

WRONG = [
    ("06.1", 0.05, "SGD's step"),
    ("06.1", 0.0001, "too small at first"),
    ("06.1", 50, "m̂ is the first gradient"),
    ("06.2", 9, "newest gradient count"),
    ("06.2", 1, "before this one"),
    ("06.2", 2, "newest two"),
    ("06.2", 90, "Solve for v"),
    ("06.3", step(sign=1.0), "slip of the report"),
    ("06.3", step(share=0.2), "Adam's running mean"),
    ("06.3", step(share=-1.0), "The velocity first"),
    ("06.3", step(use="none"), "not used"),
    ("06.3", step(use="old"), "not the old one"),
    ("06.3", step(sign=-2.0), "one learning rate times"),
    ("06.3", lambda w, g, v, rate, mu: w, "two things"),
    ("06.3", lambda w, g, v, rate, mu: (torch.zeros(1), v), "keep their shape"),
    ("06.4", "stop", "not tried"),
    ("06.4", "higher", "which end"),
    ("06.4", "left", "Answer"),
    ("06.5", "Because.", "at least 15"),
    ("06.5", PROSE, "Which knob"),
    ("06.5", "A learning rate is a number with " + "very " * 15 + "little in it.", "be fair"),
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


@pytest.mark.parametrize("identifier", [f"06.{i}" for i in range(1, 6)])
@pytest.mark.parametrize("odd", [None, "", [], float("nan"), object()])
def test_odd_answers_get_a_hint(identifier: str, odd: object) -> None:
    verdict = check(identifier, odd)
    assert not verdict.passed
    assert verdict.hint
