"""The command line: bad input is one line and exit code 2, a failed lecture exit code 1, help is quick."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from tests import tiny
from tests.tools.notebooks import crafted
from tinylab import __version__, training
from tinylab import data as images
from tinylab.lab.live.session import Session
from tinylab.support.device import pick
from tinylab.support.errors import DataError, check_int
from tinylab.training import checkpoints


@pytest.fixture
def tiny_data(monkeypatch):
    """`tinylab.data.load` gives a data set of noise, whatever it is asked for; what it was asked is kept."""
    asked = []

    def load(name, classes=None, **options):
        asked.append((name, classes, options))
        if name == "absent":
            raise DataError("no data set or path 'absent'. Allowed: sample")
        return tiny.dataset()

    monkeypatch.setattr(images, "load", load, raising=False)
    return asked


def _one_line(error):
    assert error.startswith("tinylab: ")
    assert error.count("\n") == 1, error
    return error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--profile", "lectur"], "did you mean 'lecture'"),
        (["run", "no_such_lecture"], "notebook 'no_such_lecture' is unknown"),
        (["run", "01", "--jobs", "0"], "jobs 0"),
        (["run", "01", "--seed", "-1"], "seed -1"),
        (["run", "01", "--timeout", "-3"], "timeout -3"),
        (["run", "01", "--timeout", "0"], "timeout 0"),
        (["run", "01", "--data", "absent"], "no data set or path 'absent'"),
        (["run", "01", "--store", "--profile", "smoke"], "--store needs"),
        (["train", "modle_1"], "did you mean 'model_1'"),
        (["train", "conv3-32 - rleu"], "rleu"),
        (["train", "model_1", "--recipe", "wel"], "did you mean 'well'"),
        (["train", "model_1", "--dropout", "1.5"], "dropout 1.5"),
        (["train", "model_1", "--learning-rate", "-1"], "learning_rate -1"),
        (["train", "model_1", "--epochs", "0"], "epochs 0"),
        (["train", "model_1", "--epochs", "many"], "--epochs"),
        (["train", "model_1", "--device", "gpu"], "device 'gpu' is unknown"),
        (["train", "model_1", "--eval-split", "trian"], "trian"),
        (["train", "model_1", "--resume"], "no run to resume"),
        (["train", "model_1", "--no-such-option"], "--no-such-option"),
        (["trian"], "train"),
        (["kernel", "install", "--name", "no spaces", "--prefix", "k"], "kernel name 'no spaces'"),
        (["kernel", "install", "--user", "--prefix", "k"], "Choose one"),
        (["data", "prepare", "--from", "nowhere.zip"], "nowhere.zip"),
    ],
    ids=" ".join,
)
def test_bad_input_is_one_line_and_exit_code_2(call, tiny_data, tmp_path, monkeypatch, arguments, words):
    (tmp_path / "notebooks").mkdir()
    crafted.write(tmp_path / "notebooks", "01_data", crafted.notebook("1"))
    monkeypatch.chdir(tmp_path)
    if arguments[0] == "train" and len(arguments) > 1:
        arguments = [*arguments, "--out", str(tmp_path / "out")]
    code, _, error = call(*arguments)
    assert words in _one_line(error)
    assert code == 2


def test_version_help_and_module():
    done = subprocess.run([sys.executable, "-m", "tinylab", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"tinylab {__version__} (Python ")
    heavy = "import sys; from tinylab.tools.cli import main\ntry:\n    main(['--help'])\nfinally:\n    "
    heavy += "assert not {'torch', 'nbformat', 'matplotlib'} & set(sys.modules), 'help waits for heavy imports'"
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("data", "train", "run", "kernel", "lab"):
        assert command in done.stdout


def test_a_defect_is_one_line_too_and_traceback_shows_where(call, monkeypatch):
    def broken(names):
        raise KeyError("a defect")

    monkeypatch.setattr("tinylab.course.find", broken)
    code, _, error = call("run")
    assert code == 1
    assert "--traceback" in _one_line(error)
    code, _, error = call("run", "--traceback")
    assert code == 1
    assert "Traceback (most recent call last)" in error
    assert "in broken" in error


def test_ctrl_c_is_no_defect(call, monkeypatch):
    def interrupted(names):
        raise KeyboardInterrupt

    monkeypatch.setattr("tinylab.course.find", interrupted)
    code, _, error = call("run")
    assert code == 130
    assert _one_line(error) == "tinylab: interrupted\n"


def test_train_writes_history_checkpoint_and_curves_and_resumes(call, tiny_data, tmp_path, monkeypatch):
    monkeypatch.setattr(tiny, "SIZE", 64)
    out = tmp_path / "runs" / "m"
    options = [
        "--out",
        out,
        "--recipe",
        "plain",
        "--batch",
        30,
        "--device",
        "cpu",
        "--classes",
        3,
        "--per-class",
        9,
    ]
    code, text, error = call("train", tiny.LINE, "--epochs", 1, *options)
    assert code == 0, error
    assert tiny_data == [("sample", 3, {"per_class": 9, "seed": 0})]
    assert "epoch 1 of 1: train " in text
    assert json.loads((out / "history.json").read_text())
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    code, _, error = call("train", tiny.LINE, "--epochs", 2, *options)
    assert code == 2
    assert "holds a run already" in _one_line(error)
    code, text, error = call("train", tiny.LINE, "--epochs", 2, "--resume", *options)
    assert code == 0, error
    assert "epoch 2 of 2" in text
    assert "epoch 1 of 2" not in text
    code, text, error = call("train", "--resume", "--out", out, "--device", "cpu")  # as it was asked for: 2, not 200
    assert code == 0, error
    assert "epoch " not in text.partition("lowest")[0]
    assert tiny_data[-1] == ("sample", 3, {"per_class": 9, "seed": 0})


@pytest.fixture
def script(tmp_path):
    """In a file, what a laboratory did in two epochs and a half, and that laboratory's session."""
    session = Session(tiny.dataset(), tiny.LINE, training.Recipe(epochs=5, batch=30), device=pick("cpu"))
    for steps, values in ((2, {"learning_rate": 0.01, "dropout": 0.2}), (3, {"clip": 1.0, "optimizer": "sgd"})):
        session.run_for(steps)
        session.ask("knobs", values)
    session.run_for(2)
    (tmp_path / "script.json").write_text(session.status.script.line() + "\n")
    return session


