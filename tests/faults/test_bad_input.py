"""Bad parameters: every call and command of `bad_calls` is answered by one line that says what was received, what is
allowed, what to do next; the command line ends with code 2, and shows where it happened only if asked.
"""

import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
import torch

from tests import tiny
from tests.data.crafted import craft, write_zip
from tests.faults.bad_calls import CALLS, COMMANDS
from tests.tools.notebooks import crafted
from tinylab import course, data, diagnosis, evaluation, filters, models, optimizers, training
from tinylab.lab import LiveLab
from tinylab.lab.live import script
from tinylab.models import notation
from tinylab.support import device
from tinylab.support.errors import TinylabError
from tinylab.tools import cli
from tinylab.tools.notebooks import runner
from tinylab.training import History, Recipe, checkpoints


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder: the archive of three classes, a file in the way, one lecture."""
    where = tmp_path_factory.mktemp("bad")
    write_zip(where / "tiny.zip", craft())
    (where / "file").write_text("in the way")
    (where / "notebooks").mkdir()
    for name in ("01_data", "03_model_1"):
        crafted.write(where / "notebooks", name, crafted.notebook("1"))
    return where


@pytest.fixture(scope="module")
def names(folder):
    """What the calls of the table speak of."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYLAB_CACHE", str(folder / "cache"))
        noise, network = tiny.dataset(), tiny.network()
        run = training.train(network, noise, Recipe(epochs=1, batch=30))
        run.finish()
        loaded = data.load(folder / "tiny.zip")
        x, y = next(run.batches.epoch(1))
        perfect = evaluation.perfect(noise.validation.names, noise.validation.targets, 3)
        return {
            "np": np,
            "torch": torch,
            "data": data,
            "models": models,
            "notation": notation,
            "optimizers": optimizers,
            "training": training,
            "evaluation": evaluation,
            "diagnosis": diagnosis,
            "filters": filters,
            "course": course,
            "runner": runner,
            "checkpoints": checkpoints,
            "device": device,
            "script": script,
            "Recipe": Recipe,
            "History": History,
            "LiveLab": LiveLab,
            "LINE": tiny.LINE,
            "tiny": folder / "tiny.zip",
            "tiny_network": tiny.network,
            "noise": noise,
            "network": network,
            "history": run.history,
            "x": x,
            "y": y,
            "loaded": loaded,
            "checkpoint": run.state(),
            "perfect": perfect,
        }


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TINYLAB_CACHE", str(folder / "cache"))
    for name in ("TINYLAB_PROFILE", "TINYLAB_DEVICE"):
        monkeypatch.delenv(name, raising=False)
    return folder


def test_there_are_more_than_a_hundred():
    """bad parameter: the table is as large as was asked for."""
    assert len(CALLS) + len(COMMANDS) >= 200
    assert len(CALLS) >= 100


def first_words(table) -> list[str]:
    """What calls or commands begin with: one test each."""
    return sorted({re.split(r"[ .(]", line)[0] for line in table})


def of(word, table) -> list[str]:
    return [line for line in table if re.split(r"[ .(]", line)[0] == word]


@pytest.mark.parametrize("word", first_words(CALLS))
def test_bad_calls_are_answered_in_one_line(here, names, word):
    """bad parameter: one line, a TinylabError, naming what was received and what is allowed."""
    for call in of(word, CALLS):
        with pytest.raises(TinylabError) as caught:
            pytest.fail(f"{call} gave {eval(call, dict(names))!r}")
        message = str(caught.value)
        assert "\n" not in message, call
        assert 10 < len(message) < 500, message
        for fragment in CALLS[call]:
            assert fragment in message, call


def test_no_bad_call_leaves_anything_behind(names, tmp_path, monkeypatch):
    """bad parameter: refused before anything is made, or it is taken away again; all in one empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TINYLAB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "file").write_text("in the way")
    for call in CALLS:
        if call.startswith(("data.prepare", "data.write_sample", "data.fetch", "checkpoints", "evaluation", "runner")):
            with pytest.raises(TinylabError):
                eval(call, dict(names))
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} <= {".lock", "file", "unusable.txt"}


@pytest.mark.parametrize("word", first_words(COMMANDS))
def test_bad_commands_are_one_line_and_exit_code_2(here, capsys, word, tmp_path):
    """bad parameter: `tinylab: …` on standard error, no traceback, nothing made."""
    for command in of(word, COMMANDS):
        arguments = [filled(part, here, tmp_path) for part in shlex.split(command)]
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        error = capsys.readouterr().err
        assert ended.value.code == 2, (command, error)
        if COMMANDS[command]:
            assert error.startswith("tinylab: "), command
            assert error.count("\n") == 1, error
        assert "Traceback" not in error, command
        for fragment in COMMANDS[command]:
            assert fragment in error, command
        assert not list(tmp_path.iterdir()), command


def test_a_traceback_only_if_asked(here, capsys, tmp_path):
    """bad parameter: --traceback shows where, before or after the command's name."""
    for arguments in (["--traceback", "run", "99"], ["run", "99", "--traceback"]):
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        error = capsys.readouterr().err
        assert ended.value.code == 2
        assert "Traceback (most recent call last)" in error
        assert error.splitlines()[-1].startswith("tinylab: notebook '99' is unknown")


def test_the_same_from_a_shell(here):
    """bad parameter: as a student types it, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tinylab", "run", "--profile", "lectur"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    said = "tinylab: profile 'lectur' is unknown, did you mean 'lecture'? Allowed: smoke, lecture, full"
    assert done.stderr == said + "\n"


def filled(word, here, out) -> str:
    """The words in capitals are places."""
    places = {"TINY": here / "tiny.zip", "FILE": here / "file", "OUT": out / "out"}
    places["FILE/x.zip"] = here / "file" / "x.zip"
    return str(places.get(word, word))
