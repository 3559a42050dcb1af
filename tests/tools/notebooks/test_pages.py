"""The pages: readable without a network or a kernel, and telling the truth."""

import base64
import html.parser
import io
import json
import re

import nbformat
import pytest
from PIL import Image

from tinylab import course
from tinylab.tools.notebooks import pages
from tinylab.tools.notebooks.inspection import Fault
from tinylab.tools.notebooks.runner import Outcome

from . import crafted


def _png() -> str:
    file = io.BytesIO()
    Image.new("RGB", (8, 6), "white").save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def _outcome(tmp_path, name, title, faults=()):
    made = crafted.notebook(
        "# %%md\n## First\nThe loss is $\\ln C$; see `$HOME` and <b>bold</b>.\n\n![a drawing](drawing.png)\n\n"
        "<details>\n<summary>Hint</summary>\n\nLook *here*.\n\n</details>",
        "picture",
        "slider",
        "control",
        "# %%md\n## Second\nMore.",
        "print('<tag> & text')",
        title=title,
    )
    code = [cell for cell in made.cells if cell.cell_type == "code"]
    for count, cell in enumerate(code, start=1):
        cell.execution_count = count
    alt = {"image/png": {"alt": 'Curves that "fall" & rise'}}
    new = nbformat.v4.new_output
    code[1].outputs = [
        new("display_data", {"image/png": _png(), "text/plain": "Curves"}, metadata=alt),
        new("display_data", {"image/png": _png(), "text/plain": "only text beside it"}),
    ]
    code[2].outputs = [new("display_data", {pages.WIDGET: {"model_id": "1"}, "text/plain": "IntSlider(value=1)"})]
    still = {pages.WIDGET: {"model_id": "2"}, "image/png": _png(), "text/plain": "the still picture"}
    code[3].outputs = [new("display_data", still)]
    pieces = ["<tag> & text\n", "and more,\n", "printed later\n"]
    code[4].outputs = [new("stream", name="stdout", text=text) for text in pieces]
    (tmp_path / "drawing.png").write_bytes(base64.b64decode(_png()))
    return Outcome(
        crafted.write(tmp_path, name, made),
        title,
        cells=5,
        status="failed" if faults else "ok",
        seconds=75.4,
        faults=list(faults),
        notebook=made,
        key_figures=[{"name": "accuracy <val>", "text": "41 %"}],
        settings={"device": "CPU (2 threads)"},
    )


@pytest.fixture
def written(tmp_path):
    fault = Fault(3, "slider", "in a widget callback: ValueError: <x>")
    outcomes = [
        _outcome(tmp_path, "01_data", "01 · The data & more"),
        _outcome(tmp_path, "02_layers", "02 · Layers", [fault]),
        Outcome(tmp_path / "03_gone.ipynb", "03_gone", 0, "failed", faults=[Fault(None, "", "not readable")]),
    ]
    out = tmp_path / "out"
    index = pages.write(out, outcomes, profile="smoke", data="sample", seed=3, seconds=150)
    assert index == out / "index.html"
    return {path.name: path.read_text(encoding="utf-8") for path in out.iterdir()}


