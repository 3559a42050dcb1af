"""Errors that speak to a student: what was received, what is allowed, what to do next.

Everything that a user can get wrong raises a `TinylabError` whose message is complete on one line; the
command line prints that line and nothing else. Any other exception is a defect of ours.
"""

import difflib
from collections.abc import Iterable


class TinylabError(Exception):
    """Base of all errors that a user, not a developer, has to act on."""


class InvalidInputError(TinylabError, ValueError):
    """An argument outside what is allowed: an unknown name, a dropout of 1.5, a bad line of notation."""


class DataError(TinylabError):
    """Images that are missing, damaged or not in the expected layout; a cache or disk that cannot be used."""


class TrainingError(TinylabError):
    """A run that cannot go on: a loss that is NaN or infinite, a checkpoint that does not fit."""


class NotebookError(TinylabError):
    """A lecture that failed when it was executed, or cannot be executed as asked."""


def nearest(received: str, allowed: Iterable[str]) -> str:
    """A sentence for an unknown name: `, did you mean 'adam'? Allowed: adam, adamw, sgd`.

    Starts with a comma so that it follows directly on what was received.
    """
    names = [str(name) for name in allowed]
    close = difflib.get_close_matches(
        str(received).lower(), [name.lower() for name in names], n=1, cutoff=0.5
    )
    hint = next((name for name in names if close and name.lower() == close[0]), None)
    return (f", did you mean {hint!r}?" if hint else ".") + f" Allowed: {', '.join(names)}"
