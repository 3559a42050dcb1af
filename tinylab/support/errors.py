"""Errors that speak to a student: what was received, what is allowed, what to do next.

Everything that a user can get wrong raises a `TinylabError` whose message is complete on one line; the
command line prints that line and nothing else. Any other exception is a defect of ours.
"""

import difflib
import math
from collections.abc import Iterable


class TinylabError(Exception):
    """Base of all errors that a user, not a developer, has to act on."""


class InvalidInputError(TinylabError, ValueError):
    """An argument outside what is allowed: an unknown name, a dropout of 1.5, a bad line of notation."""


class DataError(TinylabError):
    """Images that are missing, damaged or not in the expected layout; a cache or disk that cannot be used."""


class TrainingError(TinylabError):
    """A run that cannot go on: a loss that is NaN or infinite, a checkpoint that does not fit."""


class FileError(TinylabError):
    """A file that cannot be read or written: no room, no permission, no such place."""


class NotebookError(TinylabError):
    """A lecture that failed when it was executed, or cannot be executed as asked."""


def nearest(received: str, allowed: Iterable[str]) -> str:
    """A sentence for an unknown name: `, did you mean 'adam'? Allowed: adam, adamw, sgd`.

    Starts with a comma so that it follows directly on what was received.
    """
    names = [str(name) for name in allowed]
    close = difflib.get_close_matches(str(received).lower(), [name.lower() for name in names], n=1, cutoff=0.5)
    hint = next((name for name in names if close and name.lower() == close[0]), None)
    return (f", did you mean {hint!r}?" if hint else ".") + f" Allowed: {', '.join(names)}"


def check_int(name: str, value: object, least: int, most: int | None = None) -> None:
    """Raises InvalidInputError unless `value` is an int from `least` to `most`. True is none, nor is numpy's int64,
    which could not be saved as JSON."""
    number = isinstance(value, int) and not isinstance(value, bool)
    if not number or value < least or (most is not None and value > most):  # type: ignore[operator]
        end = "" if most is None else f" to {most}"
        raise InvalidInputError(f"{name} {value!r} is not possible. Allowed: a whole number from {least}{end}")


def check_range(name: str, value: object, low: float, high: float, *, low_open: bool = False) -> None:
    """Raises InvalidInputError unless low ≤ value < high; `low_open`: unless low < value < high."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value < high or (low_open and value == low):  # type: ignore[operator]
        start = f"above {low:g}" if low_open else f"{low:g} or more"
        end = "finite" if high == math.inf else f"below {high:g}"
        raise InvalidInputError(f"{name} {value!r} is not possible. Allowed: a number {start}, and {end}")
