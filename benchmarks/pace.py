"""A row runs in a process of its own and is stopped between windows of steps, so that rows can take turns.

A row's function trains without end and calls `pace.tick(loss)` after every step. `Windows.tick` times a window, tells
the parent, and blocks until the parent asks for the next; `Counted.tick` only notes the losses of a few steps. Both
raise `Enough` when nothing more is wanted, through whatever library called them.

What a library prepares while it is stopped (the batches that loading processes have fetched ahead) is used up in the
untimed lead of the next window.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

import torch

from benchmarks.machine import clock, peak_memory
from tinylab.support.device import pick


def precision(device: str) -> str:
    """What tinylab computes in on this machine, and whoever tunes another library would: the faster one."""
    return "float32" if pick(device).autocast_dtype is None else "bfloat16"


class Enough(Exception):
    """Raised through a training loop that has taken all its steps."""


class Pace(Protocol):
    def tick(self, loss: Any) -> None:
        """One step is done; `loss` is a number, or a tensor that nobody has waited for."""


@dataclass(frozen=True)
class Task:
    """What a row does, the same for all rows."""

    model: str = "model_1"
    batch: int = 128  # images
    steps: int = 64  # of the one epoch
    device: str = "cpu"
    dropout: float | None = None  # None: as the network's line says
    augment: bool = True  # flip, and crop by up to 4 pixels
    workers: int = 2  # processes of those rows that load with processes
    rows: tuple[int, ...] | None = None  # equal learning: these images in this order; None: shuffled

    @property
    def precision(self) -> str:
        """Of tinylab and of the tuned rows, "float32" or "bfloat16"; rows as documented always compute in float32."""
        return precision(self.device)


Train = Callable[[Any, Task, Pace], None]  # (material, task, pace): trains until `pace` raises Enough


class Counted:
    """Notes the losses of `steps` steps."""

    def __init__(self, steps: int) -> None:
        self.steps, self.losses = steps, list[float]()

    def tick(self, loss: Any) -> None:
        self.losses.append(float(loss.detach() if isinstance(loss, torch.Tensor) else loss))
        if len(self.losses) == self.steps:
            raise Enough


class Windows:
    """Answers the parent's commands, one line of JSON each: {"lead": 1, "steps": 4}, or {"end": true}."""

    def __init__(self, device: str, commands: TextIO, answers: TextIO) -> None:
        self.device, self.commands, self.answers = device, commands, answers
        self._started = 0.0
        self._left = self._steps = 0

    def next(self) -> None:
        """Wait for the next window; its clock runs from here, or from the end of its lead."""
        command = json.loads(self.commands.readline() or '{"end": true}')
        if command.get("end"):
            raise Enough
        self._steps, self._left = command["steps"], command["lead"] + command["steps"]
        self._started = clock(self.device)

    def tick(self, loss: Any) -> None:
        self._left -= 1
        if self._left == self._steps:
            self._started = clock(self.device)
        elif self._left == 0:
            seconds = clock(self.device) - self._started
            self.answer({"seconds": seconds, "steps": self._steps, "megabytes": peak_memory()})
            self.next()

    def answer(self, content: dict[str, Any]) -> None:
        print(json.dumps(content), file=self.answers, flush=True)


def run(train: Train, material: Any, task: Task, pace: Pace) -> float:
    """Train until there is enough; seconds that took."""
    started = time.perf_counter()
    try:
        train(material, task, pace)
    except Enough:
        return time.perf_counter() - started
    raise RuntimeError("the row's training ended before it was asked to: its epoch is too short")
