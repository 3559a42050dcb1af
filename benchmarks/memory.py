"""Benchmark: the memory that one student takes on a shared machine.

    python benchmarks/memory.py [--lectures 03 07] [--profile lecture] [--live 400] [--data sample]

Runs each lecture in a kernel of its own, cell by cell as a student would, and asks the system (Linux: /proc) for the
largest resident memory of that kernel. Part of it is the libraries' code, which all kernels of one machine share; what
is private is printed beside it. Then a live laboratory, as if somebody sat there, until its snapshots fill their budget
or so many updates are made; and the JupyterLab server without a kernel, which each student has besides.

One run each: memory varies by a few megabytes, not by what else the machine does. Prints the hardware and the versions.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import nbformat
import torch
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode

from tinylab import course
from tinylab.support.cores import core_count
from tinylab.support.device import pick
from tinylab.support.notebook import VARIABLE

LIVE = """
from tinylab import LiveLab, data
from tinylab.training import Recipe
lab = LiveLab(data.load({data!r}, classes=10, per_class=8), "model_1", Recipe(epochs=10**6, batch=16))
lab.session.ask("start")
full = lambda: lab.session.snapshots.bytes > 0.9 * lab.session.snapshots.budget
lab.session.wait(lambda status: status.step >= {steps} or full(), 3600)
print(lab.session.status.step, "updates,", round(lab.session.snapshots.bytes / 1e6), "MB of snapshots")
lab.close()
"""


@dataclass(frozen=True)
class Use:
    """Largest memory of one process, in MB (10^6 bytes)."""

    resident: float
    private: float  # of it, what no other process can share
    said: str = ""


class Watched:
    """Follows a process: its largest private memory, looked at ten times a second."""

    def __init__(self, pid: int) -> None:
        self.status, self.private, self._ended = Path(f"/proc/{pid}/status"), 0.0, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def now(self, field: str) -> float:
        line = next(line for line in self.status.read_text().splitlines() if line.startswith(field + ":"))
        return int(line.split()[1]) * 1024 / 1e6

    def _look(self) -> None:
        while not self._ended.wait(0.1):
            self.private = max(self.private, self.now("RssAnon"))

    def end(self, said: str = "") -> Use:
        """While the process still lives."""
        self._ended.set()
        self._thread.join()
        return Use(self.now("VmHWM"), self.private, said)


def in_kernel(notebook: NotebookNode, folder: Path, environment: dict[str, str]) -> Use:
    """Execute a notebook and return what its kernel took."""
    manager = KernelManager(kernel_name="python3")
    client = NotebookClient(notebook, km=manager, timeout=3600, resources={"metadata": {"path": str(folder)}})
    with client.setup_kernel(env=environment):
        watched = Watched(manager.provisioner.pid)
        for place, cell in enumerate(notebook.cells):
            client.execute_cell(cell, place)
        outputs = notebook.cells[-1].get("outputs", [])
        return watched.end("".join(output.get("text", "") for output in outputs).strip())


def server() -> Use:
    """A JupyterLab server on which nothing is open."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--no-browser", "--allow-root", "--port=0", f"--ServerApp.root_dir={folder}"]
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            watched = Watched(process.pid)
            for line in process.stdout or []:
                if "is running at" in line:
                    time.sleep(2)
                    return watched.end()
            raise RuntimeError("JupyterLab ended")
        finally:
            process.terminate()
            process.communicate(timeout=60)


def show(what: str, use: Use, seconds: float) -> None:
    print(f"{what:24} {use.resident:8.0f} {use.private:8.0f} {seconds:8.0f}  {use.said}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lectures", nargs="*", default=None, help="numbers; by default all")
    parser.add_argument("--profile", default="lecture", choices=course.PROFILES)
    parser.add_argument("--data", default="sample")
    parser.add_argument("--live", type=int, default=400, help="updates of the laboratory at most; 0: without it")
    options = parser.parse_args()
    if not Path("/proc/self/status").exists():
        parser.error("this benchmark needs Linux: it reads /proc")
    print(
        f"{pick().label}, {core_count()} cores, {platform.machine()}, Python {platform.python_version()}, torch "
        f"{torch.__version__}, profile {options.profile}, data {options.data}, load {os.getloadavg()[0]:.1f}"
    )
    print(f"{'':24} {'peak MB':>8} {'private':>8} {'seconds':>8}")
    started = time.perf_counter()
    show("JupyterLab, no kernel", server(), time.perf_counter() - started)
    environment = os.environ | {course.VARIABLE: options.profile, VARIABLE: "1"}
    paths = course.find(options.lectures or []) if options.lectures != [] else []
    for path in paths:
        started = time.perf_counter()
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if "parameters" in cell.metadata.get("tags", []):
                cell.source += f"\ndata = {options.data!r}"
        notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        use = in_kernel(notebook, path.parent, environment)
        show(path.stem, Use(use.resident, use.private), time.perf_counter() - started)
    if options.live:
        started = time.perf_counter()
        source = LIVE.format(data=options.data, steps=options.live)
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
        use = in_kernel(notebook, Path.cwd(), environment | {VARIABLE: "0"})
        show("live laboratory", use, time.perf_counter() - started)


if __name__ == "__main__":
    main()
