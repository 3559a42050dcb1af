"""What a hostile file, network or index could do: JupyterLab's door, records that are read, packages and bounds."""

import ast
import importlib.metadata
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.faults import kills
from tests.tools.notebooks import crafted
from tinylab.lab.live import script
from tinylab.support.errors import TinylabError
from tinylab.training.history import History

ROOT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


# ---- JupyterLab is bound to this machine, and its token is on


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory):
    """`tinylab lab`, really started, with the settings of nobody; gives its port and token."""
    folder = tmp_path_factory.mktemp("lab")
    crafted.write(folder, "01_data", crafted.notebook("1"))
    own = {
        "HOME": str(folder),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_RUNTIME_DIR": str(folder / "run"),
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")} | own
    root = ["--allow-root"] if os.geteuid() == 0 else []
    process = subprocess.Popen(
        [sys.executable, "-m", "tinylab", "lab", "--no-browser", "--ServerApp.port=0", *root],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    said = []
    patience = threading.Timer(kills.PATIENCE, os.killpg, (process.pid, signal.SIGKILL))  # if it says no address
    patience.start()
    try:
        for line in process.stderr:  # type: ignore[union-attr]
            said.append(line)
            if re.search(r"http://\S+/lab\b", line):
                found = re.search(r"http://(?:localhost|127\.0\.0\.1):(\d+)/lab\S*\?token=([0-9a-f]+)", line)
                assert found, f"an address of others, or without a token of its own: {line}"
                patience.cancel()
                threading.Thread(target=process.stderr.read, daemon=True).start()  # lest the pipe fills
                _wait_until_it_listens(int(found[1]))
                yield int(found[1]), found[2]
                break
        else:
            raise AssertionError("JupyterLab said no address:\n" + "".join(said))
    finally:
        patience.cancel()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stderr.close()  # type: ignore[union-attr]


def _wait_until_it_listens(port: int) -> None:
    """The address is written a moment before the port is open."""
    ends, pause = time.monotonic() + kills.PATIENCE, threading.Event()
    while time.monotonic() < ends:
        with socket.socket() as knock:
            if knock.connect_ex(("127.0.0.1", port)) == 0:
                return
        pause.wait(0.05)
    raise AssertionError(f"nothing listens on port {port}")


class Stay(urllib.request.HTTPRedirectHandler):
    """A page that leads to the login is a refusal."""

    def redirect_request(self, *_: object) -> None:
        return None


def ask(port: int, path: str, **headers: str) -> int:
    """The HTTP status of a GET request, without a proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), Stay)
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with opener.open(request, timeout=kills.PATIENCE) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_nobody_gets_in_without_the_token(jupyter):
    """JupyterLab on localhost with its token: files, kernels and terminals are refused to whoever has no token."""
    port, token = jupyter
    assert len(token) >= 32
    for path in ("/api/contents", "/api/kernels", "/api/terminals", "/api/sessions", "/files/01_data.ipynb"):
        assert ask(port, path) in (302, 401, 403), path
        assert ask(port, path, Authorization="token " + "0" * len(token)) in (302, 401, 403), path
    assert ask(port, "/api/contents", Authorization=f"token {token}") == 200
    assert not [path for path in (ROOT / "tinylab").rglob("*.py") if token in path.read_text()], "everybody knows it"


def test_nobody_outside_can_even_knock(jupyter):
    """JupyterLab on localhost with its token: the port is open on the loopback addresses only."""
    port, _ = jupyter
    tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
    if any(table.exists() for table in tables):
        rows = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()[1:]]
        listening = {row[1].split(":")[0] for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) == port}
        assert listening
        assert listening <= {"0100007F", "00000000000000000000000001000000"}, listening
    with socket.socket() as knock:
        knock.settimeout(1)
        outside = _address_of_this_machine()
        assert outside.startswith("127.") or knock.connect_ex((outside, port)) != 0


def _address_of_this_machine() -> str:
    """The one that other machines would use; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # TEST-NET, RFC 5737
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


# ---- reading a record executes nothing

HOSTILE = [
    "__import__('os').mkdir('pwned')",
    "!!python/object/apply:os.mkdir [pwned]",
    '{"py/reduce": [{"py/function": "os.mkdir"}, {"py/tuple": ["pwned"]}]}',
    '{"kind": "tinylab history", "version": 1, "recipe": {"__class__": "os.mkdir"}, "line": "", "data": "", '
    '"eval_split": "", "classes": [], "epochs": []}',
    "cos\nmkdir\n(S'pwned'\ntR.",
    '{"__proto__": 1, "kind": "tinylab story"}',
    '{"kind": "tinylab history", "version": 1e400}',
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:30])
def test_reading_a_record_executes_nothing(tmp_path, monkeypatch, text):
    """loading a record executes nothing: history and script are JSON, and only what they should hold is taken."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "history.json").write_text(text)
    for read in (lambda: History.load("history.json"), lambda: script.read(text)):
        with pytest.raises(TinylabError) as caught:
            read()
        assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["history.json"]


UNPICKLERS = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "jsonpickle"}
EVALUATORS = {"eval", "exec", "__import__", "system", "popen", "unsafe_load", "full_load"}


def dangers(code: str) -> list[str]:
    """Calls and imports by which a file could make Python do something, whatever they are called here."""
    found = []
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Import(names=names):
                wrong = any(alias.name.split(".")[0] in UNPICKLERS for alias in names)
            case ast.ImportFrom(module=str(module), names=names):
                wrong = module.split(".")[0] in UNPICKLERS or any(alias.name in EVALUATORS for alias in names)
            case ast.Call(func=function, keywords=keywords):
                name = ast.unparse(function).removeprefix("builtins.")
                given = {part.arg: ast.unparse(part.value) for part in keywords}
                wrong = name in EVALUATORS or name.rpartition(".")[2] in EVALUATORS - {
                    "eval"
                }  # a network has an eval()
                wrong |= any(given.get(option, "False") != "False" for option in ("shell", "allow_pickle"))
                wrong |= name == "torch.load" and given.get("weights_only") != "True"
                wrong |= name == "yaml.load"
            case _:
                wrong = False
        if wrong:
            found.append(f"{node.lineno}: {ast.unparse(node)}")
    return found


def test_nothing_in_the_package_unpickles_or_evaluates():
    """loading a record executes nothing: the calls that could are not there, `torch.load` only with weights_only."""
    paths = sorted((ROOT / "tinylab").rglob("*.py"))
    assert len(paths) > 100
    # grading asks a submission for its answers where they are: in the submission's own kernel, which runs it anyway
    paths.remove(ROOT / "tinylab" / "tools" / "notebooks" / "bridge.py")
    assert [f"{path.name}:{line}" for path in paths for line in dangers(path.read_text())] == []


@pytest.mark.parametrize(
    "line",
    [
        "eval(text)", "exec (text)", "builtins.eval(text)", "__import__(name)", "from builtins import eval as e",
        "import pickle as p", "from pickle import loads as read", "import marshal", "import joblib.numpy_pickle",
        "torch.load(path)", "torch.load(path, weights_only=False)", "np.load(path, allow_pickle = True)",
        "yaml.load(text)", "yaml.unsafe_load(text)", "subprocess.run(line, shell = yes)", "os.system(line)",
    ],
)  # fmt: skip
def test_what_the_search_knows(line):
    """loading a record executes nothing: and the search above finds what it looks for, however it is written."""
    assert dangers(f"def read():\n    {line}\n    model.eval()") == [f"2: {ast.unparse(ast.parse(line))}"]


# ---- packages


def requirements() -> list[Requirement]:
    extra = PROJECT["optional-dependencies"]
    return [Requirement(line) for line in [*PROJECT["dependencies"], *extra["test"]]]


def test_every_dependency_has_a_lower_bound_that_is_met():
    """dependencies have lower bounds: each names the oldest version that is promised to work, and this one is newer."""
    for requirement in requirements():
        bounds = [Version(part.version) for part in requirement.specifier if part.operator in (">=", "==", "~=")]
        assert bounds, f"{requirement} has no lower bound"
        installed = Version(importlib.metadata.version(requirement.name))
        assert installed >= max(bounds), requirement
        assert requirement.specifier.contains(installed, prereleases=True), requirement
        pinned = [part for part in requirement.specifier if part.operator in ("==", "===")]
        assert not pinned, f"{requirement}: no fix could come in"


def test_what_is_imported_is_declared():
    """dependencies have lower bounds: no package comes in by the back door, without a bound of its own."""
    declared = {re.sub(r"[-_.]+", "-", requirement.name).lower() for requirement in requirements()}
    modules = importlib.metadata.packages_distributions()
    own = {"tinylab", "tests"} | set(sys.stdlib_module_names)
    by_the_way = {"ipython", "nbformat", "nbclient", "traitlets", "requests", "packaging", "pygments", "pyyaml", "ray"}
    found = set()
    for path in (ROOT / "tinylab").rglob("*.py"):
        for name in re.findall(r"^\s*(?:from|import) ([a-zA-Z_]\w*)", path.read_text(), re.MULTILINE):
            if name not in own:
                found |= {re.sub(r"[-_.]+", "-", other).lower() for other in modules.get(name, [])}
    assert found - declared <= by_the_way, found - declared - by_the_way
    assert json.dumps(sorted(found))  # there are some
