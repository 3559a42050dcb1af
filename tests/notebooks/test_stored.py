"""The stored notebooks may be compared at all: executed in order, clean, with outputs; and what refuses others."""

import copy
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from tests.tools.notebooks import crafted
from tinylab.tools.notebooks import stored

FOLDER = Path(__file__).parents[2] / "notebooks"
LECTURES = sorted(FOLDER.glob("*.ipynb"))
LARGEST = 1_500_000  # bytes: what a repository should not carry


@pytest.mark.parametrize("path", LECTURES, ids=lambda path: path.stem)
def test_stored_lecture_is_fit_to_be_stored(path):
    faults = stored.faults(nbformat.read(path, as_version=4))
    assert not faults, "\n".join(faults)
    nbformat.validate(nbformat.read(path, as_version=4))
    assert path.stat().st_size < LARGEST


def test_there_are_lectures_in_order():
    numbers = [path.stem[:2] for path in LECTURES]
    assert numbers == [f"{number:02d}" for number in range(1, len(LECTURES) + 1)]
    assert len(numbers) >= 5


def executed() -> NotebookNode:
    """A sound stored notebook: what `cleaned` leaves of an executed one."""
    made = crafted.notebook("print('text')", "1 + 1", "from tinylab import course", "figure")
    for count, cell in enumerate([cell for cell in made.cells if cell.cell_type == "code"], start=1):
        cell.execution_count = count
    made.cells[2].outputs = [nbformat.v4.new_output("stream", name="stdout", text="text\n")]
    made.cells[3].outputs = [
        nbformat.v4.new_output("execute_result", {"text/plain": "2"}, execution_count=3),
    ]
    picture = {"image/png": "iVBORw0KGgo=", "text/plain": "a curve"}
    made.cells[5].outputs = [
        nbformat.v4.new_output("display_data", picture, metadata={"image/png": {"alt": "a curve"}})
    ]
    return stored.sealed(stored.cleaned(made))


def test_a_sound_notebook_has_no_fault():
    assert stored.faults(executed()) == []


def _tag(*names: str) -> dict[str, object]:
    return {"slideshow": {"slide_type": "slide"}, "tags": list(names)}


def _stripped(nb: NotebookNode) -> None:
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None


def _without_outputs(nb: NotebookNode) -> None:
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs = []


def _mostly_ignored(nb: NotebookNode) -> None:
    for cell in (nb.cells[2], nb.cells[3]):
        cell.metadata["tags"] = ["nbval-ignore-output"]


def _widget(nb: NotebookNode) -> None:
    nb.cells[3].outputs[0].data["application/vnd.jupyter.widget-view+json"] = {"model_id": "1"}


def _stderr(nb: NotebookNode) -> None:
    nb.cells[2].outputs[0].name = "stderr"


def _error(nb: NotebookNode) -> None:
    nb.cells[2].outputs = [nbformat.v4.new_output("error", ename="ValueError", evalue="no", traceback=[])]


