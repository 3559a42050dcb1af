"""The project's files agree with each other: environments, README's commands, floors of the house, paths."""

import ast
import importlib
import importlib.util
import inspect
import json
import pkgutil
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from tests import floors
from tests.course.exercises import answers, test_mechanism
from tinylab import __version__, figures
from tinylab.course import ROOMS, case
from tinylab.course.exercises import exercises

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA_NAMES = {"pytorch-cpu": "torch", "matplotlib-base": "matplotlib", "jupyter_client": "jupyter-client"}


def _tracked() -> list[Path]:
    """The files of the repository; without git (an unpacked archive), what lies in its folders."""
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0 and done.stdout.strip():
        return [path for name in done.stdout.splitlines() if (path := ROOT / name).is_file()]
    folders = ("tinylab", "tests", "notebooks", ".ci")
    return [path for name in folders for path in (ROOT / name).rglob("*") if path.suffix in (".py", ".ipynb", "")]


# ---------------------------------------------------------------- environments


def _conda() -> dict[str, str]:
    """Name (as pip calls it) to version range of every dependency in environment.yml, commented lines left out."""
    lines = (ROOT / "environment.yml").read_text().split("dependencies:")[1].splitlines()
    entries = [line.strip().removeprefix("- ").split("  #")[0].strip() for line in lines if re.match(r"\s+- ", line)]
    found = {}
    for entry in entries:
        if entry == "pip:" or entry.startswith("--"):  # the section for pip, and the project itself
            continue
        name, versions = re.fullmatch(r"([A-Za-z0-9_-]+?)\s*((?:[<>=!].*)?)", entry).groups()  # type: ignore[union-attr]
        found[CONDA_NAMES.get(name, name)] = versions
    return found


def test_environment_and_pyproject_name_the_same_versions():
    text = (ROOT / "environment.yml").read_text()
    assert "--editable ." in text
    conda = _conda()
    wanted = {}
    for line in PROJECT["dependencies"]:
        requirement = Requirement(line)
        wanted[requirement.name] = set(str(requirement.specifier).split(","))
    wanted["python"] = set(PROJECT["requires-python"].split(","))
    conda.pop("pip")
    assert {name: set(versions.split(",")) for name, versions in conda.items()} == wanted


def test_environment_is_for_cpu_with_a_line_for_gpu():
    text = (ROOT / "environment.yml").read_text()
    gpu = re.search(r"# - pytorch-gpu(\S+)", text)
    assert gpu
    assert gpu[1] == _conda()["torch"]
    assert "conda-forge" in text


def test_every_dependency_has_a_floor_that_make_test_oldest_can_install(monkeypatch):
    lines = floors.constraints()
    named = {Requirement(line).name for line in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]]}
    assert {line.split("==")[0] for line in lines} == named
    assert "numpy==2.0.*" in lines
    assert not any(line.startswith("torch==") for line in floors.constraints(("torch",)))
    for bad in ("numpy", "numpy<3", "numpy==2.0", "numpy>=2.0,!=2.1"):
        monkeypatch.setitem(floors.PROJECT, "dependencies", [bad])
        with pytest.raises(ValueError, match="no lower bound"):
            floors.constraints()


def test_version_is_the_same_everywhere():
    assert PROJECT["version"] == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


# ---------------------------------------------------------------- README


