"""Run lectures headlessly: one kernel per notebook, several at once, and the truth about each.

papermill writes the parameters into a notebook, nbclient runs it: what ends a run early, a dead kernel or a cell over
its time, is an exception with a name. What that and the notes of `watch` mean is decided in `inspection`.
"""

import contextlib
import json
import math
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbclient import NotebookClient
from nbformat import NotebookNode

from tinylab import course
from tinylab.data import resolve
from tinylab.support.errors import NotebookError, check_int, check_range
from tinylab.tools.notebooks import inspection, kernels, watch
from tinylab.tools.notebooks.inspection import Fault

STARTS = 3  # a port may be taken between its choice and its use; that kernel dies before any cell has run


@dataclass
class Outcome:
    """What became of one notebook. `status` is "waiting", "running", "ok" or "failed"."""

    path: Path
    title: str
    cells: int  # that run
    status: str = "waiting"
    cell: int = 0  # running now, from 1
    seconds: float = 0.0
    started: float | None = None  # time.monotonic()
    faults: list[Fault] = field(default_factory=list)
    notebook: NotebookNode | None = None  # as executed, without the cells that the run added
    key_figures: list[dict[str, str]] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)  # profile, data, seed, device, as the lecture said

    @property
    def name(self) -> str:
        return self.path.stem


def run(
    notebooks: Sequence[Path],
    *,
    profile: str | None = None,
    data: str = "sample",
    seed: int = 0,
    jobs: int = 1,
    timeout: float = 900,
    watcher: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Execute `notebooks` (paths), `jobs` at a time, and tell what became of each, in the same order.

    `profile`, `data`, `seed` go into each notebook's parameters; `timeout` is the limit of a cell in seconds;
    `watcher` is called, from any thread, whenever an outcome has changed. A notebook that fails is an outcome
    with faults, never an exception. Raises InvalidInputError for settings that no notebook could run with.
    """
    settings = course.settings(profile, data, seed)
    check_int("jobs", jobs, 1)
    check_range("timeout", timeout, 1, math.inf)
    values = {"profile": settings.profile, "data": resolve(settings.data), "seed": settings.seed}
    outcomes = [_waiting(Path(path)) for path in notebooks]
    stop = threading.Event()
    with tempfile.TemporaryDirectory(prefix="tinylab-run-", ignore_cleanup_errors=True) as scratch:
        environment = kernels.environment(max(1, min(jobs, len(outcomes))))
        running: list[NotebookClient] = []

        def one(numbered: tuple[int, Outcome]) -> None:
            number, outcome = numbered
            folder = Path(scratch) / f"{number:02d}"
            folder.mkdir()
            try:
                if not stop.is_set():
                    _execute(outcome, values, folder, environment, timeout, watcher, running)
            except NotebookError as error:
                outcome.faults.append(Fault(None, "", str(error)))
            outcome.status = "failed" if outcome.faults else "ok"
            outcome.seconds = time.monotonic() - outcome.started if outcome.started is not None else 0.0
            watcher(outcome)

        with ThreadPoolExecutor(jobs) as pool:
            try:
                # the last first: later lectures train longer, and a long one that starts last would run alone
                list(pool.map(one, reversed(list(enumerate(outcomes)))))
            except BaseException:  # Ctrl-C: leave no kernel behind
                stop.set()
                for client in list(running):
                    _end(client)
                raise
    return outcomes


def _waiting(path: Path) -> Outcome:
    try:
        notebook = inspection.read(path)
    except NotebookError as error:
        return Outcome(path, path.stem, 0, faults=[Fault(None, "", str(error))])
    cells = sum(map(inspection.runs, notebook.cells))
    return Outcome(path, inspection.title(notebook) or path.stem, cells, notebook=notebook)


def _execute(
    outcome: Outcome,
    values: dict[str, object],
    folder: Path,
    environment: dict[str, str],
    timeout: float,
    watcher: Callable[[Outcome], None],
    running: list[NotebookClient],
) -> None:
    if outcome.notebook is None:  # unreadable: the fault is noted already
        return
    prepared = inspection.prepared(outcome.notebook, values)
    outcome.status, outcome.started = "running", time.monotonic()
    watcher(outcome)
    notes = folder / "notes"
    environment = environment | {watch.VARIABLE: str(notes), watch.ASKED: json.dumps(values)}
    for _ in range(STARTS):
        executed = deepcopy(prepared)
        failure = _attempt(executed, outcome, folder, environment, timeout, watcher, running)
        events = _events(notes)
        if events:
            break  # once the kernel has started, nothing is repeated
    outcome.notebook = inspection.authored(executed, outcome.notebook)
    outcome.faults = inspection.inspect(executed, events, failure, timeout, outcome.cell)
    outcome.key_figures = inspection.displayed(executed, course.KEY_FIGURE_MIME)
    outcome.settings = next(iter(inspection.displayed(executed, course.SETTINGS_MIME)), {})
    outcome.settings |= next((event["settings"] for event in events if event["event"] == "ran"), {})


def _attempt(
    notebook: NotebookNode,
    outcome: Outcome,
    folder: Path,
    environment: dict[str, str],
    timeout: float,
    watcher: Callable[[Outcome], None],
    running: list[NotebookClient],
) -> Exception | None:
    """Run a notebook in place, in a kernel of its own; what ended it early, or None."""

    def starts(cell: NotebookNode, cell_index: int) -> None:
        outcome.cell = min(outcome.cell + 1, outcome.cells)  # after the author's cells, one that ends the watch
        watcher(outcome)

    options: dict[str, Any] = {
        "on_cell_execute": starts,
        "extra_arguments": [f"--IPKernelApp.exec_lines={inspection.WATCH}; _watch.start()"],
        "shutdown_kernel": "immediate",  # whose cell ran too long would not end when asked
    }
    client = kernels.client(notebook, outcome.path.resolve().parent, timeout, **options)
    running.append(client)
    try:
        with open(folder / "stderr", "wb") as stderr:
            # nbclient leaves the kernel of a manager that it was given: ten of them would stay, a gigabyte each
            client.execute(cleanup_kc=True, env=environment, stdout=subprocess.DEVNULL, stderr=stderr)
    except Exception as error:  # of the notebook, its kernel, or of starting it
        return error
    finally:
        running.remove(client)
    return None


def _end(client: NotebookClient) -> None:
    """Kill a client's kernel from another thread: the client notices, and ends."""
    process = getattr(getattr(client.km, "provisioner", None), "process", None)
    if process is not None:
        with contextlib.suppress(OSError):
            process.kill()


def _events(notes: Path) -> list[dict[str, Any]]:
    """What `watch` noted; the last line may be cut short by the kernel's end."""
    if not notes.exists():
        return []
    lines = notes.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]
