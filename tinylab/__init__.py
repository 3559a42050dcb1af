"""tinylab: a course on why a sensible convolutional network failed on Tiny ImageNet, and what makes it work.

The rooms, from the ground up; each imports only from rooms below it:

    errors, device, memory, tables    what every room may use; threads: who may use which core
    data/                             images: sources, the decoded cache, splits, batches on the device
    layers, modules, notation         the six layers from their definitions, and three made quick; the report's notation
    models/, optimizers/              the three networks and a modern one; update rules, schedules, the range test
    recipes, history, checkpoints     how to train, what was measured, how a run resumes
    training/                         the loop, scoring, averaged weights, mixed images, a teacher, several processes
    records/                          what full-size trainings measured, stored with the package
    evaluation/                       accuracy done properly, predictions keyed by file name, the ways to score wrongly
    diagnosis/                        checks before, during and after training: evidence, likely cause, remedy
    filters/                          what a network has learned to see
    transfer                          what was learned on some classes, carried over to others
    figures/                          every picture, with its text twin
    lab/, exercises/                  sliders that steer a training; checks of the students' answers
    sweeps/                           many trainings by one command, resumable, with a record of each
    course, headless/, cli/           profiles, running the notebooks headlessly, the `tinylab` command
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_ROOMS = {
    "errors", "device", "memory", "threads", "tables", "data", "layers", "modules", "notation", "models", "optimizers",
    "recipes", "history", "checkpoints", "training", "records", "evaluation", "diagnosis", "filters", "transfer",
    "figures", "lab", "exercises", "sweeps", "course", "headless", "cli",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Open a room on first use, so that `import tinylab` alone stays instant (torch takes a second)."""
    if name == "LiveLab":  # the one thing that a lecturer types into an empty notebook
        return importlib.import_module(f"{__name__}.lab").LiveLab
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
