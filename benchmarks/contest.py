"""All rows in turn: every round gives each row one window of steps, so that a machine that grows warm hits all alike.

The order of a round is turned by one from round to round. A row that cannot run, or fails, says why in the table and
leaves the others alone. What has been measured is handed to `save` after each round.
"""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.machine import environment, say, summarise
from benchmarks.pace import Task
from benchmarks.rows import ROWS

# nats that a loss may differ from the plain row's: float32's roundings, which Adam's first steps enlarge (measured:
# 1e-5); where tuned rows compute in bfloat16, its coarser ones (on a GPU, where the plain row has TF32: not yet run)
TOLERANCE = {"float32": 0.002, "bfloat16": 0.05}
PATIENCE = 30.0  # seconds for a row to end by itself


@dataclass
class Result:
    """What was measured of a row; plain data."""

    losses: list[float] = field(default_factory=list)  # of the check of equal learning
    imports: float | None = None  # seconds from starting the process to its libraries' being there
    first_step: float | None = None  # seconds of building, compiling, first batch, first step
    windows: list[float] = field(default_factory=list)  # images/s of each timed window
    megabytes: float | None = None  # largest memory of the process, without its loading processes
    failed: str = ""


class Worker:
    """A row's process."""

    def __init__(self, name: str, folder: Path, task: Task, equal: Sequence[int], threads: int) -> None:
        self.name, self.task = name, task
        equal = list(equal) if ROWS[name].learns else []
        given = json.dumps({**asdict(task), "equal": equal, "began": time.time()})
        hidden = {} if task.device == "cuda" else {"CUDA_VISIBLE_DEVICES": ""}  # Keras takes a GPU where there is one
        self.errors = (folder / f"{name.replace(' ', '_')}.log").open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", name, str(folder), given],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=environment(threads) | hidden,
        )

    def ask(self, **command: Any) -> None:
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):  # then `answer` tells why
            print(json.dumps(command), file=self.process.stdin, flush=True)

    def answer(self) -> dict[str, Any]:
        """The next answer; RuntimeError if the row failed."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        found: dict[str, Any] = json.loads(line) if line else {"failed": f"its process ended, see {self.errors.name}"}
        if "failed" in found:
            raise RuntimeError(found["failed"])
        return found

    def window(self, lead: int, steps: int) -> dict[str, Any]:
        self.ask(lead=lead, steps=steps)
        return self.answer()

    def close(self) -> None:
        self.ask(end=True)
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.errors.close()


def rounds(names: Sequence[str], first: int, last: int) -> Iterator[list[str]]:
    """The order of the rows in rounds `first` to `last` - 1: each round begins one row further on."""
    for number in range(first, last):
        turn = number % len(names) if names else 0
        yield [*names[turn:], *names[:turn]]


def contest(
    names: Sequence[str],
    folder: Path,
    task: Task,
    *,
    equal: Sequence[int],
    repeats: int,
    steps: int,
    lead: int,
    threads: int,
    results: dict[str, Result],
    save: Callable[[], None],
    each_round: Callable[[], None] = lambda: None,
) -> None:
    """Fill `results`, a Result for each row of `names`; those that have windows already go on from there.

    each_round: called before each round
    """
    workers: dict[str, Worker] = {}
    epoch = replace(task, steps=1 + repeats * (lead + steps) + 2)  # no window meets the end of the epoch
    try:
        for name in names:
            result = results.setdefault(name, Result())
            if result.failed or len(result.windows) >= repeats:
                continue
            say(f"{ROWS[name].title}: start, first steps")
            workers[name] = worker = Worker(name, folder, epoch, equal, threads)
            with _noting(result, workers, name):
                ready = worker.answer()
                result.losses, result.imports = ready["losses"], ready["imports"]
                result.first_step = worker.window(0, 1)["seconds"]
        done = min((len(results[name].windows) for name in workers), default=repeats)
        for number, order in enumerate(rounds(names, done, repeats), start=done + 1):
            say(f"round {number} of {repeats}")
            each_round()
            for name in order:
                if name in workers and len(results[name].windows) < number:
                    with _noting(results[name], workers, name):
                        window = workers[name].window(lead, steps)
                        results[name].windows.append(task.batch * window["steps"] / window["seconds"])
                        results[name].megabytes = window["megabytes"]
            save()
    finally:
        for worker in workers.values():
            worker.close()


@contextlib.contextmanager
def _noting(result: Result, workers: dict[str, Worker], name: str) -> Iterator[None]:
    """A row's failure becomes part of its result, and the row takes part no more."""
    try:
        yield
    except (RuntimeError, ValueError, KeyError) as error:
        result.failed = str(error)
        say(f"{ROWS[name].title}: {error}")
        workers.pop(name).close()


# ---------------------------------------------------------------- what follows from the results


def disagreements(results: dict[str, Result], precision: str = "float32") -> list[str]:
    """Rows whose losses, from equal weights on equal batches, are not the plain row's: a line for each."""
    reference = results.get("plain") or next((r for r in results.values() if r.losses), Result())
    found, tolerance = [], TOLERANCE[precision]
    for name, result in results.items():
        if result.losses and reference.losses:
            apart = [abs(a - b) for a, b in zip(result.losses, reference.losses, strict=True)]
            if not all(one <= tolerance for one in apart):  # NaN is not either
                losses = ", ".join(f"{loss:.4f}" for loss in result.losses)
                found.append(f"{ROWS[name].title}: its losses {losses} are more than {tolerance} from the plain row's")
    return found


def speeds(results: dict[str, Result]) -> dict[str, dict[str, Any]]:
    """Images/s of each row that was timed: median, spread, n."""
    return {name: summarise(result.windows) for name, result in results.items() if result.windows}


def ratios(results: dict[str, Result], reference: str = "tinylab") -> dict[str, dict[str, Any]]:
    """How many times faster `reference` was than each row, round by round: both ran on the same machine then."""
    ours = results.get(reference, Result()).windows
    pairs = {name: list(zip(ours, result.windows, strict=False)) for name, result in results.items()}
    return {name: summarise([a / b for a, b in found]) for name, found in pairs.items() if found}
