"""Decks in a real Chromium, opened from the disk: nothing cut off, nothing too small, every key does what it says."""

import json
import os
import re
from pathlib import Path

import nbformat
import pytest
from playwright import sync_api

from tests.browser import jupyter
from tests.tools.notebooks import crafted
from tinylab import course
from tinylab.tools.notebooks import slides

pytestmark = pytest.mark.skipif(jupyter.CHROMIUM is None and "CI" not in os.environ, reason="no Chromium here")

LECTURES = [path for path in course.find() if path.stem in ("01_data", "09_test_set")]
LEAST = 18  # pixels of text at 1920 × 1080, formulas' small indices excepted
FAULTS = """least => Reveal.getSlides().flatMap((slide, number) => {
    const found = [];
    const {h, v} = Reveal.getIndices(slide);
    Reveal.slide(h, v, 99);
    const room = slide.getBoundingClientRect();
    if (room.width !== 1920 || room.height !== 1080) found.push(`the slide is ${room.width} × ${room.height}`);
    if (slide.matches('.scrolls')) found.push('has to be scrolled');
    if (!slide.querySelector('h1, h2, h3, .head')?.textContent) found.push('no heading');
    const code = [...slide.querySelectorAll('.input pre')].map(part => part.textContent.trimEnd().split('\\n').length);
    if (code.reduce((sum, lines) => sum + lines, 0) > 15) found.push('more than 15 lines of code');
    const shown = '.text_cell, .input, .output_area';
    const hollow = [...slide.querySelectorAll('.fragment')].filter(part => !part.querySelector(shown));
    if (hollow.length) found.push('a key for nothing');
    for (const part of slide.querySelectorAll('*:not(math *)')) {
        const {left, right, top, bottom, width, height} = part.getBoundingClientRect();
        if (!width || !height || part.closest('aside')) continue;
        const name = part.tagName + ' ' + part.textContent.trim().slice(0, 30);
        if (left < 0 || top < 0 || right > 1920 || bottom > 1080) found.push('cut off by the edge: ' + name);
        if (part.scrollWidth > part.clientWidth + 1 && getComputedStyle(part).overflowX !== 'visible')
            found.push('cut off at its side: ' + name);
        const own = [...part.childNodes].some(node => node.nodeType === 3 && node.data.trim());
        const size = parseFloat(getComputedStyle(part).fontSize);
        if (own && size < (part.closest('.input') ? 28 : least)) found.push(`text of ${size} px: ` + name);
        if (part.tagName === 'IMG' && !part.alt) found.push('a picture without alt text');
        if (part.tagName === 'IMG' && width < part.getAttribute('width') - 1) found.push('a picture made smaller');
    }
    return found.map(fault => `slide ${number + 1}: ${fault}`);
})"""


def _long() -> nbformat.NotebookNode:
    """A short slide, one with a fragment and a note, one that goes on at a fourth too long for any screen, the last."""
    made = crafted.notebook(
        "# %%md\n## Second", "1 + 1", "# %%md\nSay this aloud.", "# %%md\n## Third", "print()", "# %%md\n## Last"
    )
    for count, cell in enumerate([cell for cell in made.cells if cell.cell_type == "code"], start=1):
        cell.execution_count = count
    for place, kind in {1: "skip", 3: "fragment", 4: "notes", 6: "-"}.items():
        made.cells[place].metadata = nbformat.from_dict({"slideshow": {"slide_type": kind}})
    made.cells[6].outputs = [nbformat.v4.new_output("stream", name="stdout", text="a line\n" * 200)]
    return made


@pytest.fixture(scope="module")
def decks(tmp_path_factory) -> Path:
    """The folder of the decks."""
    folder = tmp_path_factory.mktemp("decks")
    rows = "| min | from |\n|---|---|\n| 0–5 | 01 · A small one |\n| 5–9 | Second |\n"
    (folder / slides.NOTES).write_text(f"## 01 · A small one\nThe plan.\n\n{rows}", encoding="utf-8")
    return slides.write([*LECTURES, crafted.write(folder, "00_long", _long())], folder / "out").parent


def _opened(browser: sync_api.Browser, file: Path, after: str = "", **options) -> sync_api.Page:
    """The deck, ready; any request for something outside the file is an error."""
    page = browser.new_context(**({"viewport": {"width": 1920, "height": 1080}} | options)).new_page()
    page.set_default_timeout(jupyter.PATIENCE)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: asked.append(str(error)))
    page.goto(file.as_uri() + after)
    page.wait_for_selector("body[data-ready]")
    assert [url for url in asked if not url.startswith(("data:", file.as_uri()))] == []
    return page


@pytest.mark.parametrize("path", LECTURES, ids=lambda path: path.stem)
def test_nothing_is_cut_off_and_all_text_is_large_enough(browser, decks, path):
    page = _opened(browser, decks / f"{path.stem}.html")
    assert page.evaluate("Reveal.getTotalSlides()") > 20
    assert page.evaluate(FAULTS, LEAST) == []
    texts = page.locator(".slides > section").all_text_contents()
    kept = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "markdown"]
    words = re.findall(r"\w+", " ".join(texts))
    last = re.findall(r"[a-z]+", "".join(kept[-2]["source"]))[-1]
    assert last in words  # what was moved to a further slide is still there


