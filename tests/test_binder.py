"""`.binder/`: repo2docker takes it for what it is, it agrees with the other environment, and its script works."""

import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import nbformat
import pytest
import yaml
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parent.parent
BINDER = ROOT / ".binder"
NEEDED = ("tinylab", ".binder", "notebooks", "pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE")
OWN = {"setuptools>=77"}  # builds the package; pip brings it along elsewhere


def _dependencies(file: Path) -> tuple[set[str], set[str]]:
    """What a conda environment file asks of conda, and of pip."""
    listed = yaml.safe_load(file.read_text(encoding="utf-8"))["dependencies"]
    return {one for one in listed if isinstance(one, str)}, {name for one in listed if isinstance(one, dict)
                                                             for name in one["pip"]}  # fmt: skip


def test_it_asks_for_what_the_environment_at_the_top_asks_for():
    conda, pip = _dependencies(BINDER / "environment.yml")
    top_conda, top_pip = _dependencies(ROOT / "environment.yml")
    (python,) = [one for one in conda if one.startswith("python=")]
    (allowed,) = [one for one in top_conda if re.match(r"python[<>=]", one)]
    assert conda - {python} - OWN == top_conda - {allowed}
    assert pip == top_pip - {"--editable ."}  # "." would be .binder/ here, so postBuild installs the package
    assert python.removeprefix("python=") in SpecifierSet(allowed.removeprefix("python"))
    build = re.search(r'requires = \["([^"]+)"\]', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert build
    assert {build[1]} == OWN
    files = [yaml.safe_load((folder / "environment.yml").read_text(encoding="utf-8")) for folder in (BINDER, ROOT)]
    assert files[0]["channels"] == files[1]["channels"] == ["conda-forge"]


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
    return folder


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
    missing = subprocess.run([python, "-c", "import tinylab"], cwd=tmp_path, env=environment, capture_output=True)
    assert b"No module named 'tinylab'" in missing.stderr
    done = subprocess.run([copy / ".binder" / "postBuild"], cwd=copy, env=environment, capture_output=True, text=True,
                          timeout=400, check=False)  # fmt: skip
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
