"""Checks of the students' answers: a verdict and a hint, never the answer.

In a lecture: `check("02.1", answer)`. Each lecture's checks stand in a file of their own (`lecture_02.py`):

    @exercise("02.1")
    def parameters(answer: object) -> str | None:
        if number(answer) == 2400:
            return "Each filter also has a bias."
        return None if number(answer) == 2432 else "How many numbers does one filter multiply?"

A check returns None for a right answer and otherwise a hint: what is right so far, and where to look next. It may
run the answer, if that is a function, on inputs that it draws from its second argument: `check` draws the same ones
each time, a grader others. Whatever goes wrong while the answer runs becomes a hint, too, and an answer that never ends
is interrupted. An answer in words is not judged: `Found` holds the ideas that were found in it. Checks that are no more
than a table, of words, stand in `grading.toml` beside the points of every exercise.
"""

import html
import importlib
import inspect
import math
import pkgutil
import re
import tomllib
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from tinylab.course.exercises import kernel
from tinylab.support.errors import InvalidInputError, TinylabError, nearest

LIMIT = 10.0  # seconds that one check may take: an answer that needs longer is taken for one that never ends


@dataclass(frozen=True)
class Found:
    """The ideas that a check found in an answer in words."""

    ideas: tuple[str, ...]
    question: str = ""  # that leads to the first idea that is missing; empty if none is


Check = Callable[..., str | Found | None]

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
    ideas: tuple[str, ...] = ()  # found in an answer in words, which no program can call right

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        found = f"found in your words: {', '.join(self.ideas)}. " if self.ideas else ""
        if not self.passed:
            return f"Exercise {self.exercise}: not yet. {found[:1].upper()}{found[1:]}{self.hint}"
        if found:
            return f"Exercise {self.exercise}: {found}Whether they make an argument, only a reader can tell."
        return f"Exercise {self.exercise}: right. ✓"

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


def check(identifier: str, answer: Any, *, seed: int = 0) -> Verdict:
    """The verdict on an answer to exercise `identifier`, such as "02.1". `...` counts as not answered.

    seed: of the inputs on which a function is tried; a grader takes one that no student knows.
    Raises InvalidInputError for an exercise that does not exist; an odd answer gets a hint instead.
    """
    known = exercises()
    if identifier not in known:
        raise InvalidInputError(f"exercise {identifier!r} is unknown{nearest(str(identifier), known)}")
    if untouched(answer):
        return Verdict(identifier, False, "Put your answer in place of the three dots.")
    old = kernel.stale(identifier)
    if old is not None:
        return Verdict(identifier, False, old)
    tried = _CHECKS[identifier]
    drawn = [np.random.default_rng(seed)] if len(inspect.signature(tried).parameters) > 1 else []
    try:
        said = kernel.within(LIMIT, tried, answer, *drawn)
    except Unreadable as reason:
        said = str(reason)
    except kernel.Expired:
        said = f"Your answer was still running after {LIMIT:g} s. Is there a loop that never ends?"
    except KeyboardInterrupt:  # the traceback would show the check, and with it what it asks for
        raise KeyboardInterrupt("the check was interrupted") from None
    except TinylabError as error:  # says itself what was wrong with what it got
        said = " ".join(str(error).split())
    except (Exception, SystemExit) as error:  # the answer may be any code: its failure is information for its author
        said = f"Trying your answer raised {type(error).__name__}: {' '.join(str(error).split()) or '(no message)'}"
    if isinstance(said, Found):
        return Verdict(identifier, not said.question, said.question, said.ideas)
    return Verdict(identifier, said is None, said or "")


def exercises() -> tuple[str, ...]:
    """All exercises there are, in order: ("01.1", "01.2", …)."""
    for module in pkgutil.iter_modules(__path__):
        if module.name.startswith("lecture_"):
            importlib.import_module(f"{__name__}.{module.name}")
    return tuple(sorted(_CHECKS, key=lambda name: [int(part) for part in name.split(".")]))


@cache
def grading() -> dict[str, dict[str, Any]]:
    """The tables of `grading.toml` by name: points, words, ideas, choice; each by exercise."""
    return tomllib.loads((resources.files(__name__) / "grading.toml").read_text(encoding="utf-8"))


def untouched(answer: Any) -> bool:
    """Whether the answer is still what the students' edition holds: three dots, or a function without a body."""
    if not isinstance(answer, types.FunctionType) or answer.__name__ == "<lambda>":
        return answer is ...
    code, empty = answer.__code__, (_empty if answer.__doc__ is None else _documented).__code__
    return code.co_code == empty.co_code and code.co_consts[-1] is None


def _empty() -> None: ...


def _documented() -> None:
    """A docstring and nothing else."""


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


def counted(
    answer: Any, right: float, hints: Mapping[int, str] | Mapping[float, str], walk: str, relative: float = 1e-9
) -> str | None:
    """The hint for an answer that is a number: of a known slip, else the way to walk. None if it is `right`.

    relative: how near the answer has to be to either, as of `close`.
    """
    if close(answer, right, relative):
        return None
    return next((hint for slip, hint in hints.items() if close(answer, slip, relative)), walk)


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


def explanation(answer: Any, ideas: Mapping[str, tuple[Sequence[str], str]], least: int = 15) -> str | Found:
    """The ideas that an answer in words touches, and the question for the first one that it does not.

    ideas: {idea: (beginnings of words that show it, question that leads to it)}; least: words, of which three quarters
    are different ones. No program can grade prose; this one only notices what is not there at all. Unreadable if the
    answer is no text.
    """
    words = re.findall(r"[\w'’-]+", text(answer).lower())
    if len(words) < least:
        return f"Say it in a few sentences, at least {least} words; {len(words)} came."
    if len(set(words)) < 0.75 * least:
        return f"Say it in a few sentences; {len(words)} words came, but only {len(set(words))} different ones."
    touched = {
        idea: any(re.search(rf"(?<!\w){re.escape(beginning)}", answer.lower()) for beginning in beginnings)
        for idea, (beginnings, _) in ideas.items()
    }
    missing = [ideas[idea][1] for idea, there in touched.items() if not there]
    return Found(tuple(idea for idea, there in touched.items() if there), missing[0] if missing else "")


def choice(answer: Any, right: str, otherwise: str, **hints: str) -> str | None:
    """The hint for an answer of one word: of a wrong one, else `otherwise`. None if it is `right`."""
    word = text(answer).lower()
    return None if word == right else hints.get(word, otherwise)


def _kind(answer: Any) -> str:
    return "None (does the function return something?)" if answer is None else f"a {type(answer).__name__}"


def _tabled(identifier: str) -> None:
    """Register the check of an exercise whose tables are all that it is."""
    if ideas := grading()["ideas"].get(identifier):
        exercise(identifier)(lambda answer: explanation(answer, ideas))
    if words := grading()["choice"].get(identifier):
        exercise(identifier)(lambda answer: choice(answer, **words))


for _identifier in grading()["points"]:
    _tabled(_identifier)
kernel.watch()