def test_what_a_cell_puts_out_stays_with_its_code(browser, decks):
    """Where both fit on a slide; in 01 all do, but for pictures, which are large."""
    page = _opened(browser, decks / "01_data.html")
    alone = "one => one.querySelector('.output_area') && !one.querySelector('.input, .text_cell, img')"
    assert page.evaluate(f"Reveal.getSlides().filter({alone}).length") == 0


def test_the_check_sees_what_is_too_small_or_cut_off(browser, decks):
    page = _opened(browser, decks / "01_data.html")
    page.evaluate("Reveal.getSlides()[2].style.fontSize = '15px'")
    page.evaluate("Reveal.getSlides()[3].querySelector('table').style.marginTop = '700px'")
    found = page.evaluate(FAULTS, LEAST)
    assert any(re.match(r"slide 3: text of 1\d", fault) for fault in found)
    assert any(fault.startswith("slide 4: cut off by the edge") for fault in found)


def _place(page: sync_api.Page) -> tuple[int, int]:
    """The slide shown, from 1, and how many of its fragments are."""
    return tuple(page.evaluate("[Reveal.getSlidePastCount() + 1, Reveal.getIndices().f ?? -1]"))  # type: ignore[return-value]


def test_keys_lead_through_slides_and_fragments(browser, decks):
    page = _opened(browser, decks / "00_long.html")
    seen = []
    for key in ("ArrowRight", "Space", "ArrowLeft", "PageDown", "PageDown", "ArrowRight", "PageUp", "Home", "End"):
        page.keyboard.press(key)
        seen.append(_place(page))
    assert seen == [(2, -1), (2, 0), (2, -1), (2, 0), (3, -1), (4, -1), (3, -1), (1, -1), (5, -1)]
    page.wait_for_function("location.hash === '#/3'")  # counted as headings are: the third goes on at "#/2/1"
    again = _opened(browser, decks / "00_long.html", "#/3")
    assert _place(again) == (5, -1)


def test_what_fits_no_screen_is_scrolled_by_key(browser, decks):
    page = _opened(browser, decks / "00_long.html", "#/2/1")
    slide = page.locator("section.scrolls.present")
    whole = slide.evaluate("one => one.scrollHeight")
    assert whole > 2 * 1080
    moves = 0
    while _place(page)[0] == 4:
        before = slide.evaluate("one => one.scrollTop + one.clientHeight")
        page.keyboard.press("ArrowDown")
        moves += 1
        assert moves < 50
    assert moves > 3
    assert before >= whole - 1  # the end was seen before the next slide came


def test_notes_and_theme(browser, decks):
    page = _opened(browser, decks / "00_long.html", "#/1", color_scheme="dark")
    body, paper = page.locator("body"), "one => getComputedStyle(one).backgroundColor"
    with page.expect_popup() as opened:
        page.keyboard.press("s")
    notes = opened.value.locator("body")
    assert "Second" in notes.inner_text()
    assert "Say this aloud" in notes.inner_text()
    assert "5–9" in notes.inner_text()  # its row of the plan
    assert "0–5" not in notes.inner_text()
    assert "The plan" not in notes.inner_text()
    assert "Say this aloud" not in page.locator(".slides").inner_text()  # the audience does not see it
    for key in ("ArrowLeft", "ArrowLeft", "ArrowLeft"):
        opened.value.keyboard.press(key)
    sync_api.expect(notes).to_contain_text("The plan")
    sync_api.expect(notes).not_to_contain_text("Say this aloud")
    opened.value.close()
    dark = body.evaluate(paper)
    page.keyboard.press("t")
    assert body.evaluate(paper) != dark
    assert sum(map(int, re.findall(r"\d+", dark)[:3])) < 200


def test_a_page_for_each_slide_when_printed(browser, decks, tmp_path):
    page = _opened(browser, decks / "01_data.html", "?print-pdf")
    count = page.evaluate("Reveal.getTotalSlides()")
    page.wait_for_function("document.querySelectorAll('.pdf-page').length")
    edges = "all => all.map(one => one.getBoundingClientRect().left)"
    assert min(page.locator(".pdf-page :is(p, pre, img)").evaluate_all(edges)) > 50
    pdf = page.pdf(prefer_css_page_size=True, print_background=True)
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == count


def test_small_and_narrow_screens_show_the_whole_slide(browser, decks):
    for width, height in ((1024, 768), (390, 844)):
        page = _opened(browser, decks / "01_data.html", "#/3", viewport={"width": width, "height": height})
        box = page.locator("section.present:not(:has(section))").bounding_box()
        assert box is not None
        assert box["x"] >= -1
        assert box["y"] >= -1
        assert box["x"] + box["width"] <= width + 1
        assert box["y"] + box["height"] <= height + 1