class _Links(html.parser.HTMLParser):
    """Everything that a browser would fetch, and the pictures' alt texts."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.alts: list[str | None] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        found = dict(attributes)
        if tag == "img":
            self.alts.append(found.get("alt"))
        if tag in ("img", "script", "iframe", "link", "source"):
            self.fetched.append(found.get("src") or found.get("href") or "")


def test_pages_need_no_network_and_lectures_no_script(written):
    for name in ("01_data.html", "02_layers.html", "03_gone.html", "index.html"):
        links = _Links()
        links.feed(written[name])
        assert all(source.startswith("data:") or not source for source in links.fetched), name
        assert ("script" in links.tags) == (name == "index.html")
        assert "src=" not in "".join(re.findall(r"<script[^>]*>", written[name]))
        styles = "".join(re.findall(r"<style>.*?</style>", written[name], re.DOTALL))
        assert "@import" not in styles
        assert "url(" not in styles


def test_alt_text_is_kept_and_every_picture_has_one(written):
    links = _Links()
    links.feed(written["01_data.html"])
    assert links.alts == [
        "a drawing",
        'Curves that "fall" & rise',
        "only text beside it",
        "the still picture",
    ]


def test_formulas_widgets_and_prompts(written):
    page = written["01_data.html"]
    assert "<math" in page
    assert "<code>$HOME</code>" in page
    assert "<b>bold</b>" in page
    assert re.search(r"<details>\s*<summary>Hint</summary>\s*<p>Look <em>here</em>.</p>\s*</details>", page)
    assert "IntSlider" not in page  # a control without a picture is said to need a kernel
    assert "needs a running kernel" in page
    assert "widget-view" not in page
    assert "&lt;tag&gt; &amp; text\nand more,\nprinted later" in page  # one block, however it came
    assert "In&nbsp;[" not in page
    assert "profile = None" not in re.sub(r"<[^>]+>", "", page)  # the parameters cell


def test_pages_link_to_each_other_and_to_their_sections(written):
    first, second, third = (written[f"{name}.html"] for name in ("01_data", "02_layers", "03_gone"))
    assert 'href="02_layers.html" rel="next"' in first
    assert 'rel="prev"' not in first
    assert 'href="01_data.html" rel="prev"' in second
    assert 'href="03_gone.html" rel="next"' in second
    assert 'rel="next"' not in third
    for page in (first, second, third):
        assert 'href="index.html"' in page
    for target in re.findall(r'<li><a href="#([^"]+)">', first):
        assert f'id="{target}"' in first
    assert "01 · The data &amp; more</title>" in first


def test_a_failed_lecture_says_so_on_top_and_at_its_cell(written):
    page = written["02_layers.html"]
    banner = page.index("This lecture failed")
    assert banner < page.index("<main>")
    assert "ValueError: &lt;x&gt;" in page
    anchor = re.search(r'<a href="#(cell-id=[^"]+)">cell 3', page)
    assert anchor
    assert re.search(rf'at-fault[^>]*id="?{re.escape(anchor[1])}|id="?{re.escape(anchor[1])}[^>]*at-fault', page)
    assert "This lecture failed" not in written["01_data.html"]
    assert "not readable" in written["03_gone.html"]


def test_index_tells_status_time_figures_and_settings(written):
    index = written["index.html"]
    for words in (
        "2 of 3 lectures failed",
        "2 min 30 s",
        "1 min 15 s",
        "accuracy &lt;val&gt;",
        "41 %",
        "smoke",
        ">Does it run?<",
        "sample",
        "CPU (2 threads)",
        "torch ",
        "python ",
        'href="01_data.html"',
        'href="03_gone.html"',
        "ValueError: &lt;x&gt;",
    ):
        assert words in index, words
    assert index.count('class="thumbnail"') == 2


def test_the_notebook_as_executed_tells_nothing_of_this_machine(written):
    executed = nbformat.reads(written["01_data.ipynb"], as_version=4)
    assert course.SETTINGS_MIME not in json.dumps(executed)


@pytest.mark.parametrize(
    ("seconds", "text"), [(7.44, "7.4 s"), (59.4, "59 s"), (60, "1 min 00 s"), (125, "2 min 05 s")]
)
def test_durations_read_well(seconds, text):
    assert pages.duration(seconds) == text


def test_the_search_knows_every_section_and_leads_to_it(written):
    known = json.loads(re.search(r'id="sections">(.*?)</script>', written["index.html"], re.DOTALL)[1])
    titles = {entry["title"]: entry for entry in known}
    assert {"01 · The data & more", "First", "Second", "02 · Layers"} <= set(titles)
    assert "<tag> & text" in titles["Second"]["text"]
    for entry in known:
        file, _, anchor = entry["href"].partition("#")
        assert not anchor or f'id="{anchor}"' in written[file]


def test_words_of_a_lecture_cannot_end_the_script(tmp_path):
    entry = {"href": "x.html", "title": "</script><script>alert(1)</script>", "text": "<!--"}
    page = pages.index(
        [], {"profile": "", "data": "", "seed": 0, "device": "", "versions": {}, "finished": ""}, 1, [entry]
    )
    assert page.count("</script>") == 2  # the data's own end and the code's
    assert json.loads(re.search(r'id="sections">(.*?)</script>', page, re.DOTALL)[1]) == [entry]