def _commands() -> list[list[str]]:
    """Every command line in README's fenced sh blocks."""
    blocks = re.findall(r"```(?:sh|bash|console)\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    lines = [line.strip().removeprefix("$ ") for block in blocks for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line and not line.startswith("#")]


def _targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_readme_has_the_two_commands():
    assert ["make", "course"] in _commands()
    assert ["make", "test"] in _commands()


def test_readme_s_make_targets_exist():
    asked = {word for words in _commands() if words[0] == "make" for word in words[1:] if "=" not in word}
    assert asked
    assert asked <= _targets()


def test_readme_s_tinylab_commands_and_options_exist():
    from typer.main import get_command

    from tinylab.tools.cli import app

    asked = [words[1:] for words in _commands() if words[0] == "tinylab"]
    asked += [words[3:] for words in _commands() if words[1:3] == ["-m", "tinylab"]]
    assert asked
    for words in asked:
        command, rest = get_command(app), list(words)
        while hasattr(command, "commands"):
            assert rest, words
            assert rest[0] in command.commands, f"tinylab {' '.join(words)}"
            command = command.commands[rest.pop(0)]
        known = {name for parameter in command.params for name in parameter.opts} | {"--help"}
        assert {word.split("=")[0] for word in rest if word.startswith("--")} <= known, words


def test_readme_links_lead_somewhere():
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", (ROOT / "README.md").read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []


# ---------------------------------------------------------------- the house


def _files() -> list[Path]:
    return sorted((ROOT / "tinylab").rglob("*.py"))


def test_each_lecture_opens_its_rooms():
    stems = [path.stem for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))]
    assert stems == list(ROOMS)
    for stem, rooms in ROOMS.items():
        cells = json.loads((ROOT / "notebooks" / f"{stem}.ipynb").read_text())["cells"]
        source = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        lines = [line for line in source.splitlines() if not line.startswith(("%", "!"))]
        opened: set[str] = set()
        for node in ast.walk(ast.parse("\n".join(lines))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "tinylab":
                parts = node.module.split(".")
                opened |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        assert set(rooms) <= opened, f"{stem} opens {opened}"
        assert "tools" not in opened, f"{stem} imports machinery"


def test_each_lecture_is_listed_and_has_minutes_exercises_and_answers():
    """What a new lecture needs beside its notebook, and nobody would miss in it: all of CONTRIBUTING's list at once."""
    readme, page = ((ROOT / name).read_text("utf-8") for name in ("README.md", "notebooks/LECTURERS.md"))
    rows = re.findall(r"^\| \[([0-9]{2}_\w+)\]\(notebooks/\1\.ipynb\) \|", readme, re.MULTILINE)
    missing = [f"README's table of lectures lacks {stem}" for stem in ROOMS if stem not in rows]
    missing += [f"ROOMS in course/lectures.py lacks {stem}" for stem in rows if stem not in ROOMS]
    asked = dict(re.findall(r"^\| \[([0-9]{2})_\w+\]\(\S+\) \| (.*) \|$", readme, re.MULTILINE))
    missing += [
        f"README asks {q!r}, case.TITLES {case.TITLES[n]!r}" for n, q in asked.items() if case.TITLES.get(n, q) != q
    ]
    missing += ["README's table of lectures is out of order"] if not missing and rows != list(ROOMS) else []
    sections = dict(re.findall(r"^## ([0-9]{2}) · .*\n((?:(?!^## ).*\n)*)", page, re.MULTILINE))
    found = pkgutil.iter_modules(answers.__path__, f"{answers.__name__}.")
    tables = [test_mechanism, *(importlib.import_module(one.name) for one in found)]  # lecture 02's stand there
    answered = {kind: {row[0] for table in tables for row in getattr(table, kind)} for kind in ("RIGHT", "WRONG")}
    for stem in ROOMS:
        section = sections.get(stem[:2], "")
        minutes = [int(end) for end in re.findall(r"^\| [0-9]+–([0-9]+) \|", section, re.MULTILINE)]
        if not 0 < max(minutes, default=0) <= 45:
            missing.append(f"LECTURERS.md plans {max(minutes, default='no')} minutes for {stem}; up to 45 are allowed")
        if "misconception" not in section:
            missing.append(f"LECTURERS.md has no misconceptions of {stem}")
        own = [name for name in exercises() if name.startswith(f"{stem[:2]}.")]
        asked = re.findall(r'check\(\\"([0-9.]+)\\"', (ROOT / "notebooks" / f"{stem}.ipynb").read_text("utf-8"))
        if not own or set(asked) != set(own):
            missing.append(f"{stem} asks {asked}, and there are checks of {own}")
        missing += [
            f"tests/course/exercises/answers has nothing {kind} for {name}"
            for name in own
            for kind, known in answered.items()
            if name not in known
        ]
    assert not missing, "\n".join(missing)


def test_each_lecture_has_its_verdict():
    """A new lecture needs a line in TITLES, _TOUCHED and _ANSWERS of course/case.py; in _OPEN if it touches nobody."""
    numbers = {stem[:2] for stem in ROOMS}
    for table in (case.TITLES, case._TOUCHED, case._ANSWERS):
        assert set(table) == numbers
    assert set(case._OPEN) == {number for number, suspects in case._TOUCHED.items() if not suspects}


def test_lecturers_minutes_have_no_hole_and_begin_at_headings():
    """A row's second column is the heading from which on the slides' notes show it."""
    page = (ROOT / "notebooks" / "LECTURERS.md").read_text("utf-8")
    plans = re.findall(r"^## ([0-9]{2} · .*)\n((?:(?!^## ).*\n)*)", page, re.MULTILINE)
    for stem, (title, section) in zip(ROOMS, plans, strict=True):
        rows = re.findall(r"^\| ([0-9]+)–([0-9]+) \| (.+?) \|", section, re.MULTILINE)
        assert [int(begin) for begin, _, _ in rows] == [0, *(int(end) for _, end, _ in rows[:-1])], title
        cells = json.loads((ROOT / "notebooks" / f"{stem}.ipynb").read_text("utf-8"))["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        headings = re.findall(r"^#+ (.*)", text, re.MULTILINE)
        places = [headings.index(start) for _, _, start in rows]
        assert places == sorted(places), title
        assert places[0] == 0, title


def test_each_lecture_leads_to_the_next_and_is_called_by_one_name():
    titles, links = {}, {}
    for stem in ROOMS:
        cells = json.loads((ROOT / "notebooks" / f"{stem}.ipynb").read_text("utf-8"))["cells"]
        titles[stem] = "".join(cells[0]["source"]).splitlines()[0].removeprefix("# ")
        links[stem] = re.findall(r"\]\((\w+)\.ipynb\)", "".join(cells[-1]["source"]))
    stems = list(ROOMS)
    assert links == {stem: [after] for stem, after in zip(stems, [*stems[1:], stems[0]], strict=True)}
    headings = re.findall(
        r"^## ([0-9]{2} · .*)", (ROOT / "notebooks" / "LECTURERS.md").read_text("utf-8"), re.MULTILINE
    )
    assert headings == list(titles.values())  # the slides find a lecture's plan by it


def test_each_picture_has_a_test():
    functions = [name for name in figures.__all__ if inspect.isfunction(getattr(figures, name))]
    pictures = [
        name for name in functions if "Picture" in str(inspect.signature(getattr(figures, name)).return_annotation)
    ]
    assert len(pictures) > 25
    tests = "".join(path.read_text("utf-8") for path in (ROOT / "tests" / "figures").glob("test_*.py"))
    assert [name for name in pictures if not re.search(rf"\bfigures\.{name}\b|(?<!\.)\b{name}\(", tests)] == []


def test_files_stay_small():
    long = {path.name: count for path in _files() if (count := len(path.read_text().splitlines())) > 400}
    assert long == {}


# ---------------------------------------------------------------- what must not be committed


def test_no_committed_file_names_a_path_of_one_machine():
    shared = {Path(name) for name in ("/", "/tmp", "/home", "/root", "/opt", "/srv", "/usr", "/var", "/Users")}
    own = {ROOT, ROOT.parent, Path.home(), Path(sys.prefix)} - shared  # every machine has the others
    needles = [f"{path}/" for path in own]
    found = []
    for path in _tracked():
        text = path.read_bytes().decode("utf-8", errors="replace")
        found += [f"{path.relative_to(ROOT)}: {needle}" for needle in needles if needle in text]
    assert found == []


def test_continuous_integration_runs_the_tests():
    script = ROOT / ".ci" / "run"
    assert "make test" in script.read_text()
    assert ".ci/constraints.txt" in script.read_text()
    assert script.stat().st_mode & 0o111
    for line in (ROOT / ".ci" / "constraints.txt").read_text().splitlines():
        pinned = Requirement(line)
        (allowed,) = [one for text in PROJECT["dependencies"] if (one := Requirement(text)).name == pinned.name]
        (version,) = pinned.specifier
        assert version.version in allowed.specifier


def test_the_other_automations_call_what_exists():
    """The workflow, the hooks and the container for editors: their files are sound, and so are their commands."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())
    commands = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    commands += container["postCreateCommand"].split(" && ")
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert {hook["language"] for hook in hooks} == {"system"}  # one version of each tool, and no network
    commands += [hook["entry"] for hook in hooks]
    assert len(commands) > 10
    for words in map(shlex.split, commands):
        if words[0] == "make":
            assert words[1] in _targets()
        for word in words[1:]:
            if re.search(r"^(tests/|\.ci/|requirements)", word):
                assert (ROOT / word).exists(), word
        if words[:2] == ["python", "-m"] and words[2].startswith("tinylab"):
            assert importlib.util.find_spec(words[2])


def test_contributing_names_what_exists():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    named = [name for name in re.findall(r"`([\w./-]+/[\w./-]*)`", text) if "NN" not in name and "NAME" not in name]
    there = [name for name in links + named if (ROOT / name).exists() or (ROOT / "tinylab" / name).exists()]
    assert [name for name in links + named if name not in there and "11_" not in name] == []
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= _targets()
