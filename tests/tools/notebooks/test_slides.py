"""Decks: everything inside the file, nothing of the answers, and one line about what is missing."""

import html.parser
import importlib.util
import re

import nbformat
import pytest

from tests.notebooks.test_stored import executed
from tests.tools.notebooks import crafted
from tinylab import course
from tinylab.support.errors import FileError, NotebookError
from tinylab.tools.notebooks import inspection, slides

LECTURES = course.find()


def _executed(*sources: str, title: str = "01 · A small one"):
    """A crafted notebook whose code cells have run; the first one put out a formula."""
    made = crafted.notebook(*sources, title=title)
    for count, cell in enumerate([cell for cell in made.cells if cell.cell_type == "code"], start=1):
        cell.execution_count = count
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=f"printed by {count}\n")]
    return made


def _typed(cell, slide_type: str, *tags: str):
    cell.metadata = nbformat.from_dict({"slideshow": {"slide_type": slide_type}, "tags": list(tags)})


@pytest.fixture
def lecture(tmp_path):
    made = _executed(
        "# %%md\n## A part\nLook: $x^2$, `$HOME`. See [the next](02_next.ipynb) and [another](09_gone.ipynb).",
        "print('asked')",
        "answer = 'swordfish'",
        "check(answer)",
        "# %%md\nSay this aloud.",
        "hidden = True",
    )
    kinds = {1: ("skip",), 3: ("fragment",), 4: ("fragment", "solution"), 5: ("fragment", "exercise-check")}
    for place, kind in (kinds | {6: ("notes",), 7: ("skip",)}).items():
        _typed(made.cells[place], *kind)
    notes = "# Notes\n\n## 00 · Other\nNot this.\n\n## 01 · A small one\n| min | what |\n|---|---|\n| 0–5 | begin |\n"
    (tmp_path / slides.NOTES).write_text(notes + "\n## 02 · Next\nNor this.\n", encoding="utf-8")
    return crafted.write(tmp_path, "01_small", made)


