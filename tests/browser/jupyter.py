"""A real JupyterLab, or Notebook 7, and a notebook open in a real Chromium, for the tests that drive them."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from playwright import sync_api

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE = 120_000  # milliseconds; a loaded machine starts a kernel slowly
FRONTS = {
    "jupyterlab": ("LabApp", "lab/tree/{}"),
    "notebook": ("JupyterNotebookApp", "notebooks/{}"),
}
IDLE = "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"


@contextlib.contextmanager
def chromium() -> Iterator[sync_api.Browser]:
    """One at a time: playwright allows no second beside it."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass(frozen=True)
class Server:
    """A running front end, and the folder that it shows."""

    folder: Path
    address: str  # of a notebook, with {} for its path
    browser: sync_api.Browser

    @contextlib.contextmanager
    def opened(
        self, cells: Sequence[str | NotebookNode], size: tuple[int, int] = (1500, 2400)
    ) -> Iterator[sync_api.Page]:
        """A notebook of these cells (of code, where only the source is given), its kernel idle, nothing run yet."""
        made = [nbformat.v4.new_code_cell(cell) if isinstance(cell, str) else cell for cell in cells]
        notebook = nbformat.v4.new_notebook(cells=made)
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        file = Path(tempfile.mkdtemp(dir=self.folder)) / "opened.ipynb"
        nbformat.write(notebook, file)
        page = self.browser.new_page(viewport={"width": size[0], "height": size[1]})
        page.set_default_timeout(PATIENCE)
        sync_api.expect.set_options(timeout=PATIENCE)
        page.goto(self.address.format(file.relative_to(self.folder).as_posix()))
        page.wait_for_function(IDLE)
        yield page
        page.evaluate("() => window.jupyterapp.shell.currentWidget?.sessionContext.shutdown()")
        page.close()


@contextlib.contextmanager
def served(folder: Path, browser: sync_api.Browser, front: str = "jupyterlab") -> Iterator[Server]:
    """Starts a front end, "jupyterlab" or "notebook", with settings of its own, and ends it with all its kernels."""
    app, address = FRONTS[front]
    environment = {key: value for key, value in os.environ.items() if key != "TINYLAB_HEADLESS"}
    environment |= {"JUPYTER_CONFIG_DIR": str(folder / "config"), "JUPYTER_DATA_DIR": str(folder / "data")}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--no-browser", "--allow-root", f"--port={port}", "--ServerApp.port_retries=0", "--ServerApp.token=t"]
    options += [f"--ServerApp.root_dir={folder}", f"--{app}.expose_app_in_browser=True"]
    command = [sys.executable, "-m", front, *options]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        _wait_until_it_listens(server)
        yield Server(folder, f"http://127.0.0.1:{port}/{address}?token=t&reset", browser)
    finally:
        server.terminate()
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:  # it waits for a kernel, and on a busy machine for long
            server.kill()
            server.wait(60)


def run_cell(page: sync_api.Page, number: int) -> None:
    """Execute the cell at that position, from 0, and wait until the kernel has done it."""
    page.evaluate(
        """async number => {
            const notebook = window.jupyterapp.shell.currentWidget.content;
            notebook.activeCellIndex = number;
            notebook.deselectAll();
            await window.jupyterapp.commands.execute('notebook:run-cell');
        }""",
        number,
    )


def _wait_until_it_listens(server: subprocess.Popen) -> None:
    """Read the log until the server says where it is; go on reading, lest the pipe fills."""
    said = []
    for line in server.stdout:
        said.append(line)
        if "is running at" in line:
            threading.Thread(target=server.stdout.read, daemon=True).start()
            return
    raise AssertionError("the server ended: " + "".join(said[-20:]))
