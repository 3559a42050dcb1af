"""The page on running a hub: its snippets can be read by what shall read them, and name what exists."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from traitlets.config import Config

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "notebooks" / "HUB.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
CLUSTER = yaml.safe_load(next(text for kind, text in BLOCKS if kind == "yaml"))


def test_every_snippet_is_of_a_kind_that_is_checked_here():
    assert {kind for kind, _ in BLOCKS} == {"sh", "python", "yaml"}


@pytest.mark.parametrize("block", [text for kind, text in BLOCKS if kind == "sh"])
def test_commands_are_sound_shell(block):
    done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_commands_of_the_package_exist():
    from typer.main import get_command

    from tinylab.tools.cli import app

    lines = [shlex.split(line, comments=True) for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
    asked = [
        words[[Path(word).name for word in words].index("tinylab") + 1 :]
        for words in lines
        if any(Path(word).name == "tinylab" for word in words[:2])
    ]
    asked += [shlex.split(found) for found in re.findall(r"`tinylab ([^`]+)`", PAGE)]
    assert len(asked) >= 4
    for words in asked:
        command, rest = get_command(app), list(words)
        while hasattr(command, "commands"):
            assert rest[0] in command.commands, words
            command = command.commands[rest.pop(0)]
        known = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= known, words


def test_the_hub_s_python_sets_what_the_package_reads():
    (snippet,) = [text for kind, text in BLOCKS if kind == "python"]

    configuration = Config()
    exec(compile(snippet, "tinylab.py", "exec"), {"c": configuration})
    environment = configuration.Spawner.environment.get_value({"KEPT": "1"})
    assert set(environment) == {"KEPT", *CLUSTER["singleuser"]["extraEnv"]}
    from tinylab.data.folders import VARIABLE

    assert VARIABLE in environment
    assert all(isinstance(value, str) for value in environment.values())


def test_both_hubs_grant_the_same_and_no_more_threads_than_processors():
    single = CLUSTER["singleuser"]
    assert f"limits.memory {single['memory']['limit']}" in PAGE
    assert f"limits.cpu {single['cpu']['limit']}" in PAGE
    assert f"services.cull.timeout {CLUSTER['cull']['timeout']}" in PAGE
    assert {single["extraEnv"][name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")} == {
        str(single["cpu"]["limit"])
    }
    (mount,) = single["storage"]["extraVolumeMounts"]
    assert mount["readOnly"] is True
    assert mount["mountPath"] == single["extraEnv"]["TINYLAB_CACHE"]


def test_the_locked_pytorch_is_the_one_that_is_tested():
    pinned = (ROOT / ".ci" / "constraints.txt").read_text(encoding="utf-8").strip()
    assert set(re.findall(r"torch==[0-9.]+", PAGE)) == {pinned}
    assert PAGE.count("--no-deps --require-hashes -r ") == 2


def test_links_lead_somewhere():
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", PAGE)
    assert [link for link in links if not (ROOT / "notebooks" / link).exists()] == []
