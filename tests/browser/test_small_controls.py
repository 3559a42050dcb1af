"""The small controls in a real JupyterLab and a real Chromium, by keyboard.

What only a browser shows: that every widget's view can be created, that keys reach it past JupyterLab's own
shortcuts, that the picture in the page is exchanged. Waits on text and on images, never for a time. Without Chromium
a person's run skips them; continuous integration, which installs it (.ci/run), fails.
"""

import os
import re
from collections.abc import Iterator

import pytest
from playwright import sync_api

from tests.browser import jupyter

pytestmark = [
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(jupyter.CHROMIUM is None and "CI" not in os.environ, reason="no Chromium here"),
]

CELLS = (
    "import numpy as np\nfrom tinylab import lab",
    "lab.convolution_explorer(np.random.default_rng(0).integers(0, 200, (64, 64, 3), dtype=np.uint8))",
)


@pytest.fixture
def page(jupyterlab: jupyter.Server) -> Iterator[sync_api.Page]:
    """The notebook, open, with its kernel idle."""
    with jupyterlab.opened(CELLS) as opened:
        yield opened


def picture(page: sync_api.Page, place: int) -> str:
    """The address of a live picture; a new one for each picture shown."""
    return page.locator(".jp-OutputArea img.widget-image").nth(place).get_attribute("src")


def test_controls_answer_to_the_keyboard(page: sync_api.Page) -> None:
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    area, keys = page.locator(".jp-OutputArea"), page.keyboard
    said = area.get_by_role("status")
    convolution, expect = said.nth(0), sync_api.expect
    expect(area.locator("img.widget-image")).to_have_count(1)
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
