"""The wheel: it holds the lectures, and runs one where no checkout is near."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
SOURCES = ("tinylab", "notebooks", "pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, since building leaves folders behind, with the setuptools that is here: no network."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "source"
    copy.mkdir()
    left_out = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=left_out)
        else:
            shutil.copy(ROOT / name, copy / name)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = folder.glob("tinylab-*.whl")
    return found


def test_it_holds_the_package_its_data_and_the_lectures_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    inside = {name for name in names if name.startswith("tinylab/")}
    wanted = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tinylab").rglob("*.py")}
    wanted |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "tinylab/course/results/stored").iterdir()}
    lectures = {f"tinylab/course/notebooks/{path.name}" for path in (ROOT / "notebooks").glob("[0-9]*.ipynb")}
    assert len(lectures) >= 10
    assert wanted | lectures <= inside
    assert {name.split("/")[0].split("-")[0] for name in names} == {"tinylab"}
    assert any(name.endswith("licenses/NOTICE") for name in names)


def test_it_runs_a_lecture_outside_the_checkout(wheel, tmp_path):
    place, work = tmp_path / "site", tmp_path / "work"
    work.mkdir()
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--quiet", "--target", str(place), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    alone = os.environ | {"PYTHONPATH": str(place)}
    told = "import tinylab, tinylab.course; print(tinylab.__file__, tinylab.course.folder())"
    seen = subprocess.run([sys.executable, "-c", told], cwd=work, env=alone, capture_output=True, text=True, check=True)
    expected = [place / "tinylab" / "__init__.py", place / "tinylab" / "course" / "notebooks"]
    assert seen.stdout.split() == [str(path) for path in expected]
    command = [sys.executable, "-m", "tinylab", "run", "02", "--profile", "smoke", "--out", "pages"]
    done = subprocess.run(command, cwd=work, env=alone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 lectures ran" in done.stdout
    assert (work / "pages" / "02_layers.html").is_file()


def test_citation_and_metadata_agree():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert cited["version"] == project["version"]
    assert cited["authors"] == project["authors"]
    assert project["license"].startswith(cited["license"])
    assert all((ROOT / name).is_file() for name in project["license-files"])
