"""Run lectures headlessly: one papermill process per notebook, several at once, and the truth about each.

A process of its own for each notebook, because a kernel that dies or hangs must not take the others with it
(and because papermill changes the working directory of its whole process). Its standard error and the notes of
`watch` are read; what they mean is decided in `inspection`.
"""

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from tinylab.support.cores import core_count
from tinylab import course
from tinylab.support.errors import NotebookError, between, whole
from tinylab.tools.notebooks import inspection, watch
from tinylab.tools.notebooks.inspection import Fault

STARTS = 3  # two kernels that start at once can pick the same port; one of them dies before any cell has run
GRACE = 120.0  # seconds beyond the limit of a cell before a silent papermill process is ended from outside


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
    whole("jobs", jobs, 1)
    between("timeout", timeout, 1, math.inf)
    values = {"profile": settings.profile, "data": _absolute(settings.data), "seed": settings.seed}
    outcomes = [_waiting(Path(path)) for path in notebooks]
    stop = threading.Event()
    with tempfile.TemporaryDirectory(prefix="tinylab-run-", ignore_cleanup_errors=True) as scratch:
        environment = _environment(Path(scratch), min(jobs, len(outcomes)))

        def one(numbered: tuple[int, Outcome]) -> None:
            number, outcome = numbered
            folder = Path(scratch) / f"{number:02d}"
            folder.mkdir()
            try:
                if not stop.is_set():
                    _execute(outcome, values, folder, environment, timeout, watcher, stop)
            except NotebookError as error:
                outcome.faults.append(Fault(None, "", str(error)))
            outcome.status = "failed" if outcome.faults else "ok"
            outcome.seconds = time.monotonic() - (outcome.started or time.monotonic())
            watcher(outcome)

        with ThreadPoolExecutor(jobs) as pool:
            try:
                # the last first: later lectures train longer, and a long one that starts last would run alone
                list(pool.map(one, reversed(list(enumerate(outcomes)))))
            except BaseException:  # Ctrl-C: leave no kernel behind
                stop.set()
                raise
    return outcomes


def _waiting(path: Path) -> Outcome:
    try:
        notebook = inspection.read(path)
    except NotebookError as error:
        return Outcome(path, path.stem, 0, faults=[Fault(None, "", str(error))])
    cells = sum(map(inspection.runs, notebook.cells))
    return Outcome(path, inspection.title(notebook) or path.stem, cells, notebook=notebook)


def _absolute(data: str) -> str:
    """A path made absolute (the notebooks run in their own folder); a name stays as it is."""
    path = Path(data).expanduser()
    looks_like_path = "/" in data or os.sep in data or path.suffix == ".zip" or path.exists()
    return str(path.absolute()) if looks_like_path and data != "sample" else data


