"""The runner against notebooks that fail in each hidden way: each red, its cell named; the others green."""

import json
import os
import re
import sys

import nbformat
import pytest
from jupyter_client.kernelspec import get_kernel_spec
from nbclient.exceptions import CellTimeoutError

from tinylab.lab.control import ERROR_CLASS
from tinylab.support.errors import InvalidInputError, NotebookError
from tinylab.support.notebook import VARIABLE
from tinylab.tools.notebooks import inspection, kernels, pages, runner

from . import crafted

pytestmark = pytest.mark.xdist_group("runner")  # one process makes what they share

FINE = "total = sum(range(10))\ntotal"

# None of these stops a notebook. (cell, words in its message); the cell is where the failing line stands.
HIDDEN = {
    "thread": (
        "import threading\ndef work():\n    raise RuntimeError('in the thread')",
        "background thread: RuntimeError: in the thread",
    ),
    "thread, started": ("t = threading.Thread(target=work)\nt.start()\nt.join()", None),
    "late thread": (
        "gate = threading.Event()\n"
        "def late():\n    gate.wait(30)\n    raise RuntimeError('after its cell')\n"
        "threading.Thread(target=late).start()",
        "background thread: RuntimeError: after its cell",
    ),
    "interact, defined": (
        "from ipywidgets import Output, interact\ndef show(x):\n    raise ValueError('in the callback')",
        "widget callback: ValueError: in the callback",
    ),
    "interact": ("interact(show, x=(0, 3))", None),
    "output widget": ("out = Output()\nwith out:\n    raise KeyError('swallowed')", "KeyError: 'swallowed'"),
    "task": (
        "import asyncio\nasync def fail():\n    raise RuntimeError('in a task')",
        "background task: RuntimeError: in a task",
    ),
    "task, started": ("asyncio.create_task(fail())", None),
    "task, done": ("await asyncio.sleep(0.2)", None),
    "printed": (
        "import traceback\ntry:\n    int('x')\nexcept ValueError:\n    traceback.print_exc()",
        "traceback was printed: ValueError: invalid literal",
    ),
    "shell": ("!exit 3", "a shell command: `exit 3` ended with code 3"),
    "child": (
        "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'raise SystemExit(3)'])",
        "a child process: ",
    ),
    "child of multiprocessing": (
        "import multiprocessing, os\nchild = multiprocessing.get_context('fork').Process(target=os._exit, args=(4,))\n"
        "child.start()\nchild.join()",
        "ended with code 4",
    ),
    "future": (
        "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(1)\n"
        "lost = pool.submit(int, 'no number')\npool.shutdown()",
        "a future whose result nobody asked for: ValueError: invalid literal for int() with base 10: 'no number'",
    ),
    "future, asked for": (
        "fine = ThreadPoolExecutor(1).submit(int, 'x')\nassert fine.exception() is not None",
        None,
    ),
    "captured": ("%%capture\nraise LookupError('captured')", "LookupError: captured"),
    "daemon": (
        "def quiet():\n    gate.wait(30)\n    raise OSError('in a daemon')\n"
        "threading.Thread(target=quiet, daemon=True).start()",
        "background thread: OSError: in a daemon",
    ),
    "swallowed": (
        "def turned(change):\n    try:\n        raise ArithmeticError('swallowed by a callback')\n"
        "    except Exception:\n        return None",
        "a handler that does nothing: ArithmeticError: swallowed by a callback",
    ),
    "swallowed, called": (
        "import ipywidgets\nslider = ipywidgets.IntSlider()\nslider.observe(turned, 'value')\nslider.value = 3",
        None,
    ),
    "suppressed": (
        "from contextlib import suppress\nwith suppress(Exception):\n    raise BufferError('suppressed')",
        "a `suppress`: BufferError: suppressed",
    ),
    "handled": (
        "with suppress(OSError):\n    raise OSError('expected')\n"
        "try:\n    int('x')\nexcept ValueError:\n    pass\n"
        "try:\n    int('x')\nexcept Exception as error:\n    print(error)",
        None,
    ),
    "end": ("threading.Timer(0.5, gate.set).start()", None),  # the late thread fails after the last cell
}

