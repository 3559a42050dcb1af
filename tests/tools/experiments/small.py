"""Plans that take a moment, and waiting for what another process does."""

import time
from collections.abc import Callable
from pathlib import Path

from tinylab.tools import experiments
from tinylab.tools.experiments.worker import Job

LINE = "conv3-2 - relu - max pool - max pool - max pool - fc(4) - relu - dropout - softmax"
PATIENCE = 300  # seconds: far more than a loaded machine needs


def surroundings(cache: Path) -> dict[str, str]:
    return {
        "TINYLAB_CACHE": str(cache),
        "TINYLAB_DEVICE": "cpu",
        "OMP_NUM_THREADS": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DISABLE_IMPORT_WARNING": "1",
    }


def text(*, seeds: str = "[0]", epochs: int = 3, top: str = "", axes: str = "l2 = [0.0, 0.01]") -> str:
    return f"""
question = "Does it work?"
data = "small"
networks = ["{LINE}"]
seeds = {seeds}
{top}
[base]
batch = 6
epochs = {epochs}
[axes]
{axes}
"""


def plan(name: str = "a-plan", **changes: object) -> experiments.Plan:
    return experiments.parse(text(**changes), name)  # type: ignore[arg-type]


def jobs(chosen: experiments.Plan, out: Path, deadline: float | None = None) -> list[Job]:
    return [Job(row, out, deadline, "cpu") for row in chosen.rows]


def wait_for(what: Callable[[], object], name: str) -> None:
    """Returns once `what()` is true; fails after five minutes."""
    until = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < until, f"{name} did not happen in {PATIENCE} s"
        time.sleep(0.02)
