"""Where things are: names that mean two data sets, caches given by a relative path, places that may not be read."""

import logging
import os
import subprocess
import sys

import pytest

from tests.data.crafted import craft, write_folder, write_zip
from tests.tools.notebooks import crafted
from tinylab import data
from tinylab.data import cache_root, load, prepare, resolve
from tinylab.tools import experiments
from tinylab.tools.notebooks import runner

SHOWS = "import tinylab\nloaded = tinylab.data.load(data)\nprint(loaded.name, len(loaded.train))"


@pytest.fixture
def two(tmp_path, root, monkeypatch):
    """A prepared "flowers" of 33 training images, and a folder ./flowers of 30: three of the former's are missing."""
    prepare(write_zip(tmp_path / "flowers.zip", craft()), "flowers", progress=False)
    fewer = {name: raw for name, raw in craft().items() if not ("train" in name and name.endswith("_11.JPEG"))}
    write_folder(tmp_path / "flowers", fewer)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_ambiguous_name_is_the_prepared_one_and_it_is_said(two, caplog):
    """one name, two data sets: the prepared one by its name, the folder by its path; a line says so."""
    caplog.set_level(logging.WARNING)
    assert len(load("flowers").train) == 33
    assert "flowers: taking the prepared data set of that name; what lies in this folder is ./flowers" in caplog.text
    caplog.clear()
    assert len(load("./flowers").train) == 30
    assert resolve("./flowers") == str(two / "flowers")
    assert caplog.text == ""


def test_run_and_train_take_the_same(two, call):
    """one name, two data sets: the notebooks, which run in another folder, get what the commands get."""
    (two / "notebooks").mkdir()
    lecture = crafted.write(two / "notebooks", "01_data", crafted.notebook(SHOWS))
    [outcome] = runner.run([lecture], profile="smoke", data="flowers")
    shown = next(cell for cell in outcome.notebook.cells if "print" in cell.source).outputs[-1].text
    assert shown == "flowers 33\n"
    line = "conv3-4 - max pool - max pool - max pool - max pool - softmax"
    code, out, _ = call("train", line, "--out", two / "run", "--data", "flowers", "--epochs", "1")
    assert code == 0
    assert "33 training images" in out


def test_paths_are_made_absolute_and_names_are_not(tmp_path, root, monkeypatch):
    """one name, two data sets: a relative path would mean something else in the notebooks' folder."""
    for name in ("flowers", "sample"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve("flowers") == str(tmp_path / "flowers")
    assert resolve("x/y.zip") == str(tmp_path / "x" / "y.zip")
    assert resolve("y.zip") == str(tmp_path / "y.zip")
    assert [resolve(name) for name in ("sample", "tiny-imagenet")] == ["sample", "tiny-imagenet"]


def test_a_relative_cache_is_one_place_for_all(tmp_path, monkeypatch):
    """one name, two data sets: TINYLAB_CACHE=cache, for this process in another folder and for its children."""
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TINYLAB_CACHE", "cache")
    prepare(write_zip(tmp_path / "a.zip", craft()), "flowers", progress=False)
    monkeypatch.chdir(tmp_path / "notebooks")
    assert cache_root() == tmp_path / "cache"
    assert len(load("flowers").train) == 33
    child = [sys.executable, "-c", "from tinylab import data; print(data.cache_root())"]
    done = subprocess.run(child, cwd=tmp_path / "notebooks", capture_output=True, text=True, check=True)
    assert done.stdout == f"{tmp_path / 'cache'}\n"
    assert data.prepared_names() == ["flowers"]
    assert os.listdir(tmp_path / "notebooks") == []


def test_a_plan_s_path_begins_where_the_plan_lies(two, monkeypatch):
    """one name, two data sets: a sweep's rows may be trained from any folder, on any machine that has this one."""
    plan = two / "plan.toml"
    found = {}
    for given in ("./flowers", "flowers.zip", "flowers", "sample", str(two / "flowers")):
        plan.write_text(f'data = "{given}"\nnetworks = ["model_1"]\n')
        monkeypatch.chdir(two)
        rows = experiments.load("plan.toml").rows
        monkeypatch.chdir("/")
        assert experiments.load(plan).rows == rows
        found[given] = rows[0].data
    here = str(two / "flowers")
    assert found == {"./flowers": here, "flowers.zip": f"{here}.zip", here: here} | {
        n: n for n in ("flowers", "sample")
    }
