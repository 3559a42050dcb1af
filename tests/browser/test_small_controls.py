"""The small controls in a real JupyterLab and a real Chromium, by keyboard.

What only a browser shows: that every widget's view can be created, that keys reach it past JupyterLab's own
shortcuts, that the picture in the page is exchanged. Waits on text and on images, never for a time. Without Chromium
a person's run skips them; continuous integration, which installs it (.ci/run), fails.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright import sync_api

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None and "CI" not in os.environ, reason="no Chromium here")
PATIENCE = 120_000  # milliseconds; a loaded machine starts a kernel slowly

DATA = """
import numpy as np
from tinylab import lab
from tinylab.data import Dataset, Split
from tinylab.training import Recipe

def split(name, count):
    labels = np.arange(count) % 3
    images = np.random.default_rng(0).integers(0, 200, (count, 64, 64, 3), dtype=np.uint8)
    return Split(name, images, labels, labels.astype(str), np.arange(count))

parts = [split(name, 12) for name in ("train", "development", "validation", "test")]
data = Dataset("tiny", ("n0", "n1", "n2"), ("cat", "dog", "owl"), *parts)
"""
CELLS = (
    DATA,
    "lab.convolution_explorer(parts[0].images[0])",
    'lab.short_training(data, "conv3-2 - relu - max pool - dropout - softmax", Recipe(epochs=2, batch=6))',
)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[object]:
    """The notebook, open, with its kernel idle."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "controls.ipynb")
    environment = {key: value for key, value in os.environ.items() if key != "TINYLAB_HEADLESS"}
    environment |= {"JUPYTER_CONFIG_DIR": str(tmp_path / "config"), "JUPYTER_DATA_DIR": str(tmp_path / "data")}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--no-browser", "--allow-root", f"--port={port}", "--ServerApp.port_retries=0", "--ServerApp.token=t"]
    options += [f"--ServerApp.root_dir={tmp_path}", "--LabApp.expose_app_in_browser=True"]
    command = [sys.executable, "-m", "jupyterlab", *options]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        _wait_until_it_listens(server)
        with sync_api.sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            opened = browser.new_page(viewport={"width": 1500, "height": 1800})
            opened.set_default_timeout(PATIENCE)
            opened.goto(f"http://127.0.0.1:{port}/lab/tree/controls.ipynb?token=t&reset")
            opened.wait_for_function(
                "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
            )
            yield opened
            browser.close()
    finally:
        server.terminate()
        server.wait(60)


def _wait_until_it_listens(server: subprocess.Popen) -> None:
    """Read the log until the server says where it is; go on reading, lest the pipe fills."""
    said = []
    for line in server.stdout:
        said.append(line)
        if "is running at" in line:
            threading.Thread(target=server.stdout.read, daemon=True).start()
            return
    pytest.fail("JupyterLab ended: " + "".join(said[-20:]))


def picture(page: object, place: int) -> str:
    """The address of a live picture; a new one for each picture shown."""
    return page.locator(".jp-OutputArea img.widget-image").nth(place).get_attribute("src")


def test_controls_answer_to_the_keyboard(page: object) -> None:
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    area, keys = page.locator(".jp-OutputArea"), page.keyboard
    said = area.get_by_role("status")
    convolution, training = said.nth(0), said.nth(1)
    expect = sync_api.expect
    expect.set_options(timeout=PATIENCE)
    expect(training).to_contain_text("press Restart")
    expect(area.locator("img.widget-image")).to_have_count(2)
    expect(area.locator("img.widget-image").nth(0)).to_have_attribute("title", re.compile("Sobel x kernel"))

    before = picture(page, 0)
    area.locator("select").focus()
    for key in ("Space", "ArrowDown", "Enter"):
        keys.press(key)
    expect(convolution).to_contain_text("Sobel y kernel")
    assert picture(page, 0) != before

    area.locator(".noUi-handle").nth(0).focus()
    keys.press("ArrowLeft")
    expect(convolution).to_contain_text("strength 0.95")

    typed = area.locator("input[type=text]")
    typed.fill("1 0 oops")
    typed.press("Enter")
    expect(area.get_by_role("alert")).to_contain_text("'oops' is not a number")
    typed.fill("1 0 -1; 2 0 -2; 1 0 -1")
    typed.press("Enter")
    expect(convolution).to_contain_text("a typed kernel")
    expect(area.get_by_role("alert")).to_have_count(0)

    before = picture(page, 1)
    rate = area.locator(".widget-readout").nth(1)
    rate.fill("0.01")
    rate.press("Enter")
    area.locator(".noUi-handle").nth(2).focus()
    keys.press("ArrowRight")
    area.get_by_role("button", name="Restart training").focus()
    keys.press("Enter")
    expect(training).to_contain_text("Finished: 2 of 2 epochs at learning rate 0.01, dropout 0.30")
    assert picture(page, 1) != before
