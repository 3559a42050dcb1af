"""The small controls in a real JupyterLab and a real Chromium, by keyboard.

What only a browser shows: that every widget's view can be created, that keys reach it past JupyterLab's own
shortcuts, that the picture in the page is exchanged. Waits on text and on images, never for a time. Without Chromium
a person's run skips them; continuous integration, which installs it (.ci/run), fails.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright import sync_api

from tests.browser import jupyter

pytestmark = pytest.mark.skipif(jupyter.CHROMIUM is None and "CI" not in os.environ, reason="no Chromium here")

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
def page(tmp_path: Path) -> Iterator[sync_api.Page]:
    """The notebook, open, with its kernel idle."""
    with jupyter.opened(tmp_path, CELLS) as opened:
        yield opened


def picture(page: sync_api.Page, place: int) -> str:
    """The address of a live picture; a new one for each picture shown."""
    return page.locator(".jp-OutputArea img.widget-image").nth(place).get_attribute("src")


def test_controls_answer_to_the_keyboard(page: sync_api.Page) -> None:
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    area, keys = page.locator(".jp-OutputArea"), page.keyboard
    said = area.get_by_role("status")
    convolution, training = said.nth(0), said.nth(1)
    expect = sync_api.expect
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