def test_train_replays_a_laboratory_s_script(call, tiny_data, tmp_path, script):
    out = tmp_path / "run"
    code, text, error = call("train", "--script", tmp_path / "script.json", "--out", out, "--device", "cpu", "--final")
    assert code == 0, error
    assert tiny_data == [("tiny", 3, {"per_class": None, "seed": 0})]
    assert "epoch 2 of 5: train " in text
    assert "epoch 3 of 5" not in text
    assert "7 updates replayed: the last batch's loss is the script's own, bit for bit" in text
    assert "official validation images, at the end" in text
    saved = checkpoints.load(out / "checkpoint.pt")
    for name, weights in script.run.model.state_dict().items():
        assert torch.equal(saved.model[name], weights), name
    assert json.loads((out / "script.json").read_text()) == json.loads((tmp_path / "script.json").read_text())
    code, _, error = call("train", tiny.LINE, "--recipe", "plain", "--out", out, "--resume")
    assert code == 2
    assert "belongs to another run" in _one_line(error)


def test_train_takes_the_script_s_number_of_images(call, tmp_path, monkeypatch):
    whole = tiny.dataset()
    part = replace(whole, train=whole.train.per_class(9, 0))
    session = Session(part, tiny.LINE, training.Recipe(epochs=5, batch=9), device=pick("cpu"))
    session.run_for(1)
    (tmp_path / "script.json").write_text(session.status.script.line())
    monkeypatch.setattr(images, "load", lambda *arguments, **options: whole)
    code, text, error = call("train", "--script", tmp_path / "script.json", "--out", tmp_path / "run")
    assert code == 0, error
    assert "27 training images" in text
    assert "bit for bit" in text
    assert "lowest" not in text  # no epoch has ended


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        (None, [], "cannot be read (No such file or directory)"),
        ("{}", [], "this is not a script"),
        ("told", ["model_1", "--epochs", "3"], "--script says all of a run. Leave a network, --epochs out"),
        ("told", ["--classes", "2"], "recorded on other images"),
        ("told", ["--classes", "0"], "classes 0"),
        ("never", [], "was never started"),
    ],
)
def test_a_script_that_cannot_be_trained_is_one_line(call, tmp_path, monkeypatch, script, content, options, words):
    path = tmp_path / "given.json"
    told = script.status.script
    if content is not None:
        steps = {"told": told.line(), "never": replace(told, steps=0, changes=()).line()}
        path.write_text(steps.get(content, content))

    def load(name, classes, **_):
        check_int("classes", classes, 2)
        return tiny.dataset(classes=classes)

    monkeypatch.setattr(images, "load", load)
    code, _, error = call("train", *options, "--script", path, "--out", tmp_path / "run")
    assert code == 2
    assert words in _one_line(error)
    assert not (tmp_path / "run").exists()


