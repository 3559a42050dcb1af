"""Checks of the students' answers: a verdict and a hint, never the answer.

In a lecture: `check("02.1", answer)`. Each lecture's checks stand in a file of their own (`lecture_02.py`):

    @exercise("02.1")
    def parameters(answer: object) -> str | None:
        if number(answer) == 2400:
            return "Each filter also has a bias."
        return None if number(answer) == 2432 else "How many numbers does one filter multiply?"

A check returns None for a right answer and otherwise a hint: what is right so far, and where to look next. It may
run the answer, if that is a function. Whatever goes wrong while it does becomes a hint, too.
"""

import html
import importlib
import math
import pkgutil
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tinylab.support.errors import InvalidInputError, nearest

Check = Callable[[Any], str | None]

_CHECKS: dict[str, Check] = {}
_IDENTIFIER = re.compile(r"\d\d\.\d+")


class Unreadable(Exception):
    """Raised inside a check when the answer is not of the kind asked for; its text is the hint."""


@dataclass(frozen=True)
class Verdict:
    """What `check` says to an answer; true in an `if` when the answer is right."""

    exercise: str  # "02.1"
    passed: bool
    hint: str  # for a right answer: empty

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        return f"Exercise {self.exercise}: " + ("right. ✓" if self.passed else f"not yet. {self.hint}")

    __repr__ = __str__

    def _repr_html_(self) -> str:
        # Colours are set for text and background both, so that a dark theme cannot make it unreadable
        ink, paper, edge = ("#004D36", "#E6F5EF", "#009E73") if self.passed else ("#5C2800", "#FDF0E6", "#D55E00")
        style = f"color:{ink};background:{paper};border-left:5px solid {edge};padding:0.5em 0.8em;margin:0"
        return f'<p role="status" style="{style}">{html.escape(str(self))}</p>'


def exercise(identifier: str) -> Callable[[Check], Check]:
    """Register the function below as the check of exercise `identifier`, lecture and number: "02.1"."""
    if not _IDENTIFIER.fullmatch(identifier):
        raise ValueError(f"an exercise is called like '02.1', not {identifier!r}")

    def register(function: Check) -> Check:
        if identifier in _CHECKS and _CHECKS[identifier].__module__ != function.__module__:
            raise ValueError(f"exercise {identifier} is registered twice")
        _CHECKS[identifier] = function
        return function

    return register


def check(identifier: str, answer: Any) -> Verdict:
    """The verdict on an answer to exercise `identifier`, such as "02.1". `...` counts as not answered.

    Raises InvalidInputError for an exercise that does not exist; an odd answer gets a hint instead.
    """
    known = exercises()
    if identifier not in known:
        raise InvalidInputError(f"exercise {identifier!r} is unknown{nearest(str(identifier), known)}")
    if answer is ...:
        return Verdict(identifier, False, "Put your answer in place of the three dots.")
    try:
        hint = _CHECKS[identifier](answer)
    except Unreadable as reason:
        hint = str(reason)
    except Exception as error:  # the answer may be any code at all: its failure is information for its author
        hint = f"Trying your answer raised {type(error).__name__}: {' '.join(str(error).split()) or '(no message)'}"
    return Verdict(identifier, hint is None, hint or "")


def exercises() -> tuple[str, ...]:
    """All exercises there are, in order: ("01.1", "01.2", …)."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return tuple(sorted(_CHECKS, key=lambda name: [int(part) for part in name.split(".")]))


def number(answer: Any) -> float:
    """The answer as a number; tensors and arrays of one element count. Unreadable if it is none."""
    try:
        value = float(answer)
    except (TypeError, ValueError, RuntimeError):
        raise Unreadable(f"The answer should be a number; {_kind(answer)} came.") from None
    if not math.isfinite(value):
        raise Unreadable(f"The answer should be a finite number; {value} came.")
    return value


def close(answer: Any, expected: float, relative: float = 1e-3) -> bool:
    """Whether the answer is a number within `relative` (a share of `expected`) of `expected`."""
    return math.isclose(number(answer), expected, rel_tol=relative, abs_tol=1e-12)


def counted(answer: Any, right: int, hints: Mapping[int, str], walk: str) -> str | None:
    """The hint for an answer that is a whole number: of a known slip, else the way to walk. None if it is `right`."""
    value = number(answer)
    return None if value == right else hints.get(int(value), walk)


def function(answer: Any) -> Callable[..., Any]:
    """The answer, if it can be called. Unreadable otherwise."""
    if not callable(answer):
        raise Unreadable(f"The answer should be a function, given by its name without brackets; {_kind(answer)} came.")
    return answer


def text(answer: Any) -> str:
    """The answer, if it is text, without space around it. Unreadable otherwise."""
    if not isinstance(answer, str):
        raise Unreadable(f"The answer should be text in quotation marks; {_kind(answer)} came.")
    return answer.strip()


def explanation(answer: Any, ideas: Mapping[tuple[str, ...], str], least: int = 15) -> str | None:
    """The hint for an answer in words: too short, or the question for the first idea that it does not touch.

    ideas: {beginnings of words that show the idea: question that leads to it}; least: words. No program can grade
    prose; this one only notices what is not there at all. Unreadable if the answer is no text.
    """
    words = text(answer).lower()
    if len(words.split()) < least:
        return f"Say it in a few sentences, at least {least} words; {len(words.split())} came."
    for beginnings, question in ideas.items():
        if not any(beginning in words for beginning in beginnings):
            return question
    return None


def _kind(answer: Any) -> str:
    return "None (does the function return something?)" if answer is None else f"a {type(answer).__name__}"
