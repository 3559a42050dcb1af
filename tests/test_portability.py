"""What README promises to Windows and macOS, looked for from Linux: names, paths and files that they do not have.

Each place that asks for something of one system has a fallback; `test_without_…` take that something away.
"""

import ast
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path, PureWindowsPath

import pytest

from tinylab.course.results import origins

ROOT = Path(__file__).parent.parent
# absent on Windows, and the last two on macOS: os and signal in Python's library reference, "Availability"
ABSENT = {
    "os": {
        "fork", "forkpty", "getuid", "geteuid", "getgid", "getegid", "getpgid", "setsid", "killpg", "mkfifo", "uname",
        "getloadavg", "chown", "wait", "WEXITSTATUS", "O_NONBLOCK", "statvfs", "sysconf", "nice",
        "sched_getaffinity", "sched_setaffinity", "memfd_create",
    },
    "signal": {"SIGKILL", "SIGHUP", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGCHLD", "SIGPIPE", "SIGQUIT", "alarm", "pause"},
    "socket": {"AF_UNIX"},
}  # fmt: skip
MODULES = {"fcntl", "grp", "pwd", "pty", "resource", "syslog", "termios"}
# a system's own files, and why it is no harm that others have none: their reader goes on without (tests below)
OWN_FILES = {
    "support/cgroups.py": "limits of containers",
    "support/files.py": "names that only tell what is open already",
    "course/results/origins.py": "the processor's name",
}


def _sources() -> list[Path]:
    return sorted((ROOT / "tinylab").rglob("*.py"))


def _faults(source: str) -> list[str]:
    """Names in some Python code that Windows or macOS lack, and nothing (`getattr`, `try`, `suppress`) expects that."""
    found, tree = [], ast.parse(source)
    guarded = [one for node in ast.walk(tree) if _expects(node) for one in node.body]
    expected = {id(inside) for one in guarded for inside in ast.walk(one)}
    for node in ast.walk(tree):
        if id(node) in expected:
            continue
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in ABSENT.get(node.value.id, ()):
                found.append(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.ImportFrom) and node.module in ABSENT:
            found += [f"{node.module}.{one.name}" for one in node.names if one.name in ABSENT[node.module]]
        elif isinstance(node, ast.Import):
            found += [one.name for one in node.names if one.name in MODULES]
        elif isinstance(node, ast.keyword) and node.arg in ("preexec_fn", "pass_fds"):
            found.append(f"{node.arg}=")
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("get_context", "set_start_method"):
            found += ["fork" for one in node.args if isinstance(one, ast.Constant) and one.value == "fork"]
    return found


def _expects(node: ast.AST) -> bool:
    """Whether a `try` or a `with suppress(…)` catches that a name or a module is missing."""
    if isinstance(node, ast.Try):
        caught = [handler.type for handler in node.handlers]
    elif isinstance(node, ast.With):
        calls = [item.context_expr for item in node.items if isinstance(item.context_expr, ast.Call)]
        caught = [one for call in calls if ast.unparse(call.func).endswith("suppress") for one in call.args]
    else:
        return False
    return any(re.search("ImportError|AttributeError", ast.unparse(kind)) for kind in caught if kind is not None)


def test_the_package_asks_for_nothing_that_another_system_lacks():
    found = {str(path.relative_to(ROOT)): faults for path in _sources() if (faults := _faults(path.read_text("utf-8")))}
    assert found == {}


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("import os\nos.fork()", "os.fork"),
        ("from signal import SIGKILL", "signal.SIGKILL"),
        ("import resource", "resource"),
        ("context = multiprocessing.get_context('fork')", "fork"),
        ("Popen(command, preexec_fn=work)", "preexec_fn="),
        ("getattr(os, 'sched_getaffinity', None)", None),
        ("try:\n    import fcntl\nexcept ImportError:\n    pass", None),
        ("with suppress(OSError, AttributeError):\n    os.chown(1, 2, 3)", None),
        ("with suppress(OSError):\n    os.chown(1, 2, 3)", "os.chown"),
    ],
)
def test_such_names_are_noticed(source, fault):
    assert _faults(source) == ([fault] if fault else [])


def test_one_system_s_own_files_are_read_in_few_places():
    heads = ("/proc", "/sys", "/dev/", "/tmp", "/var", "/etc", "C:\\")
    found = defaultdict(set)
    for path in _sources():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(heads):
                found[path.relative_to(ROOT / "tinylab").as_posix()].add(node.value)
    assert set(found) <= set(OWN_FILES), dict(found)


def test_file_names_are_possible_everywhere():
    done = subprocess.run(["git", "ls-files", "-s"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout.strip():
        pytest.skip("an unpacked archive: no list of files")
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    names = [name for _, name in rows]
    assert len({name.casefold() for name in names}) == len(names), "two names that differ by case only"
    reserved = {"con", "prn", "aux", "nul", *(f"{kind}{number}" for kind in ("com", "lpt") for number in range(1, 10))}
    for name in names:
        parts = PureWindowsPath(name).parts
        assert not {part.split(".")[0].casefold() for part in parts} & reserved, name
        assert not set(name) & set('<>:"|?*\\'), name
        assert not any(part.endswith((" ", ".")) for part in parts), name
        assert len(name) < 150, f"{name}: Windows allows 260 characters, the folder of the checkout included"
    assert [name for mode, name in rows if mode.startswith("120000")] == [], "symbolic links"


ELSEWHERE = """
import os, pkgutil, importlib, signal, sys
import torch, matplotlib.pyplot, psutil, ipywidgets, papermill, nbconvert, captum.attr, typer, scipy.stats, subprocess
absent = {absent!r}
for module, names in absent.items():
    for name in names:
        if hasattr(sys.modules.get(module), name):
            delattr(sys.modules[module], name)
sys.platform = {platform!r}
class Refused:
    def find_spec(self, name, path=None, target=None):
        if name in {modules!r}:
            raise ImportError(name)
for name in {modules!r}:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Refused())
import tinylab
for found in pkgutil.walk_packages(tinylab.__path__, "tinylab."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
from tests import tiny
from tinylab.support.cores import core_count
from tinylab.support.memory import available_memory, keep_freed
from tinylab.support.threads import release_team
from tinylab.training import Recipe, train
keep_freed(), release_team()
assert core_count() >= 1 and available_memory() > 0
history = train(tiny.network(), tiny.dataset(), Recipe(epochs=1, batch=16)).finish()
print("trained", len(history.epochs))
"""


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_without_what_linux_alone_has_everything_imports_and_a_network_trains(platform):
    """In a fresh process, once the libraries (which know their system) are there: os without fork, and so on."""
    absent = {module: sorted(names - {"uname", "sysconf"}) for module, names in ABSENT.items()}  # Python's own use
    code = ELSEWHERE.format(absent=absent, modules=sorted(MODULES), platform=platform)
    named = os.environ | {"USERNAME": "student"}  # else Python looks a name up where Windows has nothing to look in
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=named, capture_output=True, text=True, check=False)
    assert done.stdout.strip().endswith("trained 1"), done.stderr


def test_without_a_file_about_processors(monkeypatch):
    def missing(path, *_, **__):
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", missing)
    monkeypatch.setattr(origins.platform, "processor", lambda: "Apple M3")
    assert origins._processor() == "Apple M3"
