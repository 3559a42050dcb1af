"""tinylab: a course on why a sensible convolutional network failed on Tiny ImageNet, and what makes it work.

The rooms, from the ground up; each imports only from rooms below it:

    errors, device, tables      what every room may use
    data/, layers, notation     images in batches; the six layers; the report's own notation
    models, optimizers          the three networks; update rules and schedules
    training, checkpoints       the recipe, the loop, the history; how a run resumes
    evaluation                  accuracy done properly
    figures, lab, exercises     pictures, sliders, checks of the students' answers
    course, cli                 run the notebooks headlessly; the `tinylab` command
"""

import importlib
from types import ModuleType

__version__ = "0.1.0"

_ROOMS = {
    "data", "layers", "notation", "models", "optimizers", "training", "checkpoints",
    "evaluation", "figures", "lab", "exercises", "course", "cli", "device", "errors", "tables",
}  # fmt: skip


def __getattr__(name: str) -> ModuleType:
    """Open a room on first use, so that `import tinylab` alone stays instant (torch takes a second)."""
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
