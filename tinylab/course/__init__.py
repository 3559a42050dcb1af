"""The course around the package: what a lecture asks for, its exercises, and the full-size trainings that it shows.

profiles    sizes of a lecture under "smoke", "lecture" and "full"; key figures for the index page
case        the board of suspects after each lecture, every lecture's verdict, the tribunal; `evidence` computes them
comparisons two accuracies, their difference and its error: live, and of recorded trainings that differ in one factor
foresight   a prediction before the run, its reveal after
lectures    the notebooks, by number or name, and the room behind each
exercises/  checks of the students' answers
results/    records of full-size trainings, stored with the package
"""

import importlib
from typing import TYPE_CHECKING, Any

from tinylab.course.foresight import export_predictions, foreseen, predict, predictions, reveal
from tinylab.course.lectures import ROOMS, find, folder
from tinylab.course.profiles import (
    CLASSES_VARIABLE,
    KEY_FIGURE_MIME,
    PROFILES,
    SETTINGS_MIME,
    TIMEOUTS,
    VARIABLE,
    key_figure,
    settings,
)

if TYPE_CHECKING:
    from tinylab.course.case import TITLES, board, tribunal, verdict
    from tinylab.course.comparisons import difference

__all__ = [
    "CLASSES_VARIABLE",
    "KEY_FIGURE_MIME",
    "PROFILES",
    "ROOMS",
    "SETTINGS_MIME",
    "TIMEOUTS",
    "TITLES",
    "VARIABLE",
    "board",
    "difference",
    "export_predictions",
    "find",
    "folder",
    "foreseen",
    "key_figure",
    "predict",
    "predictions",
    "reveal",
    "settings",
    "tribunal",
    "verdict",
]

_LATER = {"TITLES": "case", "board": "case", "tribunal": "case", "verdict": "case", "difference": "comparisons"}


def __getattr__(name: str) -> Any:
    """The case, when it is asked for: it reads the records, which needs torch, and the command line does not."""
    if name in _LATER:
        return getattr(importlib.import_module(f"tinylab.course.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
