"""Faults of notebooks beside those of the runner's tests: kernels that die, controls that fail, hostile names."""

import ast
import os
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from nbclient import NotebookClient
from papermill.iorw import read_yaml_file
from papermill.translators import papermill_translators

from tests.tools.notebooks import crafted
from tinylab.support.notebook import headless
from tinylab.tools.notebooks import runner

pytestmark = pytest.mark.xdist_group("broken notebooks")  # one process makes what they share

ROOT = Path(__file__).parent.parent.parent
FINE = "total = sum(range(10))\ntotal"
TINY = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom tests import tiny\nfrom tinylab.lab import LiveLab"
HOSTILE = "x\"); import os; os.system(\"touch pwned\") #''' \\ {print(1)} $(touch pwned) `touch pwned`\n1%0 # 📁 ü"

# name: (cells after the parameters cell, number of the failing cell or None, words of its message)
NOTEBOOKS = {
    "left_at_once": ([FINE, "import os\nos._exit(0)", FINE], 3, "the kernel died"),
    "left_in_a_thread": (
        [
            "import os, threading",
            "thread = threading.Thread(target=os._exit, args=(0,))\nthread.start()\nthread.join(60)",
            FINE,
        ],
        3,
        "the kernel died",
    ),
    "laboratory": (
        [TINY, "LiveLab(tiny.dataset(), 'conv3-4 - relu - softmax', steps=2, changes={1: {'dropout': 1.5}})", FINE],
        3,
        "dropout 1.5 is not possible",
    ),
    "callback": (
        [
            "from tinylab.lab.control import Control\nfrom tinylab.figures import Picture",
            "control = Control(picture=Picture(1, 1))\n"
            "def wrong():\n    raise ValueError('in the callback of a control')",
            "import ipywidgets\nbutton = ipywidgets.Button()\nbutton.on_click(control.guarded(wrong))\n"
            "button._handle_button_msg(None, {'event': 'click'}, [])",
        ],
        3,
        "in the callback of a control",
    ),
    "healthy": (["import os\nprint(repr(data))\nsorted(os.listdir())"], None, ""),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """All of them in one run, two at a time, with a data set of a hostile name."""
    folder = tmp_path_factory.mktemp("notebooks")
    paths = [crafted.write(folder, name, crafted.notebook(*cells)) for name, (cells, _, _) in NOTEBOOKS.items()]
    results = runner.run(paths, profile="smoke", data=HOSTILE, jobs=2, timeout=60)
    return {outcome.name: outcome for outcome in results}


@pytest.mark.parametrize("name", [name for name, (_, cell, _) in NOTEBOOKS.items() if cell])
def test_every_failure_is_red_and_its_cell_named(outcomes, name):
    """kernel dies, hangs, exits early; error in a widget callback or the training thread: red, with the cell."""
    _, cell, words = NOTEBOOKS[name]
    outcome = outcomes[name]
    assert outcome.status == "failed"
    assert any(fault.cell == cell and words in str(fault) for fault in outcome.faults), outcome.faults
    assert all("\n" not in str(fault) for fault in outcome.faults)


def test_the_others_are_not_affected(outcomes):
    """kernel dies, hangs, exits early: and the notebook beside the dying ones is green."""
    assert (outcomes["healthy"].status, outcomes["healthy"].faults) == ("ok", [])


# ---- the runner passes parameters as data


def test_parameters_arrive_as_data_and_never_as_code(outcomes):
    """parameters are data, never code: a real papermill run with a name made of every kind of quote."""
    cell = next(cell for cell in outcomes["healthy"].notebook.cells if "print" in cell.source)
    printed, listed = cell.outputs[0].text, cell.outputs[1].data["text/plain"]
    assert ast.literal_eval(printed) == HOSTILE
    assert sorted(ast.literal_eval(listed)) == sorted(f"{name}.ipynb" for name in NOTEBOOKS)
    assert not Path("pwned").exists()


def test_a_notebook_that_a_program_runs_knows_that_nobody_can_press(tmp_path, monkeypatch):
    """lectures under plain papermill: nbclient, which it stands on, without any variable of ours."""
    monkeypatch.delenv("TINYLAB_HEADLESS", raising=False)
    made = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("from tinylab.support import notebook as it\nit.headless()")]
    )
    NotebookClient(made, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert made.cells[0].outputs[0].data["text/plain"] == "True"
    somebody = SimpleNamespace(kernel=SimpleNamespace(_allow_stdin=True))
    monkeypatch.setattr("tinylab.support.notebook.get_ipython", lambda: somebody)
    assert not headless()


def test_a_name_that_looks_like_a_number_stays_a_name(tmp_path):
    """parameters are data, never code: on papermill's command line "007" would become 7."""
    path = crafted.write(tmp_path, "numbered", crafted.notebook("print(repr(data), repr(seed))"))
    [outcome] = runner.run([path], profile="smoke", data="007", timeout=60)
    cell = next(cell for cell in outcome.notebook.cells if "print" in cell.source)
    assert cell.outputs[0].text == "'007' 0\n"


TAGGED = [
    "!!python/object/apply:os.system [touch pwned]",
    "*x",
    "&x y",
    "{{ 7 * 7 }}",
    "no",
    "2020-01-01",
    "1e3",
    "~",
    "📁",
]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(TAGGED)))
def test_any_text_comes_out_of_papermill_s_own_reader_and_writer_as_it_went_in(text):
    """parameters are data, never code: the file that we write, the cell that papermill makes of it."""
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"tinylab-parameters-{os.getpid()}.yaml"
    try:
        path.write_text(yaml.safe_dump({"data": text, "seed": 1}), encoding="utf-8")
        values = read_yaml_file(str(path))
    finally:
        path.unlink()
    assert values == {"data": text, "seed": 1}
    code = papermill_translators.find_translator("python3", "python").codify(values)
    lines = ast.parse(code).body
    assert [line.targets[0].id for line in lines] == ["data", "seed"]
    assert ast.literal_eval(lines[0].value) == text


def test_a_notebook_is_not_run_by_being_read(tmp_path, monkeypatch):
    """parameters are data, never code: the cell of parameters is parsed, not executed."""
    from tinylab.tools.notebooks import inspection

    monkeypatch.chdir(tmp_path)
    made = crafted.notebook(parameters="profile = __import__('os').mkdir('pwned')\ndata = seed = 0")
    assert inspection.parameters(made) == {"profile", "data", "seed"}
    nbformat.write(inspection.prepared(made, {"data": HOSTILE}), tmp_path / "x.ipynb")
    assert not (tmp_path / "pwned").exists()