def _environment(scratch: Path, jobs: int) -> dict[str, str]:
    """For the children: a fair share of the cores each, and a "python3" kernel that is this very Python."""
    environment = dict(os.environ)
    # torch listens to both, and to MKL's first: whoever has set one of them means both
    given = environment.get("MKL_NUM_THREADS") or environment.get("OMP_NUM_THREADS") or str(max(1, core_count() // jobs))
    environment |= {"OMP_NUM_THREADS": given, "MKL_NUM_THREADS": given}
    kernel = scratch / "kernels" / "python3" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel.write_text(json.dumps({"argv": command, "display_name": "Python 3", "language": "python"}))
    searched = [str(scratch), *filter(None, [os.environ.get("JUPYTER_PATH")])]
    environment["JUPYTER_PATH"] = os.pathsep.join(searched)  # searched before the user's own kernels
    environment["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    environment["TINYLAB_HEADLESS"] = "1"  # the laboratory's controls train at once instead of in a thread
    return environment


def _execute(
    outcome: Outcome,
    values: dict[str, object],
    folder: Path,
    environment: dict[str, str],
    timeout: float,
    watcher: Callable[[Outcome], None],
    stop: threading.Event,
) -> None:
    if outcome.notebook is None:  # unreadable: the fault is noted already
        return
    import nbformat
    import yaml  # papermill's own

    nbformat.write(inspection.prepared(outcome.notebook, values), folder / "in.ipynb")
    # YAML's own writer: in JSON, which YAML nearly is, "📁" would arrive as two halves of a character
    (folder / "parameters.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    command = [sys.executable, "-m", "papermill", "in.ipynb", "out.ipynb", "-f", "parameters.yaml"]
    command += ["-k", "python3", "--cwd", str(outcome.path.resolve().parent), "--no-progress-bar"]
    command += ["--execution-timeout", str(round(timeout)), "--log-level", "ERROR"]
    outcome.status, outcome.started = "running", time.monotonic()
    watcher(outcome)
    for attempt in range(STARTS):
        process, events, hung = _attempt(command, outcome, folder, environment, timeout, watcher, stop)
        if events or hung or stop.is_set() or attempt == STARTS - 1:
            break  # once the kernel has started, nothing is repeated
    written = folder / "out.ipynb"
    executed = inspection.read(written if written.exists() else folder / "in.ipynb")
    said = (folder / "stderr").read_text(encoding="utf-8", errors="replace")
    outcome.faults = inspection.inspect(executed, events, process.returncode, said, timeout)
    if hung:
        fault = f"no sign of life for {timeout + GRACE:.0f} s; ended from outside"
        outcome.faults.insert(0, Fault(outcome.cell or None, "", fault))
    outcome.notebook = inspection.authored(executed)
    outcome.key_figures = inspection.displayed(executed, course.KEY_FIGURE_MIME)
    outcome.settings = next(iter(inspection.displayed(executed, course.SETTINGS_MIME)), {})


def _attempt(
    command: list[str],
    outcome: Outcome,
    folder: Path,
    environment: dict[str, str],
    timeout: float,
    watcher: Callable[[Outcome], None],
    stop: threading.Event,
) -> tuple[subprocess.Popen[bytes], list[dict[str, Any]], bool]:
    notes = folder / "notes"
    with open(folder / "stderr", "wb") as stderr:
        process = subprocess.Popen(
            command,
            cwd=folder,  # relative names: papermill would format braces in a longer path
            env=environment | {watch.VARIABLE: str(notes)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,  # Ctrl-C is ours to handle
        )
        hung = _follow(process, outcome, notes, timeout, watcher, stop)
    return process, _events(notes), hung


def _follow(
    process: subprocess.Popen[bytes],
    outcome: Outcome,
    notes: Path,
    timeout: float,
    watcher: Callable[[Outcome], None],
    stop: threading.Event,
) -> bool:
    """Wait for the process, passing on its progress; True if it had to be ended because nothing happened."""
    seen, changed = 0, time.monotonic()
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.3)
            return False
        events = _events(notes)
        if len(events) > seen:
            seen, changed = len(events), time.monotonic()
            # two cells run before the author's second: ours, and the injected parameters after the first
            count = max((event["count"] for event in events if event["event"] == "cell"), default=0)
            outcome.cell = min(max(count - 2, 1), outcome.cells)
            watcher(outcome)
        hung = time.monotonic() - changed > timeout + GRACE
        if hung or stop.is_set():
            _end(process, events)
            return hung


def _end(process: subprocess.Popen[bytes], events: list[dict[str, Any]]) -> None:
    """End papermill and its kernel (which has a session of its own, so that it has to be named)."""
    process.kill()
    process.wait()
    for event in events:
        if event["event"] == "kernel":
            with contextlib.suppress(OSError):
                os.kill(event["pid"], getattr(signal, "SIGKILL", signal.SIGTERM))


def _events(notes: Path) -> list[dict[str, Any]]:
    """The notes so far; a line that is still being written is left for the next time."""
    if not notes.exists():
        return []
    lines = notes.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]
