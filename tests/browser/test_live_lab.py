"""The live laboratory in a real JupyterLab: steered by keyboard while the network trains, seen as a class sees it."""

import ast
import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from playwright import sync_api
from playwright.sync_api import expect

from tests.browser.jupyter import CHROMIUM, IDLE, Server, run_cell, served

pytestmark = [
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(CHROMIUM is None and "CI" not in os.environ, reason="no Chromium here"),
]

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
data = Dataset("tiny", ("n0", "n1", "n2"), ("cat", "spotted salamander", "owl"), *parts)
line = "conv3-8 - relu - max pool - dropout - softmax"
recipe = Recipe(epochs=30000, batch=10, learning_rate=0.001)  # minutes: it must not end while it is steered
"""
CELLS = (
    SETUP,
    "first = LiveLab(data, line, recipe)\nfirst",
    "second = LiveLab(data, line, recipe)\nsecond",
    "run = first.session.run\nprint('kernel says', run.optimizer.param_groups[0]['lr'], first.session.status.branch)",
    "def broken():\n    raise RuntimeError('a cosmic ray')\nfirst.session.run.advance = broken",
    "print('first is', first.session.status.phase)",
)
SCREEN = (1280, 800)


@pytest.fixture
def page(jupyterlab: Server) -> Iterator[sync_api.Page]:
    with jupyterlab.opened(CELLS, SCREEN) as page:
        for number in (0, 1, 2):
            run_cell(page, number)
        yield page


class Lab:
    """One laboratory on the page, as somebody without a mouse meets it."""

    def __init__(self, page: sync_api.Page, place: int) -> None:
        self.page, self.area = page, page.locator(".tinylab-lab").nth(place)
        self.status, self.alert = self.area.get_by_role("status"), self.area.get_by_role("alert")
        self.now, self.chart = self.area.locator(".now"), self.area.locator("> canvas")

    def press(self, name: str) -> None:
        self.area.get_by_role("button", name=re.compile(f"{name}$")).focus()
        self.page.keyboard.press("Enter")

    def slider(self, name: str) -> sync_api.Locator:
        return self.area.get_by_role("slider", name=name, exact=True)

    def words(self) -> sync_api.Locator:
        """The text twin, unfolded."""
        twin = self.area.get_by_role("group", name="The picture in words")
        if not twin.is_visible():
            self.area.get_by_text("In words").click()
        return twin

    def unfold(self, name: str) -> None:
        self.area.locator("summary", has_text=name).click()

    def step(self) -> int:
        return int(self.chart.get_attribute("data-step"))

    def reaches(self, step: int) -> None:
        """Wait until the chart shows this step."""
        self.page.wait_for_function(
            "([canvas, step]) => Number(canvas.dataset.step) >= step", arg=[self.chart.element_handle(), step]
        )


def change_cell(page: sync_api.Page, number: int, source: str) -> None:
    page.evaluate(
        "([number, source]) => window.jupyterapp.shell.currentWidget.content.widgets[number].model.sharedModel"
        ".setSource(source)",
        [number, source],
    )


def command(page: sync_api.Page, name: str, arguments: dict[str, object] | None = None) -> None:
    """A command of JupyterLab."""
    page.evaluate("([name, given]) => window.jupyterapp.commands.execute(name, given)", [name, arguments or {}])


def test_a_training_is_steered_rewound_and_compared(page: sync_api.Page) -> None:
    first, second = Lab(page, 0), Lab(page, 1)
    expect(first.now).to_contain_text("Press Start: step 0")
    expect(second.now).to_contain_text("Press Start: step 0")

    first.press("Start")
    expect(first.status).to_contain_text("Training")
    first.reaches(1)
    first.slider("learning rate").focus()
    page.keyboard.press("ArrowRight")  # while it trains
    expect(first.chart).to_have_attribute("data-marks", "learning rate 0.001 → 0.00126")
    expect(first.area.get_by_role("spinbutton", name="learning rate")).to_have_value("0.00126")
    expect(first.area.locator(".pending")).to_have_count(0)
    run_cell(page, 3)
    expect(page.locator(".jp-OutputArea")).to_contain_text(["kernel says 0.00126 A"])

    second.press("Start")  # beside the first, which goes on
    second.reaches(10)
    second.press("Pause")
    expect(second.status).to_contain_text("Paused")
    expect(second.chart).to_have_attribute("data-marks", "")
    second.unfold("Script")
    second.press("Write script")
    told = second.area.get_by_role("textbox", name="script")
    expect(told).to_have_value(re.compile("tinylab script"))
    second.chart.focus()
    page.keyboard.press("End")  # a moment that the replay of a shorter script does not reach
    told.fill(json.dumps(json.loads(told.input_value()) | {"steps": 3, "loss": None}))
    second.press("Replay")
    expect(second.chart).to_have_attribute("data-step", "3")
    expect(second.area.locator(".reading")).to_contain_text("Step 0; arrives at step 0")

    first.press("Pause")
    expect(first.status).to_contain_text("Paused")
    arrived = first.step()
    first.press("One step")
    expect(first.now).to_contain_text(f"step {arrived + 1},")
    expect(first.chart).to_have_attribute("data-step", str(arrived + 1))  # one step number, wherever one looks

    first.chart.focus()  # back to the beginning, on the chart itself
    page.keyboard.press("Home")
    expect(first.area.locator(".reading")).to_contain_text("Step 0; arrives at step 0")
    page.keyboard.press("Enter")
    expect(first.now).to_contain_text("Paused: step 0")
    number = first.area.get_by_role("spinbutton", name="dropout")
    number.fill("0.5")
    number.press("Enter")
    expect(first.chart).to_have_attribute("data-marks", "dropout as built → 0.5")
    first.press("Start")
    expect(first.area.locator(".key")).to_contain_text("A from the beginning")
    expect(first.area.locator(".key")).to_contain_text(re.compile("B dropout as built → 0.5 at step 0: best dev"))
    expect(first.words()).to_contain_text("Branch B: dropout as built → 0.5 at step 0")

    number.fill("1.5")
    number.press("Enter")
    expect(first.alert).to_contain_text("dropout 1.5 is not possible")
    expect(number).to_have_value("0.5")
    first.unfold("Script")
    first.press("Write script")
    script = first.area.get_by_role("textbox", name="script")
    expect(script).to_have_value(re.compile(r'"kind": "tinylab script".*\[0, "dropout", 0.5\]'))
    told.fill(script.input_value())
    second.press("Replay")
    expect(second.status).to_contain_text("bit for bit")

    run_cell(page, 4)
    expect(first.alert).to_contain_text("RuntimeError: a cosmic ray")
    expect(first.status).to_contain_text("Failed")


def test_every_batch_is_seen_and_a_moved_slider_at_once(page: sync_api.Page) -> None:
    """Counts, not times: a chart in six frames of the browser (600 a minute at 60 Hz), or for every second batch."""
    lab = Lab(page, 0)
    lab.press("Start")
    lab.reaches(20)
    seen = page.evaluate(
        """canvas => new Promise(done => {
            const charts = new Set(), first = Number(canvas.dataset.step);
            let frames = 0;
            const look = () => {
                charts.add(canvas.dataset.step);
                const batches = Number(canvas.dataset.step) - first;
                ++frames < 200 ? requestAnimationFrame(look) : done({charts: charts.size, frames, batches});
            };
            look();
        })""",
        lab.chart.element_handle(),
    )
    assert seen["charts"] >= min(seen["frames"] / 6, seen["batches"] / 2), seen
    lab.slider("learning rate").focus()
    for place in range(50):  # each of them becomes a mark, or changes one; 20 stops to its end
        before = lab.chart.get_attribute("data-marks")
        page.keyboard.press("ArrowLeft" if place % 40 < 20 else "ArrowRight")
        expect(lab.chart).not_to_have_attribute("data-marks", before)


def test_everything_is_on_one_screen(page: sync_api.Page) -> None:
    """At 1280×800, beside the file browser, with two branches; and nothing of it lies beyond its own edge."""
    lab = Lab(page, 0)
    lab.press("Start")
    lab.reaches(12)
    lab.press("Pause")
    lab.chart.focus()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    lab.press("One step")
    expect(lab.area.locator(".key > div")).to_have_count(2)
    lab.area.evaluate("lab => lab.scrollIntoView({block: 'start'})")
    panel = page.locator(".jp-WindowedPanel-outer").bounding_box()
    parts = lab.area.locator("button:visible, input:visible, select:visible, canvas, .now, .key, summary, .strip span")
    boxes = [(each.evaluate("part => part.outerHTML.slice(0, 60)"), each.bounding_box()) for each in parts.all()]
    out = [
        text
        for text, box in boxes
        if box["y"] < panel["y"] - 1
        or box["y"] + box["height"] > panel["y"] + panel["height"] + 1
        or box["x"] < panel["x"] - 1
        or box["x"] + box["width"] > panel["x"] + panel["width"] + 1
    ]
    assert out == []
    assert len(boxes) > 40
    assert lab.area.bounding_box()["height"] <= 600
    cut = lab.area.locator(".strip span, .key, .now").evaluate_all(
        "parts => parts.filter(part => part.scrollWidth > part.clientWidth + 1).map(part => part.textContent)"
    )
    assert cut == []
    page.set_viewport_size({"width": 390, "height": 1200})
    command(page, "application:toggle-left-area")
    expect(lab.area.locator(".knobs")).to_have_css("grid-template-columns", re.compile(r"^[\d.]+px$"))  # one column
    wide = lab.area.evaluate("lab => lab.scrollWidth - lab.clientWidth")
    assert wide <= 0


def test_the_page_follows_the_theme(page: sync_api.Page) -> None:
    lab = Lab(page, 0)
    shade = "canvas => Math.max(...canvas.getContext('2d').getImageData(2, 40, 1, 1).data.slice(0, 3))"
    expect(lab.now).to_contain_text("Press Start")
    lab.reaches(0)
    assert lab.chart.evaluate(shade) > 240
    try:
        command(page, "apputils:change-theme", {"theme": "JupyterLab Dark"})
        expect(page.locator("body")).to_have_attribute("data-jp-theme-light", "false")
        # JupyterLab hides its page for a frame meanwhile: what is drawn then is lost, and has to be drawn again
        page.wait_for_function(f"canvas => ({shade})(canvas) < 60", arg=lab.chart.element_handle())
    finally:  # a setting, which the next test would find
        command(page, "apputils:change-theme", {"theme": "JupyterLab Light"})


def test_a_closed_tab_a_running_cell_and_a_restarted_kernel(page: sync_api.Page, jupyterlab: Server) -> None:
    lab = Lab(page, 0)
    path = page.evaluate("() => window.jupyterapp.shell.currentWidget.context.path")
    lab.press("Start")
    lab.reaches(10)
    change_cell(page, 5, "import os, time\nwhile not os.path.exists('go'):\n    time.sleep(0.05)")
    page.evaluate(
        """() => {
            const notebook = window.jupyterapp.shell.currentWidget.content;
            notebook.activeCellIndex = 5;
            notebook.deselectAll();
            window.jupyterapp.commands.execute('notebook:run-cell');  // and does not wait
        }"""
    )
    expect(page.locator(".jp-Cell").nth(5).locator(".jp-InputPrompt")).to_contain_text("*")
    Lab(page, 1).press("One step")
    expect(Lab(page, 1).chart).to_have_attribute("data-step", "1")
    lab.slider("momentum").focus()
    page.keyboard.press("ArrowLeft")
    expect(lab.chart).to_have_attribute("data-marks", re.compile("momentum 0.9 → 0.85"))  # while the cell runs
    expect(lab.area.locator(".pending")).to_have_count(0)
    (jupyterlab.folder / path).with_name("go").touch()
    page.wait_for_function(IDLE)

    lab.press("Pause")
    expect(page.locator(".jp-Cell").nth(1).locator(".tinylab-gone img")).to_be_attached()
    lab.press("Start")
    # what a training writes after the save may make JupyterLab ask whether to save once more
    page.add_locator_handler(page.locator(".jp-Dialog"), lambda asked: asked.locator(".jp-mod-accept").click())
    command(page, "docmanager:save")
    before = lab.step()
    command(page, "application:close")
    expect(page.locator(".tinylab-lab")).to_have_count(0)
    for _ in range(3):  # on a busy machine JupyterLab may open a notebook without its widgets; a reader opens it again
        command(page, "docmanager:open", {"path": path})
        with contextlib.suppress(AssertionError):
            expect(lab.chart).to_be_visible(timeout=40_000)
            break
        command(page, "application:close")
    lab.reaches(before + 1)  # it trained on, and the page has all of it
    expect(lab.chart).to_have_attribute("data-marks", re.compile("momentum"))

    page.evaluate("() => { window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart(); }")
    expect(lab.alert).to_contain_text("The kernel of this laboratory is gone")
    expect(lab.area.get_by_role("button", name=re.compile("Start$"))).to_be_disabled()
    page.wait_for_function(IDLE)
    expect(lab.alert).to_contain_text("Run the cell again")  # also when there is another kernel
    expect(page.locator(".tinylab-gone").first).to_be_hidden()
    command(page, "docmanager:save")
    page.reload()
    gone = page.locator(".tinylab-gone").first
    expect(gone).to_be_visible()
    expect(gone.locator("img")).to_have_attribute("alt", re.compile("momentum"))  # the still of the last pause
    expect(page.get_by_text("model not found")).to_be_hidden()  # JupyterLab's own words for it


def test_it_lives_in_notebook_7_as_well(browser: sync_api.Browser, tmp_path: Path) -> None:
    with served(tmp_path, browser, "notebook") as server, server.opened(CELLS[:2], SCREEN) as page:
        for number in (0, 1):
            run_cell(page, number)
        lab = Lab(page, 0)
        lab.press("Start")
        lab.reaches(5)
        lab.slider("learning rate").focus()
        page.keyboard.press("ArrowRight")
        expect(lab.chart).to_have_attribute("data-marks", "learning rate 0.001 → 0.00126")
        lab.press("Pause")
        expect(lab.status).to_contain_text("Paused")


def test_running_the_cell_again_ends_the_laboratory_it_made(page: sync_api.Page) -> None:
    Lab(page, 0).press("Start")
    expect(Lab(page, 0).status).to_contain_text("Training")
    change_cell(page, 1, "kept = first; first = LiveLab(data, line, recipe); first")
    run_cell(page, 1)
    expect(Lab(page, 0).now).to_contain_text("Press Start: step 0")
    change_cell(page, 5, "print([each.session.status.phase for each in (kept, first, second)])")
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


def test_lecture_03_is_taught_live(jupyterlab: Server) -> None:
    """The lecture's own cells and its own laboratory, steered while Model 1 trains; a second one beside it."""
    cells = nbformat.read(LECTURE, as_version=4).cells
    [place] = [number for number, cell in enumerate(cells) if "lab.LiveLab(" in cell.source]
    twin = nbformat.v4.new_code_cell("second = lab.LiveLab(few, 'model_1', plain, epochs=20)\nsecond")
    for cell in cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    with jupyterlab.opened(["%env TINYLAB_PROFILE=lecture", *cells, twin]) as page:
        for number in (-1, *needed(cells, place), len(cells)):
            run_cell(page, number + 1)
        first, second = Lab(page, 0), Lab(page, 1)
        expect(second.now).to_contain_text("Press Start")  # the page has settled: it scrolls as outputs arrive
        expect(first.now).to_contain_text("Press Start")
        first.press("Start")
        expect(first.status).to_contain_text("Training")
        first.reaches(1)
        first.slider("learning rate").focus()
        page.keyboard.press("ArrowLeft")
        expect(first.chart).to_have_attribute("data-marks", "learning rate 0.001 → 0.000794")
        first.press("Pause")
        expect(first.status).to_contain_text("Paused")

        second.press("One step")
        expect(second.chart).to_have_attribute("data-step", "1")
        expect(second.chart).to_have_attribute("data-marks", "")

        first.chart.focus()
        page.keyboard.press("Home")
        page.keyboard.press("Enter")
        expect(first.now).to_contain_text("Paused: step 0")
        first.slider("dropout").focus()
        for _ in range(5):
            page.keyboard.press("ArrowRight")
        expect(first.chart).to_have_attribute("data-marks", "dropout 0 → 0.25")
        first.press("One step")
        expect(first.words()).to_contain_text("Branch A: from the beginning")
        expect(first.words()).to_contain_text("Branch B: dropout 0 → 0.25 at step 0")