def test_run_tells_the_truth_and_stores_only_what_went_well(call, tiny_data, tmp_path, monkeypatch):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    good = crafted.write(folder, "01_good", crafted.notebook("print('stored')"))
    bad = crafted.write(folder, "02_bad", crafted.notebook("1 / 0"))
    before = bad.read_bytes()
    monkeypatch.chdir(tmp_path)
    code, text, error = call("run", "--store", "--out", "pages", "--jobs", 2)
    assert code == 1, error
    assert "✗ 02_bad" in text
    assert "cell 2 (`1 / 0`): ZeroDivisionError" in text
    assert "1 of 2 lectures ran" in text
    assert '"text": [\n     "stored' in good.read_text() or "stored\\n" in good.read_text()
    assert "tinylab-watch" not in good.read_text()
    assert bad.read_bytes() == before
    assert "1 of 2 lectures failed" in (tmp_path / "pages" / "index.html").read_text()
    assert (tmp_path / "pages" / "02_bad.html").exists()


@pytest.mark.parametrize(
    ("options", "variables"),
    [(["--classes", "5"], {}), ([], {"TINYLAB_CLASSES": "5"}), ([], {"TINYLAB_STYLE": "projector"})],
    ids=str,
)
def test_only_what_readers_of_the_web_see_is_stored(call, tiny_data, tmp_path, monkeypatch, options, variables):
    (tmp_path / "notebooks").mkdir()
    crafted.write(tmp_path / "notebooks", "01_data", crafted.notebook("1"))
    monkeypatch.chdir(tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("tinylab.tools.notebooks.runner.run", lambda *_, **__: pytest.fail("it ran"))
    code, _, error = call("run", "01", "--store", *options)
    assert code == 2
    for words in ("--store needs", *options[:1], *variables):
        assert words in _one_line(error)


def test_kernel_says_on_which_device_it_trains(call, tmp_path):
    code, text, error = call("kernel", "install", "--prefix", tmp_path)
    assert code == 0, error
    spec = json.loads((tmp_path / "share" / "jupyter" / "kernels" / "tinylab" / "kernel.json").read_text())
    assert spec["argv"][0] == sys.executable
    from tinylab.support.device import pick

    assert spec["display_name"].startswith("tinylab (")
    assert pick().label.split(" (")[0] in spec["display_name"]
    assert spec["display_name"] in text


def test_lab_opens_the_lectures(call, tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    crafted.write(tmp_path / "notebooks", "01_data", crafted.notebook("1"))
    monkeypatch.chdir(tmp_path)
    commands = []

    class Done:
        returncode = 7

    monkeypatch.setattr(subprocess, "run", lambda command: commands.append(command) or Done())
    monkeypatch.setattr(os, "geteuid", lambda: 1000, raising=False)
    code, _, _ = call("lab", "--no-browser")
    assert code == 7
    place = str(tmp_path / "notebooks")
    assert commands == [[sys.executable, "-m", "jupyterlab", place, "--ServerApp.ip=localhost", "--no-browser"]]
    monkeypatch.setattr(os, "geteuid", lambda: 0, raising=False)
    code, _, error = call("lab")
    assert code == 2
    assert "tinylab lab --allow-root" in error
    assert call("lab", "--allow-root")[0] == 7
