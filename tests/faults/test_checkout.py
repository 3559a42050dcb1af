"""A checkout on another system, JupyterLab and make with options, notebooks that were duplicated."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools.notebooks import crafted
from tinylab import course
from tinylab.data import loading
from tinylab.support.errors import NotebookError

ROOT = Path(__file__).parents[2]
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="no git here")


@needs_git
def test_line_ends_stay_as_they_are(tmp_path):
    """a checkout on Windows: autocrlf, which Git for Windows asks for, changes no text and no picture."""
    shutil.copy(ROOT / ".gitattributes", tmp_path)
    content = {"run.sh": b"#!/bin/bash\necho hi\n", "p.png": b"\x89PNG\r\n\x1a\n\n\r\n", "w.safetensors": b"a\r\nb\n"}
    for name, raw in content.items():
        (tmp_path / name).write_bytes(raw)
    git = ["git", "-c", "core.autocrlf=true", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for step in (
        ["init", "-q"],
        ["add", "."],
        ["commit", "-qm", "x"],
        ["rm", "-q", *content],
        ["checkout", "-q", "HEAD", "."],
    ):
        subprocess.run([*git, *step], cwd=tmp_path, check=True, capture_output=True)
    assert {name: (tmp_path / name).read_bytes() for name in content} == content


def test_the_sample_s_fingerprint_does_not_depend_on_line_ends(tmp_path, monkeypatch):
    """a checkout on Windows: one cache shared by two checkouts is not drawn anew at every switch."""
    asked = []
    monkeypatch.setattr(loading.caches, "ensure", lambda name, fingerprint, *_, **__: asked.append(fingerprint))
    loading._sample(tmp_path)
    for file in ("sample.py", "drawing.py"):
        raw = (ROOT / "tinylab/data" / file).read_bytes()
        (tmp_path / file).write_bytes(raw.replace(b"\n", b"\r\n"))
    monkeypatch.setattr(loading, "__file__", str(tmp_path / "loading.py"))
    loading._sample(tmp_path)
    (tmp_path / "sample.py").write_bytes(b"another")
    loading._sample(tmp_path)
    assert asked[0] == asked[1] != asked[2]


@pytest.mark.parametrize("given", [["--ip", "0.0.0.0"], ["--ip=0.0.0.0"], ["--ServerApp.ip=0.0.0.0"]])
def test_the_user_s_address_wins(tmp_path, call, monkeypatch, given):
    """options that go to JupyterLab: it takes one address, so ours goes when another is given."""
    commands = []
    monkeypatch.setattr(
        subprocess, "run", lambda command: commands.append(command) or type("Done", (), {"returncode": 0})
    )
    assert call("lab", "--allow-root", *given)[0] == 0
    assert commands[0][4:] == ["--allow-root", *given]
    assert commands[0][:3] == [sys.executable, "-m", "jupyterlab"]
    call("lab", "--allow-root")
    assert commands[1][4:] == ["--ServerApp.ip=localhost", "--allow-root"]


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
def test_make_hands_options_on_and_installs_into_its_own_environment():
    """options that go to JupyterLab: `make lab ARGS=--allow-root`; and PIP_USER=1 does not stop `make course`."""
    command = ["make", "-n", "lab", "ARGS=--allow-root", "VENV=/no/such/environment"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, env=os.environ | {"PIP_USER": "1"}
    )
    assert "/tinylab lab --allow-root" in done.stdout
    installs = [line for line in done.stdout.splitlines() if "-m pip" in line]
    assert installs
    assert all("PIP_USER=0 " in line for line in installs)


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
def test_the_lectures_are_tested_without_a_home_to_write_to():
    """the user's own matplotlib settings: it says on standard error, in a cell, where else it keeps its own files."""
    done = subprocess.run(["make", "-n", "test"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert re.search(r"MPLCONFIGDIR=\S+/build/matplotlib .*\\\n.*--nbval", done.stdout)


def test_a_duplicate_is_said(tmp_path, monkeypatch):
    """hidden files, names with spaces, doubled notebooks: JupyterLab's Duplicate makes a second 01."""
    (tmp_path / "notebooks").mkdir()
    for name in ("01_data", "01_data-Copy1"):
        crafted.write(tmp_path / "notebooks", name, crafted.notebook("1"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotebookError, match=r"notebook '01' could be 01_data or 01_data-Copy1\. Give the whole name"):
        course.find(["01"])
    assert [path.stem for path in course.find(["01_data"])] == ["01_data"]
