"""tinylab: a course on why a sensible convolutional network failed on Tiny ImageNet, and what makes it work.

The rooms, from the ground up; each imports only from rooms below it. `lint-imports` holds them to that.

    support/       errors, devices, tables: what every room may use
    data/          01: images, their decoded cache, splits, batches on the device
    layers         02: the six layers and the loss, from their definitions
    models/        03-05: the report's notation, its three networks, a modern one
    optimizers/    06: update rules, schedules, the learning-rate range test
    training/      03-05, 10: the loop, its recipe, history and checkpoints; transfer
    diagnosis/     07: checks before, during and after training: evidence, likely cause, remedy
    filters/       08: what a network has learned to see
    evaluation/    09: accuracy done properly, predictions keyed by file name, the ways to score wrongly
    figures/       every picture, with its text twin
    lab/           sliders that steer a running training
    course/        profiles, exercises, and the records of full-size trainings that the lectures show
    tools/         machinery, imported by no lecture: the `tinylab` command, running notebooks, many trainings
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_ROOMS = {
    "support", "data", "layers", "models", "optimizers", "training", "diagnosis", "filters", "evaluation", "figures",
    "lab", "course", "tools",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Open a room on first use, so that `import tinylab` alone stays instant (torch takes a second)."""
    if name == "LiveLab":  # the one thing that a lecturer types into an empty notebook
        return importlib.import_module(f"{__name__}.lab").LiveLab
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
