"""`.binder/`: repo2docker takes it for what it is, it takes the locked versions, and its script works."""

import contextlib
import importlib.metadata
import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import nbformat
import pytest
import yaml
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parent.parent
BINDER = ROOT / ".binder"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NEEDED = ("tinylab", ".binder", "notebooks", "pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE")


def _locked() -> dict[str, list[str]]:
    """Name of a distribution to the versions that requirements.lock has of it, one for each kind of Python."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([a-z0-9-]+)==([^ ]+)", line):
            found.setdefault(match[1], []).append(match[2])
    return found


def test_python_and_pytorch_are_ones_that_the_package_allows():
    environment = yaml.safe_load((BINDER / "environment.yml").read_text(encoding="utf-8"))
    assert environment["channels"] == ["conda-forge"]
    listed = environment["dependencies"]
    (python,) = [one.removeprefix("python=") for one in listed if one.startswith("python=")]
    assert python in SpecifierSet(PROJECT["project"]["requires-python"])
    assert set(PROJECT["build-system"]["requires"]) <= set(listed)
    (torch,) = [one.removeprefix("pytorch-cpu=") for one in listed if one.startswith("pytorch-cpu")]
    pinned = (ROOT / ".ci" / "constraints.txt").read_text(encoding="utf-8").strip().removeprefix("torch==")
    assert pinned in SpecifierSet(f"=={torch}")  # the same as continuous integration tests
    assert f"torch=={pinned}" in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()[0]


def test_the_lock_has_a_version_of_every_dependency_but_pytorch_and_a_digest_of_each():
    locked = _locked()
    for line in PROJECT["project"]["dependencies"]:
        requirement = Requirement(line)
        if requirement.name == "torch":
            assert "torch" not in locked  # which build, is each machine's own affair
        else:
            assert all(version in requirement.specifier for version in locked[requirement.name]), line
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    for block in re.split(r"\n(?=[a-z])", text)[1:]:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block
    assert not re.search(r"://|--index|--extra|--find", text)
    assert not any(name.startswith(("nvidia", "cuda", "triton")) for name in locked)


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """What an image holds of the repository, as far as it is needed here."""
    folder = tmp_path_factory.mktemp("image") / "repository"
    folder.mkdir()
    for name in NEEDED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    # of the lock, what is here in that very version: nothing is to be fetched
    blocks = re.split(r"\n(?=[a-z])", (ROOT / "requirements.lock").read_text(encoding="utf-8"))[1:]
    (folder / "requirements.lock").write_text("\n".join(block for block in blocks if _here(block)) + "\n")
    return folder


def _here(block: str) -> bool:
    requirement = Requirement(block.partition("\\")[0])
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(requirement.name) in requirement.specifier
    return False


def test_repo2docker_builds_the_environment_and_runs_the_script(copy):
    """What it would hand to docker, which is not needed for that."""
    command = [sys.executable, "-m", "repo2docker", "--no-build", "--debug", str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "Building conda environment for python=3.12" in said
    assert re.search(r'env update .*--file "\.binder/environment\.yml"', said)
    assert "RUN ./.binder/postBuild" in said
    assert "unspecified" not in said  # it would take a Python that is too old


def test_the_script_installs_the_package_and_prepares_the_sample(copy, tmp_path):
    """In an environment that has, like the image, all that the package needs, but not the package."""
    assert (copy / ".binder" / "postBuild").stat().st_mode & stat.S_IXUSR
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    inside = Path(sysconfig.get_path("purelib", vars={"base": str(tmp_path / "env")}))
    (inside / "all_else.pth").write_text(sysconfig.get_path("purelib") + "\n")
    own = ("TINYLAB", "PYTHON", "XDG", "VIRTUAL")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    environment |= {"HOME": str(tmp_path / "home"), "REPO_DIR": str(copy)}
    environment["PATH"] = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    environment.pop("PIP_CONSTRAINT", None)  # CONTRIBUTING's is relative to this folder, and the script runs in another
    missing = subprocess.run([python, "-c", "import tinylab"], cwd=tmp_path, env=environment, capture_output=True)
    assert b"No module named 'tinylab'" in missing.stderr
    done = subprocess.run(
        [copy / ".binder" / "postBuild"],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"sample +ready", done.stdout)
    prepared = tmp_path / "home" / ".cache" / "tinylab" / "prepared" / "sample"
    manifest = (prepared / "manifest.json").stat()
    assert _in_a_kernel(python, tmp_path, environment) == f"{copy / 'tinylab' / '__init__.py'} 20 {prepared}"
    assert (prepared / "manifest.json").stat().st_mtime_ns == manifest.st_mtime_ns  # loaded, not drawn again


def _in_a_kernel(python: Path, folder: Path, environment: dict[str, str]) -> str:
    """What a notebook of the image prints about the package and the sample."""
    source = (
        "import tinylab\nfrom tinylab.data import cache\ndata = tinylab.data.load('sample')\n"
        "print(tinylab.__file__, len(data.classes), cache.prepared_folder('sample'))"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    manager = KernelManager()
    manager.kernel_spec.argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    NotebookClient(notebook, km=manager, timeout=200, resources={"metadata": {"path": str(folder)}}).execute(
        env=environment
    )
    (output,) = notebook.cells[0].outputs
    return str(output.text.strip())