class _Resources(html.parser.HTMLParser):
    """What a browser would fetch, and the tree of sections: depth and text of each leaf."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.depth = self.deepest = self.leaves = 0
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag not in ("a", "area"):
            self.fetched += [found[name] or "" for name in ("src", "href", "data", "poster", "srcset") if name in found]
        if tag == "section":
            self.depth += 1
            self.deepest = max(self.deepest, self.depth)
            self.leaves += self.depth == 2

    def handle_endtag(self, tag):
        self.depth -= tag == "section"


def _own(page: str) -> str:
    """The page without its scripts and styles."""
    return re.sub(r"<(script|style)>.*?</\1>", "", page, flags=re.DOTALL)


def test_a_deck_fetches_nothing(lecture, tmp_path):
    index = slides.write([lecture, *_real("01_data")], tmp_path / "out")
    pages = sorted(index.parent.iterdir())
    assert [path.name for path in pages] == ["01_data.html", "01_small.html", "index.html"]
    for path in pages:
        page = path.read_text(encoding="utf-8")
        assert [source for source in _Resources(page).fetched if not source.startswith("data:")] == []
        styles = "".join(re.findall(r"<style>.*?</style>", page, re.DOTALL))
        assert "@import" not in styles
        assert re.findall(r"url\((?!data:|\"data:|'data:)", styles) == []
        assert "MathJax" not in page
        assert "require(" not in _own(page)
        # the script of reveal.js names its home in comments, and asks for nothing of it
        scripts = "".join(re.findall(r"<script>.*?</script>", page, re.DOTALL))
        assert set(re.findall(r"https?://[\w.]+", scripts)) <= {"https://revealjs.com", "https://hakim.se"}


def _real(*names: str):
    return [path for path in LECTURES if path.stem in names]


def test_slide_types_become_sections_fragments_notes_and_nothing(lecture):
    page = _own(slides.deck(lecture).page)
    tree = _Resources(page)
    assert (tree.deepest, tree.depth, tree.leaves) == (2, 0, 2)  # the heading; the part
    assert page.count('class="fragment"') == 1  # the two others belong to the exercise
    assert "hidden" not in re.sub(r"<[^>]+>", "", page)
    assert "profile = None" not in re.sub(r"<[^>]+>", "", page)  # skipped
    assert re.search(r'<aside class="notes">.*Say this aloud\..*</aside>', page, re.DOTALL)


def test_answers_are_on_no_slide_unless_asked_for(lecture):
    without, with_them = slides.deck(lecture).page, slides.deck(lecture, answers=True).page
    assert "swordfish" not in without
    assert "printed by 4" not in without  # what the check says to the right answer
    assert "swordfish" in with_them
    assert "printed by 4" in with_them


def test_the_lectures_solutions_are_on_no_slide():
    for path in _real("02_layers", "09_test_set"):
        page = slides.deck(path).page
        solutions = [cell for cell in inspection.read(path).cells if "solution" in inspection.tags(cell)]
        assert len(solutions) >= 4
        assert "celltag_solution" not in page
        assert "celltag_exercise-check" not in page


def test_formulas_links_and_the_lecturer_s_plan(lecture):
    page = slides.deck(lecture, ["01_small", "02_next"]).page
    assert "<math" in page
    assert "<code>$HOME</code>" in page
    assert '<a href="02_next.html">the next</a>' in page
    assert "another." in page
    assert "09_gone" not in page
    plan = page[page.index('<template id="plan"') :]
    assert "<td>begin</td>" in plan
    assert "Not this" not in page
    assert "Nor this" not in page


def test_every_lecture_has_its_plan():
    notes = LECTURES[0].parent / slides.NOTES
    for path in LECTURES:
        title = inspection.title(inspection.read(path))
        assert "<table>" in slides._plan(notes, title), path.stem


def test_a_section_in_an_output_becomes_no_slide(tmp_path):
    made = _executed("cards")
    made.cells[2].outputs = [nbformat.v4.new_output("display_data", {"text/html": "<section><p>A card</p></section>"})]
    page = _own(slides.deck(crafted.write(tmp_path, "01_small", made)).page)
    assert _Resources(page).leaves == 3
    assert "<article><p>A card</p></article>" in page


def test_long_code_comes_in_pieces_cut_between_statements(tmp_path):
    lines = [f"a{i} = [\n    {i},\n]" for i in range(4)] + ["def f():", *(f"    b = {i}" for i in range(20)), "f()"]
    made = _executed("\n".join(lines))
    _typed(made.cells[2], "fragment")
    [*first, last] = slides._pieces(made.cells[2])
    texts = [piece.source for piece in (*first, last)]
    assert [len(text.splitlines()) for text in texts] == [12, 15, 7]
    assert "\n".join(texts) == "\n".join(lines)
    assert texts[1].startswith("def f():")
    assert [len(piece.outputs) for piece in (*first, last)] == [0, 0, 1]
    kinds = [piece.metadata.get("slideshow", {}).get("slide_type") for piece in (*first, last)]
    assert kinds == ["fragment", None, "-"]
    pieces = slides._pieces(_executed("\n".join(["a = 1"] * 14 + ["@cache", "def f():", "    return 1"])).cells[2])
    assert [piece.source.splitlines()[0] for piece in pieces] == ["a = 1", "@cache"]
    [only] = slides._pieces(_executed("%time f()").cells[2])
    assert only.source == "%time f()"


def test_the_index_lists_titles_and_questions(lecture, tmp_path):
    index = slides.write([lecture], tmp_path / "out").read_text(encoding="utf-8")
    assert '<a href="01_small.html">01 · A small one</a>' in index
    assert "Does it run?" in index


def test_alt_text_stays(tmp_path):
    made = executed()
    page = slides.deck(crafted.write(tmp_path, "01_small", made)).page
    assert re.search(r'<img[^>]*alt="?a curve', page)


def test_a_picture_for_the_projector_is_measured_by_its_labels(tmp_path):
    """Those of 16 points in 800 pixels are as large as those of 10 in 500."""
    made = executed()
    (output,) = (o for cell in made.cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {}))
    output.metadata["image/png"] = {"alt": "a curve", "width": 800, "height": 400, "font": 16}
    page = slides.deck(crafted.write(tmp_path, "01_small", made)).page
    (image,) = re.findall(r"<img[^>]*>", page)
    assert dict(re.findall(r"""(width|height)=["']?(\d+)""", image)) == {"width": "500", "height": "250"}


def _no_slides(made):
    for cell in made.cells:
        cell.metadata = nbformat.from_dict({})


def _error(made):
    made.cells[3].outputs = [nbformat.v4.new_output("error", ename="ValueError", evalue="no", traceback=[])]


WRONG = {
    "no slides": (_no_slides, "has no slides: no cell has the slide type 'slide'"),
    "never executed": (lambda made: made.cells[3].update(execution_count=None), "no output of cell 4"),
    "out of order": (lambda made: made.cells[3].update(execution_count=9), "out of order, so its outputs may be stale"),
    "an error": (_error, "cell 4 ended in an error"),
}


@pytest.mark.parametrize("how", WRONG)
def test_a_lecture_that_cannot_be_shown_is_refused_in_one_line(how, tmp_path):
    made = _executed("1", "2", "3")
    spoil, words = WRONG[how]
    good = crafted.write(tmp_path, "01_good", made)
    spoil(made)
    bad = crafted.write(tmp_path, "02_bad", made)
    with pytest.raises(NotebookError, match=words) as raised:
        slides.write([good, bad], tmp_path / "out")
    assert "\n" not in str(raised.value)
    assert "02_bad" in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_reveal_that_is_not_installed_is_said(lecture, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NotebookError, match=r"need reveal\.js.* pip install 'sphinx-revealjs>=3\.2,<4'"):
        slides.deck(lecture)


def test_a_place_that_cannot_be_written_is_said(lecture, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match=r"file/01_small\.html: .* could not be written \(.*\).*Choose another path"):
        slides.write([lecture], tmp_path / "file")
