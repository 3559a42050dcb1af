"""The live laboratory in a real JupyterLab, by keyboard, while the network trains."""

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from playwright import sync_api
from playwright.sync_api import expect

from tests.browser.jupyter import CHROMIUM, opened, run_cell

pytestmark = pytest.mark.skipif(CHROMIUM is None and "CI" not in os.environ, reason="no Chromium here")

SETUP = """
import numpy as np
from tinylab.data import Dataset, Split
from tinylab.lab.live import LiveLab
from tinylab.training import Recipe

def split(name, count):
    labels = np.arange(count) % 3
    images = np.random.default_rng(0).integers(0, 200, (count, 64, 64, 3), dtype=np.uint8)
    images[..., 0] += (20 * labels).astype(np.uint8)[:, None, None]
    return Split(name, images, labels, labels.astype(str), np.arange(count))

parts = map(split, ("train", "development", "validation", "test"), (60, 24, 24, 12))
data = Dataset("tiny", ("n0", "n1", "n2"), ("cat", "dog", "owl"), *parts)
line = "conv3-16 - relu - conv3-16 - relu - max pool - dropout - softmax"
recipe = Recipe(epochs=3000, batch=20, learning_rate=0.001)  # minutes: it must not end while it is steered
"""
CELLS = (
    SETUP,
    "first = LiveLab(data, line, recipe)\nfirst",
    "second = LiveLab(data, line, recipe)\nsecond",
    "run = first.session.run\nprint('kernel says', run.optimizer.param_groups[0]['lr'], first.session.moment.future)",
    "def broken():\n    raise RuntimeError('a cosmic ray')\nfirst.session.run.advance = broken",
    "print('first is', first.session.moment.status)",
)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[sync_api.Page]:
    with opened(tmp_path, CELLS) as page:
        for number in (0, 1, 2):
            run_cell(page, number)
        yield page


class Lab:
    """One laboratory on the page, as somebody without a mouse meets it."""

    def __init__(self, page: sync_api.Page, place: int, labs: sync_api.Locator | None = None) -> None:
        labs = labs or page.locator(".jp-OutputArea-output:has(img.widget-image)")
        self.page, self.area = page, labs.nth(place)
        self.status = self.area.get_by_role("status")
        self.twin = self.area.get_by_role("group", name="The picture in words")
        self.alert = self.area.get_by_role("alert")

    def press(self, name: str) -> None:
        self.area.get_by_role("button", name=re.compile(f"{name}$")).focus()
        self.page.keyboard.press("Enter")

    def slider(self, place: int) -> sync_api.Locator:
        """Learning rate, dropout, L2, momentum, back to step."""
        return self.area.locator(".noUi-handle").nth(place)

    def picture(self) -> str:
        return self.area.locator("img.widget-image").get_attribute("src")

    def step(self) -> int:
        return int(re.search(r"step (\d+)", self.twin.inner_text())[1])


def test_a_training_is_steered_rewound_and_compared(page: sync_api.Page) -> None:
    first, second = Lab(page, 0), Lab(page, 1)
    expect(first.status).to_contain_text("Press Start: step 0")
    expect(second.status).to_contain_text("Press Start: step 0")

    first.press("Start")
    expect(first.status).to_contain_text("Training")
    expect(first.twin).not_to_contain_text("step 0,")
    before = first.picture()
    first.slider(0).focus()
    page.keyboard.press("ArrowRight")  # while it trains
    expect(first.twin).to_contain_text(re.compile(r"At step \d+: learning rate 0.001 → 0.00126\."))
    expect(first.twin).to_contain_text("learning rate 0.00126, dropout")
    assert first.picture() != before
    run_cell(page, 3)
    expect(page.locator(".jp-OutputArea")).to_contain_text(["kernel says 0.00126 A"])
    turned = int(re.search(r"At step (\d+): learning", first.twin.inner_text())[1])

    second.press("Start")  # beside the first, which goes on
    expect(second.twin).to_contain_text(re.compile(r"epoch [1-9]"))
    second.press("Pause")
    expect(second.status).to_contain_text("Paused")
    expect(second.twin).to_contain_text("learning rate 0.001,")
    expect(second.twin).not_to_contain_text("At step")

    first.press("Pause")
    expect(first.status).to_contain_text("Paused")
    arrived = first.step()
    assert arrived > turned
    first.press("One step")
    expect(first.twin).to_contain_text(f"step {arrived + 1},")

    first.slider(4).focus()  # back to the beginning
    page.keyboard.press("Home")
    first.press("Go back")
    expect(first.status).to_contain_text("Paused: step 0")
    number = first.area.get_by_role("spinbutton", name="dropout")
    number.fill("0.5")
    number.press("Enter")
    expect(first.twin).to_contain_text("At step 0: dropout as built → 0.5")
    first.press("Start")
    expect(first.twin).to_contain_text("Future A: from the beginning")
    expect(first.twin).to_contain_text("Future B: dropout as built → 0.5 at step 0")
    expect(first.twin).to_contain_text(re.compile(r"Future B: [^:]*: best development loss"))

    number.fill("1.5")
    number.press("Enter")
    expect(first.alert).to_contain_text("dropout 1.5 is not possible")
    first.press("Write story")
    expect(first.area.locator("textarea")).to_have_value(re.compile(r'"kind": "tinylab story".*\[0, "dropout", 0.5\]'))
    second.area.locator("textarea").fill(first.area.locator("textarea").input_value())
    second.press("Replay")
    expect(second.status).to_contain_text("bit for bit")

    run_cell(page, 4)
    expect(first.alert).to_contain_text("RuntimeError: a cosmic ray")
    expect(first.status).to_contain_text("Failed")


