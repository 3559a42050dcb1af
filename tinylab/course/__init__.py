"""The course around the package: what a lecture asks for, its exercises, and the full-size trainings that it shows.

profiles    sizes of a lecture under "smoke", "lecture" and "full"; key figures for the index page
lectures    the notebooks, by number or name, and the room behind each
exercises/  checks of the students' answers
results/    records of full-size trainings, stored with the package
"""

from tinylab.course.lectures import ROOMS, find, folder
from tinylab.course.profiles import (
    CLASSES_VARIABLE,
    DEFAULT_PROFILE,
    KEY_FIGURE_MIME,
    PROFILES,
    SETTINGS_MIME,
    TIMEOUTS,
    VARIABLE,
    Settings,
    key_figure,
    settings,
)

__all__ = [
    "CLASSES_VARIABLE",
    "DEFAULT_PROFILE",
    "KEY_FIGURE_MIME",
    "PROFILES",
    "ROOMS",
    "SETTINGS_MIME",
    "TIMEOUTS",
    "VARIABLE",
    "Settings",
    "find",
    "folder",
    "key_figure",
    "settings",
]
