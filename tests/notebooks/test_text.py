"""What the lectures say: no number that nobody computed, a reveal for every prediction, a verdict at every end."""

import re
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from tests.tools.notebooks import crafted
from tinylab import course

FOLDER = Path(__file__).parents[2] / "notebooks"
LECTURES = sorted(FOLDER.glob("*.ipynb"))
EXERCISES = "## Exercises"

# Numbers that are quoted, not computed: from the report, or from a source that the sentence names
QUOTED = {
    "60%", "25%", "20 %", "46 %", "24 %", "0.25", "0.50", "0.01",  # the report
    "90 %",  # lecture 10: entries that use pre-training
    "4.3", "0.38",  # Student's t for three seeds; white noise (lecture 08 prints it as well)
}  # fmt: skip
_NUMBER = re.compile(r"(?<![\w.,#·/-])\d[\d,]*(?:\.\d+)? ?%|(?<![\w.,#·/-])\d[\d,]*\.\d+(?![\w.])")


def teaching(notebook: NotebookNode) -> list[NotebookNode]:
    """The cells before the exercises."""
    ends = [i for i, cell in enumerate(notebook.cells) if cell.source.startswith(EXERCISES)]
    return notebook.cells[: ends[0]] if ends else notebook.cells


def printed(notebook: NotebookNode) -> str:
    """Everything that the code says, and everything that came out of it."""
    texts = []
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        texts.append(cell.source)
        for output in cell.get("outputs", []):
            texts.append(output.get("text", ""))
            texts += [str(text) for kind, text in output.get("data", {}).items() if kind.startswith("text/")]
    return "\n".join(texts)


def unprinted(notebook: NotebookNode) -> list[str]:
    """Decimals and percentages of the teaching text that neither code nor output nor a named source holds."""
    known = printed(notebook)
    found = []
    for cell in teaching(notebook):
        if cell.cell_type == "markdown":
            text = re.sub(r"[Ss]ections? [\d.]+|\$\$.*?\$\$|```.*?```|`[^`]*`", " ", cell.source, flags=re.DOTALL)
            for number in _NUMBER.findall(text):
                bare = number.rstrip("% ").strip()
                if number not in QUOTED and not re.search(rf"(?<![\d.]){re.escape(bare)}(?![\d])", known):
                    found.append(number)
    return found


def unrevealed(notebook: NotebookNode) -> list[str]:
    """Predictions without a reveal in a later cell, reveals of what nobody was asked, and what cannot be committed."""
    found, asked, revealed = [], [], []
    for cell in teaching(notebook):
        if cell.cell_type == "markdown":
            found += re.findall(r"\*\*Predict.*", cell.source)
            continue
        now = re.findall(r"course\.reveal\(\s*\"([0-9.]+)\"", cell.source)
        found += [key for key in now if key not in asked or key in revealed]
        revealed += now
        asked += re.findall(r"course\.predict\(\s*\"([0-9.]+)\"", cell.source)
    return found + [key for key in asked if key not in revealed]


def longest(notebook: NotebookNode) -> int:
    """The most words of text between two cells of code."""
    words, most = 0, 0
    for cell in teaching(notebook):
        words = words + len(cell.source.split()) if cell.cell_type == "markdown" else 0
        most = max(most, words)
    return most


@pytest.mark.parametrize("path", LECTURES, ids=lambda path: path.stem)
def test_no_number_that_was_not_computed(path):
    assert unprinted(nbformat.read(path, as_version=4)) == []


@pytest.mark.parametrize("path", LECTURES, ids=lambda path: path.stem)
def test_every_prediction_is_revealed(path):
    notebook = nbformat.read(path, as_version=4)
    assert unrevealed(notebook) == []
    keys = re.findall(r"course\.(?:reveal|predict)\(\s*\"([0-9.]+)\"", printed(notebook))
    assert {key[:2] for key in keys} <= {path.stem[:2]}


@pytest.mark.parametrize("path", LECTURES, ids=lambda path: path.stem)
def test_a_lecture_fits_its_hour(path):
    notebook = nbformat.read(path, as_version=4)
    assert len(teaching(notebook)) <= 40
    assert longest(notebook) <= 300


@pytest.mark.parametrize("path", LECTURES, ids=lambda path: path.stem)
def test_every_lecture_ends_with_its_verdict(path):
    cells, name = teaching(nbformat.read(path, as_version=4)), path.stem[:2]
    assert f"**question: {course.TITLES[name].lower()}**" in cells[0].source.replace("\n", " ").lower()
    last = [cell.source for cell in cells if cell.cell_type == "code"][-3:]
    assert any(re.search(rf"course\.verdict\(\s*\"{name}\"", source) for source in last), last


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It is right on 41.7 % of them.", ["41.7 %"]),
        ("It is right on 41.3 % of them, and the loss is 2.30.", []),
        ("From 0.1 to 99%.", ["0.1", "99%"]),
        ("`conv3-32`, section 3.2.1, $$0.77$$, 2026-11-22 and 1.5x", []),
    ],
)
def test_a_number_that_nobody_printed_is_found(text, found):
    made = crafted.notebook(f"# %%md {text}", "print(0.413, 'loss 2.30')")
    made.cells[3].outputs = [nbformat.v4.new_output("stream", name="stdout", text="right on 41.3 %\n")]
    assert unprinted(made) == found


def test_a_prediction_without_a_reveal_is_found():
    ask, show = 'course.predict("01.1", "how many?")', 'course.reveal("01.1", 3)'
    assert unrevealed(crafted.notebook(ask, "1", show)) == []
    assert unrevealed(crafted.notebook(ask, "1")) == ["01.1"]
    assert unrevealed(crafted.notebook(show)) == ["01.1"]
    assert unrevealed(crafted.notebook(f"{ask}; {show}")) == ["01.1"]  # shown before anybody could commit
    assert unrevealed(crafted.notebook(ask, show, show)) == ["01.1"]
    assert unrevealed(crafted.notebook("# %%md **Predict:** how many?", "1")) == ["**Predict:** how many?"]


def test_long_texts_are_found():
    text = "# %%md " + 20 * "word "
    assert longest(crafted.notebook(text, text, "1", text)) == 40