def test_running_the_cell_again_ends_the_laboratory_it_made(page: sync_api.Page) -> None:
    Lab(page, 0).press("Start")
    expect(Lab(page, 0).status).to_contain_text("Training")
    page.evaluate("() => window.jupyterapp.shell.currentWidget.content.widgets[1].model.sharedModel.setSource("
                  "'kept = first; first = LiveLab(data, line, recipe); first')")  # fmt: skip
    run_cell(page, 1)
    expect(Lab(page, 0).status).to_contain_text("Press Start: step 0")
    page.evaluate("() => window.jupyterapp.shell.currentWidget.content.widgets[5].model.sharedModel.setSource("
                  "'print([each.session.moment.status for each in (kept, first, second)])')")  # fmt: skip
    run_cell(page, 5)
    expect(page.locator(".jp-OutputArea").last).to_contain_text("['closed', 'waiting', 'waiting']")


# ---------------------------------------------------------------- in the lecture itself

LECTURE = Path(__file__).parents[2] / "notebooks" / "03_model_1.ipynb"


def needed(cells: list[NotebookNode], place: int) -> list[int]:
    """The code cells that make the names which the cell at `place` reads, and theirs, in order."""
    chosen, wanted = [], set()
    for number in range(place, -1, -1):
        if cells[number].cell_type == "code":
            made, read = (_names(cells[number].source, context) for context in (ast.Store, ast.Load))
            if number == place or made & wanted:
                chosen.append(number)
                wanted = (wanted | read) - made
    return chosen[::-1]


def _names(source: str, context: type[ast.expr_context]) -> set[str]:
    nodes = list(ast.walk(ast.parse(source)))
    found = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, context)}
    if context is ast.Store:
        aliases = (alias for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names)
        found |= {alias.asname or alias.name.split(".")[0] for alias in aliases}
        found |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    return found


def test_lecture_03_is_taught_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lecture's own cells and its own laboratory, steered while Model 1 trains; a second one beside it."""
    monkeypatch.setenv("TINYLAB_PROFILE", "lecture")
    cells = nbformat.read(LECTURE, as_version=4).cells
    [place] = [number for number, cell in enumerate(cells) if "lab.LiveLab(" in cell.source]
    twin = nbformat.v4.new_code_cell("second = lab.LiveLab(few, 'model_1', plain, epochs=20)\nsecond")
    for cell in cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    with opened(tmp_path, [*cells, twin]) as page:
        for number in (*needed(cells, place), len(cells)):
            run_cell(page, number)
        labs = page.locator(".jp-OutputArea-output:has(textarea)")
        first, second = Lab(page, 0, labs), Lab(page, 1, labs)
        expect(second.status).to_contain_text("Press Start")  # the page has settled: it scrolls as outputs arrive
        expect(first.status).to_contain_text("Press Start")
        first.press("Start")
        expect(first.status).to_contain_text("Training")
        expect(first.twin).not_to_contain_text("step 0,")
        first.slider(0).focus()
        page.keyboard.press("ArrowLeft")
        expect(first.twin).to_contain_text(re.compile(r"At step \d+: learning rate 0.001 → 0.000794\."))
        first.press("Pause")
        expect(first.status).to_contain_text("Paused")

        second.press("One step")
        expect(second.twin).to_contain_text("step 1,")
        expect(second.twin).not_to_contain_text("At step")

        first.slider(4).focus()
        page.keyboard.press("Home")
        first.press("Go back")
        expect(first.status).to_contain_text("Paused: step 0")
        first.slider(1).focus()
        for _ in range(5):
            page.keyboard.press("ArrowRight")
        expect(first.twin).to_contain_text(re.compile(r"At step 0: dropout 0 → 0\.\d+"))
        first.press("One step")
        expect(first.twin).to_contain_text("Future A: from the beginning")
        expect(first.twin).to_contain_text(re.compile(r"Future B: dropout 0 → 0\.\d+ at step 0"))