# These do. name: (cells after the parameters cell, number of the failing cell, words in its message)
STOPPING = {
    "error": ([FINE, "1 / 0", FINE], 3, "ZeroDivisionError: division by zero"),
    "early_exit": ([FINE, "import sys\nsys.exit(0)", FINE], 3, "left the kernel (SystemExit: 0)"),
    "dead_kernel": (
        ["import os, signal", "os.kill(os.getpid(), signal.SIGKILL)", FINE],
        3,
        "the kernel died",
    ),
    "endless": (
        [FINE, "import time\nwhile True:\n    time.sleep(0.1)", FINE],
        3,
        "still running after 30 s",
    ),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """All crafted notebooks in one run, two at a time."""
    folder = tmp_path_factory.mktemp("notebooks")
    paths = [crafted.write(folder, name, crafted.notebook(*cells)) for name, (cells, _, _) in STOPPING.items()]
    paths.append(crafted.write(folder, "hidden", crafted.notebook(*(code for code, _ in HIDDEN.values()))))
    healthy = crafted.notebook(
        "import os\nprint(profile, data, seed, os.environ['OMP_NUM_THREADS'])",
        "from tinylab import course\ncourse.key_figure('accuracy', '41 %')",
        "course.settings(profile, data, seed)",
        "import threading\nthread = threading.Thread(target=print)\nthread.start()\nthread.join()",
    )
    paths.append(crafted.write(folder, "healthy", healthy))
    unsolved = crafted.notebook(
        "from tinylab.course.exercises import check", 'check("01.1", 3)', 'check("01.1", 12288)'
    )
    for cell in unsolved.cells[-2:]:
        cell.metadata["tags"] = ["exercise-check"]
    paths.append(crafted.write(folder, "unsolved", unsolved))
    unsolved.metadata["tinylab"] = {"edition": "student"}
    paths.append(crafted.write(folder, "unsolved_by_a_student", unsolved))
    overridden = crafted.notebook(
        "profile = 'full'", "from tinylab import course\ncourse.settings('lecture', data, seed)"
    )
    paths.append(crafted.write(folder, "overridden", overridden))
    paths.append(crafted.write(folder, "untagged", crafted.notebook(FINE, parameters=None)))
    unseeded = crafted.notebook(FINE, parameters="profile = None\ndata = 'sample'")
    paths.append(crafted.write(folder, "unknown_parameter", unseeded))
    (folder / "damaged.ipynb").write_text("{ no notebook")
    paths.append(folder / "damaged.ipynb")
    seen = []
    results = runner.run(
        paths, profile="smoke", seed=3, jobs=2, timeout=30, watcher=lambda o: seen.append((o.name, o.status))
    )
    found = {outcome.name: outcome for outcome in results}
    assert list(found) == [path.stem for path in paths]
    for name in found:
        assert ("healthy", "running") in seen
        assert (name, found[name].status) in seen
    return found


@pytest.mark.parametrize("name", STOPPING)
def test_failure_is_found_and_its_cell_named(outcomes, name):
    _, cell, words = STOPPING[name]
    outcome = outcomes[name]
    assert outcome.status == "failed"
    assert outcome.faults[0].cell == cell, outcome.faults
    assert words in str(outcome.faults[0])
    assert len(outcome.faults) == 1, outcome.faults
    assert outcome.seconds > 0


def test_each_hidden_failure_is_found_and_its_cell_named(outcomes):
    hidden = outcomes["hidden"]
    assert hidden.status == "failed"
    expected = [(number, words) for number, (_, words) in enumerate(HIDDEN.values(), start=2) if words]
    assert [fault.cell for fault in hidden.faults] == [number for number, _ in expected], hidden.faults[-1]
    for fault, (_, words) in zip(hidden.faults, expected, strict=True):
        assert words in str(fault)
    assert hidden.notebook.cells[-1].execution_count == len(HIDDEN) + 1  # and yet everything ran


def test_a_healthy_notebook_is_green_and_tells_its_figures(outcomes):
    healthy = outcomes["healthy"]
    assert (healthy.status, healthy.faults) == ("ok", [])
    assert healthy.key_figures == [{"name": "accuracy", "text": "41 %"}]
    assert healthy.settings["profile"] == "smoke"
    assert healthy.settings["seed"] == 3
    assert "CPU" in healthy.settings["device"] or healthy.settings["device"]
    assert (healthy.cell, healthy.cells) == (5, 5)


def test_parameters_arrive_and_cores_are_shared(outcomes):
    code = [cell for cell in outcomes["healthy"].notebook.cells if cell.cell_type == "code"]
    share = os.environ.get("OMP_NUM_THREADS") or str(max(1, len(os.sched_getaffinity(0)) // 2))
    assert code[1].outputs[0].text == f"smoke sample 3 {share}\n"


def test_nothing_of_the_runner_is_left_and_counts_start_at_one(outcomes):
    code = [cell for cell in outcomes["healthy"].notebook.cells if cell.cell_type == "code"]
    assert code[0].source == crafted.notebook().cells[1].source
    assert [cell.execution_count for cell in code] == [1, 2, 3, 4, 5]
    assert code[3].outputs[0].execution_count == 4
    assert not any("watch" in cell.source for cell in code)


def test_an_unsolved_exercise_is_red_but_in_the_student_edition(outcomes):
    (fault,) = outcomes["unsolved"].faults
    assert str(fault).startswith('cell 3 (`check("01.1", 3)`): Exercise 01.1: not yet.')
    assert outcomes["unsolved_by_a_student"].faults == []


def test_parameters_that_a_cell_overrides_are_red_and_the_page_says_what_ran(outcomes):
    overridden = outcomes["overridden"]
    (fault,) = overridden.faults
    assert "it ran with {'profile': 'full', 'data': 'sample', 'seed': '3'}, not with" in str(fault)
    assert overridden.settings["profile"] == "full"
    facts = {"profile": "smoke", "data": "sample", "seed": 3, "device": "CPU", "versions": {}}
    assert "profile full, data sample, seed 3" in pages.lecture(overridden, None, None, facts)


def test_a_notebook_that_never_started_took_no_time(outcomes):
    assert str(outcomes["damaged"].seconds) == "0.0"


def test_missing_parameters_are_errors(outcomes):
    assert str(outcomes["untagged"].faults[0]).startswith("no cell is tagged 'parameters'")
    message = str(outcomes["unknown_parameter"].faults[0])
    assert message == "the parameters cell does not assign 'seed'. It assigns: data, profile"
    assert {outcomes[name].status for name in ("untagged", "unknown_parameter", "damaged")} == {"failed"}
    assert "is no readable notebook" in str(outcomes["damaged"].faults[0])


def test_a_kernel_is_this_python_whatever_is_installed(tmp_path, monkeypatch):
    foreign = tmp_path / "kernels" / "python3"
    foreign.mkdir(parents=True)
    command = ["/bin/false", "{connection_file}"]
    (foreign / "kernel.json").write_text(json.dumps({"argv": command, "display_name": "x", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    assert get_kernel_spec("python3").argv == command  # the usual search finds it
    client = kernels.client(crafted.notebook(), tmp_path, 60)
    assert client.km.kernel_spec.argv[:3] == [sys.executable, "-m", "ipykernel_launcher"]


def test_an_interruption_ends_the_kernels(tmp_path, monkeypatch):
    """Ctrl-C in the process that runs them: no kernel goes on, and nothing that has not begun begins."""
    path = crafted.write(
        tmp_path, "asleep", crafted.notebook("import os\nprint(os.getpid())", "import time\ntime.sleep(600)")
    )
    ended, end = [], runner._end

    def watcher(outcome):
        if outcome.cell == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(runner, "_end", lambda client: ended.append(end(client)))
    with pytest.raises(KeyboardInterrupt):
        runner.run([path], profile="smoke", watcher=watcher, timeout=100)


def test_a_kernel_ends_with_its_notebook(tmp_path):
    """And not with the last of them: a kernel with its data takes a gigabyte."""
    path = crafted.write(tmp_path, "short", crafted.notebook("import os\nprint(os.getpid())"))
    (outcome,) = runner.run([path], profile="smoke", timeout=100)
    assert outcome.status == "ok"
    (printed,) = (o.text for cell in outcome.notebook.cells for o in cell.get("outputs", []) if "text" in o)
    with pytest.raises(ProcessLookupError):
        os.kill(int(printed), 0)


def test_a_kernel_killed_from_outside_is_noticed_at_once(tmp_path):
    path = crafted.write(tmp_path, "asleep", crafted.notebook("import time\ntime.sleep(600)"))
    running, outcome = [], runner._waiting(path)

    def watcher(outcome):
        if outcome.cell == 2:
            runner._end(running[0])

    runner._execute(outcome, {"seed": 1}, tmp_path, kernels.environment(), 500, watcher, running)
    assert [str(fault) for fault in outcome.faults] == ["cell 2 (`import time`): the kernel died"]
    assert running == []


@pytest.mark.parametrize(("events", "attempts"), [([], 3), ([{"event": "kernel", "pid": 0}], 1)])
def test_only_a_kernel_that_never_started_is_tried_again(tmp_path, monkeypatch, events, attempts):
    """Nothing of the notebook has run then; a run that has begun is never repeated."""
    path = crafted.write(tmp_path, "fine", crafted.notebook(FINE))
    calls = []

    def fails(notebook, outcome, folder, *rest):
        calls.append(folder)
        return RuntimeError("Kernel died before replying to kernel_info")

    monkeypatch.setattr(runner, "_attempt", fails)
    monkeypatch.setattr(runner, "_events", lambda notes: events)
    (outcome,) = runner.run([path], profile="smoke")
    assert len(calls) == attempts
    assert "Kernel died before replying" in str(outcome.faults[0])


def test_notes_cut_short_are_read_as_far_as_they_go(tmp_path):
    notes = tmp_path / "notes"
    assert runner._events(notes) == []
    notes.write_text(json.dumps({"event": "cell", "count": 4}) + '\n{"event": "cel')
    assert runner._events(notes) == [{"event": "cell", "count": 4}]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"profile": "lecure"}, "did you mean 'lecture'?"),
        ({"jobs": 0}, "jobs 0 is not possible"),
        ({"timeout": 0}, "timeout 0 is not possible"),
        ({"profile": ["smoke"]}, "profile ['smoke'] is unknown"),
        ({"data": ["x"]}, "data ['x'] is not allowed"),
        ({"seed": -1}, "seed -1 is not possible"),
    ],
)
def test_impossible_settings_are_refused_before_anything_starts(tmp_path, wrong, words):
    path = crafted.write(tmp_path, "fine", crafted.notebook(FINE))
    with pytest.raises(InvalidInputError, match=re.escape(words)):
        runner.run([path], **wrong)


def test_duplicate_parameters_cells_and_bad_python_are_refused():
    twice = crafted.notebook()
    twice.cells.append(twice.cells[1])
    with pytest.raises(NotebookError, match="2 cells are tagged"):
        inspection.parameters(twice)
    with pytest.raises(NotebookError, match="not valid Python"):
        inspection.parameters(crafted.notebook(parameters="profile = = 1"))
    assert inspection.parameters(crafted.notebook(parameters="a: int = 1\nb = c = 2")) == {"a", "b", "c"}


def executed(*cells):
    """A crafted notebook as it is after a run in which nothing went wrong."""
    run = crafted.notebook(*cells)
    for count, cell in enumerate([cell for cell in run.cells if cell.cell_type == "code"], start=1):
        cell.execution_count = count
    return run


def test_an_interruption_of_the_runner_s_own_is_no_error_more():
    """It ends a kernel whose cell runs too long by interrupting it first, and then killing it."""
    noted = {"event": "error", "where": "a widget callback", "count": 2, "message": "KeyboardInterrupt: "}
    over = CellTimeoutError("over its time")
    (fault,) = inspection.inspect(executed(FINE), [noted], over, 60, 2)
    assert "cell 2 (`total = sum(range(10))`): still running after 60 s" in str(fault)
    (fault,) = inspection.inspect(executed(FINE), [noted, {"event": "end"}], None, 60)  # of the lecture's own
    assert "KeyboardInterrupt" in str(fault)


def test_the_laboratory_s_names_are_the_ones_watched_for(tmp_path):

    environment = kernels.environment(2)
    assert environment[VARIABLE] == "1"
    assert inspection.ERROR_CLASS == ERROR_CLASS
    run = executed()
    shown = {"state": {"_dom_classes": [ERROR_CLASS], "value": "<p>dropout 1.5 is not possible</p>"}}
    silent = {"state": {"_dom_classes": [ERROR_CLASS], "value": ""}}
    state = {"application/vnd.jupyter.widget-state+json": {"state": {"a": shown, "b": silent}}}
    run.metadata["widgets"] = nbformat.from_dict(state)
    (fault,) = inspection.inspect(run, [{"event": "end"}], None, 60)
    assert str(fault) == "in a widget: dropout 1.5 is not possible"


def test_nothing_is_believed_without_the_last_note():
    """A run that ended well as far as papermill can tell, but never reached the end."""
    run = executed(FINE)
    faults = inspection.inspect(run, [{"event": "cell", "count": 2}], None, 60)
    assert str(faults[0]) == "cell 2 (`total = sum(range(10))`): the notebook did not reach its end"
    assert inspection.inspect(run, [{"event": "end"}], None, 60) == []
    run.cells[-1].execution_count = None
    (fault,) = inspection.inspect(run, [{"event": "end"}], None, 60)
    assert str(fault) == "cell 2 (`total = sum(range(10))`): never executed (1 cell in all)"
    run.cells[-1].execution_count = 2
    assert "could not be run: boom" in str(inspection.inspect(run, [{"event": "end"}], RuntimeError("boom"), 60)[0])


def test_errors_in_widget_state_and_damaged_files(tmp_path):
    run = executed()
    error = {"output_type": "error", "ename": "ValueError", "evalue": "hidden", "traceback": []}
    state = {"state": {"m": {"state": {"outputs": [error]}}}}
    run.metadata["widgets"] = nbformat.from_dict({"application/vnd.jupyter.widget-state+json": state})
    assert "ValueError: hidden" in str(inspection.inspect(run, [{"event": "end"}], None, 60)[0])
    with pytest.raises(NotebookError, match="there is no notebook"):
        inspection.read(tmp_path / "absent.ipynb")


def test_two_threads_that_print_their_tracebacks_at_once_are_no_error_more():
    run = executed(FINE)
    printed = (
        "Exception in thread Thread-4 (late):\nTraceback (most recent call last):\n  File ...\n"
        "Exception in thread Thread-5 (quiet):\nTraceback (most recent call last):\n  File ...\n"
        "RuntimeError: after its cell\nRuntimeError: at the end\n"
    )
    run.cells[-1].outputs = [nbformat.v4.new_output("stream", name="stderr", text=printed)]
    noted = {"event": "error", "where": "a background thread", "count": None, "message": "RuntimeError: after its cell"}
    (fault,) = inspection.inspect(run, [noted, {"event": "end"}], None, 60)
    assert str(fault) == "in a background thread: RuntimeError: after its cell"
