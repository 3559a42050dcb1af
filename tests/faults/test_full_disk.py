"""Disk full: what the notebooks' tools write is the old file or the new one, never a part, and a rerun works."""

import shutil
import subprocess

import nbformat
import pytest

from tests.notebooks.test_stored import executed
from tests.tools.notebooks import crafted
from tinylab.support.errors import TrainingError
from tinylab.tools.cli import lectures
from tinylab.tools.notebooks import pages, slides, stored, student
from tinylab.tools.notebooks.runner import Outcome

SIZE = 24  # kilobytes


@pytest.fixture
def disk(tmp_path):
    """A disk of 24 kilobytes; skips where none may be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", f"size={SIZE}k", "none", str(place)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def _lecture(folder, padding=0):
    """A lecture fit to be stored, with so many letters of output."""
    made = executed()
    made.cells[0].source = "# 01 · A small one"
    made.cells[2].outputs[0].text = "x" * padding + "\n"
    return crafted.write(folder, "01_small", made)


def _outcome(path, made):
    return Outcome(path, "01 · A small one", 4, "ok", notebook=made)


def _store(path, made):
    lectures._store(_outcome(path, made), stored)


def _pages(out, path, made):
    pages.write(out, [_outcome(path, made)], profile="smoke", data="sample", seed=0, seconds=1)


def test_a_stored_notebook_is_the_old_one_or_the_new_one(disk, tmp_path):
    path = _lecture(disk)
    before = path.read_bytes()
    large = nbformat.read(_lecture(tmp_path, 30_000), as_version=4)
    with pytest.raises(TrainingError, match=r"01_small\.ipynb: .* could not be written .*there before is intact"):
        _store(path, large)
    assert path.read_bytes() == before
    assert [one.name for one in disk.iterdir()] == ["01_small.ipynb"]
    _store(path, nbformat.read(_lecture(tmp_path, 3), as_version=4))
    assert "xxx" in path.read_text()


def test_a_student_edition_is_whole_or_not_there(disk, tmp_path):
    lecture = _lecture(tmp_path)
    made = nbformat.read(lecture, as_version=4)
    made.cells[0].source += "\n\n" + "word " * 8_000
    nbformat.write(made, lecture)
    with pytest.raises(TrainingError, match=r"01_small\.ipynb: .* could not be written"):
        student.write([lecture], disk / "class")
    assert list((disk / "class").iterdir()) == []
    student.write([_lecture(tmp_path)], disk / "class")


def test_pages_are_the_old_ones_or_the_new_ones(disk, tmp_path):
    path = _lecture(tmp_path)
    (disk / "01_small.html").write_text("the old page")
    with pytest.raises(TrainingError, match=r"01_small\.html: .* could not be written"):
        _pages(disk, path, nbformat.read(_lecture(tmp_path, 60_000), as_version=4))
    assert (disk / "01_small.html").read_text() == "the old page"
    assert [one.name for one in disk.iterdir()] == ["01_small.html"]


def test_slides_are_the_old_ones_or_the_new_ones(disk, tmp_path):
    pytest.importorskip("sphinx_revealjs")  # its script alone is larger than the disk
    (disk / "01_small.html").write_text("the old deck")
    with pytest.raises(TrainingError, match=r"01_small\.html: .* could not be written"):
        slides.write([_lecture(tmp_path)], disk)
    assert (disk / "01_small.html").read_text() == "the old deck"