SPOILT: dict[str, tuple[Callable[[NotebookNode], object], str]] = {
    "stripped": (_stripped, "stripped: a code cell has no execution count"),
    "outputs stripped": (_without_outputs, "stripped: no cell has an output"),
    "one cell not run": (lambda nb: nb.cells[4].update(execution_count=None), "no execution count"),
    "out of order": (lambda nb: nb.cells[3].update(execution_count=9), "executed out of order"),
    "papermill's metadata": (
        lambda nb: nb.metadata.update(papermill={}),
        "it is not clean",
    ),
    "widget state": (lambda nb: nb.metadata.update(widgets={}), "it is not clean"),
    "other kernel": (lambda nb: nb.metadata.kernelspec.update(name="venv"), "it is not clean"),
    "Python's version": (
        lambda nb: nb.metadata.language_info.update(version="3.11.7"),
        "it is not clean",
    ),
    "time stamps": (lambda nb: nb.cells[2].metadata.update(execution={}), "it is not clean"),
    "no heading": (lambda nb: nb.cells[0].update(source="Hello"), "the first cell is not a heading"),
    "no parameters cell": (lambda nb: nb.cells[1].metadata.update(tags=[]), "not the parameters cell"),
    "other parameters": (lambda nb: nb.cells[1].update(source="profile = 1"), "not the parameters cell"),
    "parameters not first": (lambda nb: nb.cells.insert(0, nb.cells.pop(2)), "not the parameters cell"),
    "no slide type": (lambda nb: nb.cells[2].metadata.pop("slideshow"), "no slide type"),
    "unknown slide type": (
        lambda nb: nb.cells[2].metadata.slideshow.update(slide_type="slides"),
        "unknown slide type",
    ),
    "long cell": (lambda nb: nb.cells[2].update(source="x = 1\n" * 26), "26 lines of code"),
    "empty cell": (lambda nb: nb.cells[4].update(source=" \n"), "empty"),
    "raw cell": (lambda nb: nb.cells.append(nbformat.v4.new_raw_cell("x", metadata=_tag())), "a raw cell"),
    "star import": (lambda nb: nb.cells[4].update(source="from tinylab import *"), "import *"),
    "tag without output": (
        lambda nb: nb.cells[4].metadata.update(tags=["nbval-ignore-output"]),
        "without an output",
    ),
    "mostly ignored": (_mostly_ignored, "2 of 3 cells with output are tagged"),
    "skipped cell": (
        lambda nb: nb.cells[3].metadata.update(tags=["nbval-skip"]),
        "keeps it from being checked",
    ),
    "skipped by comment": (
        lambda nb: nb.cells[3].update(source="# NBVAL_SKIP\n1"),
        "keeps it from being checked",
    ),
    "stored error": (_error, "an error is stored: ValueError"),
    "standard error": (_stderr, "standard error is stored"),
    "widget": (_widget, "it is not clean"),
    "picture without alt": (lambda nb: nb.cells[5].outputs[0].metadata.clear(), "without alt text"),
    "another number": (
        lambda nb: nb.cells[2].outputs[0].update(text="71.3 %\n"),
        "not those that `tinylab run --store` wrote",
    ),
    "another picture": (
        lambda nb: nb.cells[5].outputs[0].data.update({"image/png": "AAAA"}),
        "not those that `tinylab run --store` wrote",
    ),
    "another text twin": (
        lambda nb: nb.cells[5].outputs[0].data.update({"text/plain": "a line"}),
        "not those that `tinylab run --store` wrote",
    ),
    "other code": (lambda nb: nb.cells[3].update(source="1 + 2"), "not those that `tinylab run --store` wrote"),
    "other versions": (
        lambda nb: nb.metadata.tinylab.versions.update(torch="1.0"),
        "not those that `tinylab run --store` wrote",
    ),
    "no seal": (lambda nb: nb.metadata.pop("tinylab"), "not those that `tinylab run --store` wrote"),
    "remote picture": (
        lambda nb: nb.cells[0].update(source="# A\n![x](https://example.org/x.png)"),
        "the network",
    ),
}


@pytest.mark.parametrize("how", SPOILT)
def test_what_is_not_fit_is_refused(how):
    notebook = executed()
    spoil, words = SPOILT[how]
    spoil(notebook)
    assert any(words in fault for fault in stored.faults(notebook)), stored.faults(notebook)


def test_cleaning_makes_an_executed_notebook_fit():
    dirty = executed()
    dirty.metadata.update(papermill={"x": 1}, widgets={"state": {}}, language_info={"name": "python", "version": "3"})
    dirty.cells[2].metadata.update(papermill={}, execution={}, tags=["nbval-ignore-output"])
    dirty.cells[2].outputs = [
        nbformat.v4.new_output("stream", name="stdout", text="te"),
        nbformat.v4.new_output("stream", name="stdout", text="xt\n"),
    ]
    _widget(dirty)
    before = copy.deepcopy(dirty)
    clean = stored.sealed(stored.cleaned(dirty))
    assert stored.faults(clean) == []
    assert dirty == before
    assert clean.cells[2].outputs == [nbformat.v4.new_output("stream", name="stdout", text="text\n")]
    assert clean.cells[2].metadata == {"slideshow": {"slide_type": "slide"}, "tags": ["nbval-ignore-output"]}
    assert [cell.source for cell in clean.cells] == [cell.source for cell in dirty.cells]
    assert clean.cells[5].outputs == dirty.cells[5].outputs  # the picture keeps its alt text


def test_the_hook_leaves_what_is_clean_and_cleans_what_is_not(tmp_path, capsys):
    clean, spoilt = tmp_path / "clean.ipynb", tmp_path / "spoilt.ipynb"
    notebook = stored.sealed(stored.cleaned(executed()))
    clean.write_text(nbformat.writes(notebook) + "\n")
    notebook.cells[2].metadata["editable"] = True
    notebook.cells[3].execution_count = 9
    spoilt.write_text(nbformat.writes(notebook) + "\n")
    before = clean.read_bytes()
    assert stored.main([str(clean)]) == 0
    assert clean.read_bytes() == before
    assert stored.main([str(clean), str(spoilt)]) == 1
    said = capsys.readouterr().out
    assert said == f"{spoilt}: cleaned\n{spoilt}: executed out of order: [1, 2, 9, 4, 5]\n"
    assert "editable" not in spoilt.read_text()
