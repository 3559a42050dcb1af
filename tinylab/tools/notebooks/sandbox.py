"""A submission's code, run in a kernel of its own, an empty folder and an almost empty environment.

Nothing that it does reaches the grader but its answers, as plain data: a cell that hangs or kills its kernel is left
out, the kernel started again with the others, and the grading goes on. This keeps honest mistakes apart, and a grade
from being talked up; it is no prison. Code from strangers belongs into a container or an account of its own.
"""

import ast
import contextlib
import itertools
import json
import os
import re
import secrets
import subprocess
import symtable
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import psutil
from IPython.core.inputtransformer2 import TransformerManager
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from tinylab.course.exercises import kernel as checks_kernel
from tinylab.data import cache_root
from tinylab.support.errors import NotebookError
from tinylab.tools.notebooks import bridge, inspection, kernels

_KEPT = (
    "PATH",
    "LANG",
    "LC_",
    "SYSTEMROOT",
    "TMP",
    "TEMP",
    "PYTHON",
    "VIRTUAL_ENV",
    "CONDA",
    "LD_LIBRARY_PATH",
    "CUDA",
)
_PREPARE = "from tinylab.tools.notebooks import bridge as _tinylab_bridge"
_HANGS, _DIES = "it was still running when its time was over", "the kernel died"
_FATAL = {_HANGS, _DIES}
_START = 300.0  # seconds that a kernel may take until it has imported what it needs: nothing of the student's has run
_STAR = "*"
_SETTINGS = 'profile, data, seed = "smoke", "sample", 0'


class Sandbox:
    """A kernel with the cells of a submission that its answers need; a context, so that the kernel ends."""

    def __init__(self, cells: dict[int, list[str]], folder: Path, timeout: float, jobs: int = 1) -> None:
        self.cells, self.folder, self.timeout = dict(cells), folder, timeout
        self.faults: dict[int, str] = {}  # cell: what went wrong in it
        self.spent = 0.0  # seconds that its code took so far
        self._environment = _environment(folder, jobs)
        self._client: NotebookClient | None = None

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *error: object) -> None:
        self._stop()

    def answer(self, expression: str) -> Any:
        """The value of an expression in the kernel: plain data, or a function that runs there.

        Raises NotebookError in words for its author when there is none.
        """
        data = self._ask("tell", expression)
        value = self._value(data)
        if not isinstance(value, bridge.Callable):
            return value

        def answer(*arguments: Any) -> Any:
            sent = json.dumps(bridge.encode(list(arguments)))
            back = self._ask("call", expression, sent)
            _changed(arguments, back.get("arguments"))
            return self._value(back)

        return answer

    def broken(self, expression: str, answer: int | None) -> str:
        """What went wrong in the cells that should have bound the names in an expression, and in cell `answer`."""
        names = _names(expression)[1]
        blamed = [n for n in sorted(self.faults) if n == answer or any(names & _names(p)[0] for p in self.cells[n])]
        return "; ".join(f"cell {number}: {self.faults[number]}" for number in blamed)

    def _value(self, data: dict[str, Any]) -> Any:
        value = data.get("value")
        if isinstance(value, dict) and value.get("is") == "error":
            raise bridge.error_class(str(value["kind"]))(str(value["message"]))
        try:
            return bridge.decode(value)
        except Exception as error:  # whatever a kernel that lies may send
            raise NotebookError(f"the answer cannot be read: {type(error).__name__}") from None

    def _ask(self, what: str, *arguments: str) -> dict[str, Any]:
        """What a function of the bridge, called in the kernel, displays."""
        self._start()
        nonce, sent = secrets.token_hex(8), "".join(f", {argument!r}" for argument in arguments)
        cell = self._run(f"_tinylab_bridge.{what}({nonce!r}, globals(){sent})")
        for output in cell.outputs:
            data = output.get("data", {}).get(bridge.MIME)
            if isinstance(data, dict) and data.get("nonce") == nonce:
                return dict(data)
        raise NotebookError("the kernel gave no answer")

    def _start(self) -> None:
        """A kernel in which the cells have run, all but those that hang or kill it."""
        while self._client is None:
            self._client = kernels.client(nbformat.v4.new_notebook(), self.folder, self.timeout, allow_errors=True)
            self._client.nb.cells = [nbformat.v4.new_code_cell("")]
            self._client.reset_execution_trackers()
            self._client.start_new_kernel(
                env=self._environment, cwd=str(self.folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            self._client.start_new_kernel_client()
            self._run(_PREPARE, _START)
            for number, parts in self.cells.items():
                if self.faults.get(number) not in _FATAL:
                    self._play(number, parts)
                if self._client is None:
                    break

    def _play(self, number: int, parts: list[str]) -> None:
        """Run one cell of the submission, and note what goes wrong in it."""
        for part in parts:
            try:
                cell = self._run(part, _START if part.startswith(("import ", "from ")) else None)
            except checks_kernel.Expired:
                self.faults[number] = _HANGS
                return
            except NotebookError:
                self.faults[number] = _DIES
                return
            for output in cell.outputs:
                if output.output_type == "error":
                    self.faults[number] = f"{output.ename}: {output.evalue}"
                    return

    def _run(self, source: str, timeout: float | None = None) -> NotebookNode:
        """Run one cell, within the time limit or another.

        Expired when it takes too long, NotebookError when the kernel dies: then there is none.
        """
        assert self._client is not None
        cell = nbformat.v4.new_code_cell(source)
        started = time.monotonic()
        self._client.timeout = round(timeout or self.timeout)
        try:
            return self._client.execute_cell(cell, 0)
        except CellTimeoutError:
            self._stop()
            raise checks_kernel.Expired(f"{self.timeout:g} s") from None
        except (DeadKernelError, RuntimeError):
            self._stop()
            raise NotebookError("the kernel died while the answer was tried") from None
        finally:
            self.spent += time.monotonic() - started

    def _stop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            _end_children(getattr(getattr(client.km, "provisioner", None), "pid", None))
            client._cleanup_kernel()


def needed(
    cells: Iterable[tuple[int, NotebookNode]], expressions: Iterable[str], always: Collection[int] = ()
) -> dict[int, list[str]]:
    """{number: parts} of the cells that expressions need, in their order: those that bind the names in them, and so on.

    A lecture also trains networks and draws figures; no answer has to wait for them. The cells `always` are needed even
    if they bind nothing: they stand where an answer should, and what breaks in them says why there is none.
    """
    code: dict[tuple[int, int], tuple[str, set[str], set[str]]] = {}  # source, names bound, names used
    for number, cell in cells:
        source = _SETTINGS if "parameters" in inspection.tags(cell) else cell.source
        for place, part in enumerate(_parts(source)):
            code[number, place] = (part, *_names(part))
    wanted = set().union(*(_names(expression)[1] for expression in expressions))
    chosen = {key for key in code if key[0] in always}
    wanted |= set().union(*(code[key][2] for key in chosen))
    while True:
        last = max(chosen, default=(0, 0))[0]
        more = {  # a star, in a cell that is needed or before it, may bind any name
            key
            for key, (_, bound, _) in code.items()
            if key not in chosen and (bound & wanted or (_STAR in bound and key[0] <= last))
        }
        if not more:
            break
        chosen |= more
        wanted |= set().union(*(code[key][2] for key in more))
    parts: dict[int, list[str]] = {}
    for key in sorted(chosen):
        parts.setdefault(key[0], []).append(code[key][0])
    return parts


def _parts(source: str) -> list[str]:
    """A cell in parts, each import one of its own: few answers need all that a lecture imports."""
    source = re.sub(r"\r\n?", "\n", source)
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError):
        return [source]
    lines = source.split("\n")  # as `ast` counts; `splitlines` knows more ends of lines, such as U+2028 in a text
    groups = [list(group) for _, group in itertools.groupby(body, _is_import)]
    found = []
    for group in groups:
        if _is_import(group[0]):
            found += [ast.unparse(one) for one in group]
        else:
            first = min([group[0].lineno, *(d.lineno for d in getattr(group[0], "decorator_list", []))])
            found.append("\n".join(lines[first - 1 : group[-1].end_lineno]))
    return found


def _is_plain(source: str) -> bool:
    """Whether a cell is Python without magics; of that, IPython warns if a text in it holds other ends of lines."""
    with contextlib.suppress(SyntaxError):
        return bool(ast.parse(source))
    return False


def _is_import(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Import | ast.ImportFrom)


def _names(source: str) -> tuple[set[str], set[str]]:
    """The names that a cell binds or changes, and those it uses; of a cell that is no Python, what it seems to bind."""
    try:
        plain = source if _is_plain(source) else TransformerManager().transform_cell(source)
        tree, table = ast.parse(plain), symtable.symtable(plain, "cell", "exec")
    except (SyntaxError, ValueError, RecursionError):
        return _guessed(source), set()
    bound = {one.get_name() for one in table.get_symbols() if one.is_assigned() or one.is_imported()}
    used = {one.get_name() for one in table.get_symbols() if one.is_referenced()}
    scopes = table.get_children()
    for scope in scopes:
        scopes += scope.get_children()
        used |= {one.get_name() for one in scope.get_symbols() if one.is_global()}
    if plain.strip() != source.strip():  # magics, which hide what they run: `%time answer = 3`
        bound, used = bound | _guessed(source), used | set(re.findall(r"\w+", source))
    if any(isinstance(node, ast.ImportFrom) and node.names[0].name == _STAR for node in ast.walk(tree)):
        bound.add(_STAR)
    for node in ast.walk(tree):  # `answers[0] = 3` and `answers.append(3)` change `answers`
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            bound |= {inner.id for inner in ast.walk(node.value) if isinstance(inner, ast.Name)}
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            called = node.value.func
            if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
                bound.add(called.value.id)
    return bound, used


def _end_children(kernel: int | None) -> None:
    """End what the code in a kernel has started, also in a session of its own, which would outlive the kernel."""
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(kernel).children(recursive=True) if kernel else []:
            with contextlib.suppress(psutil.Error):
                child.kill()


def _guessed(source: str) -> set[str]:
    """The names that a cell seems to bind, by its words."""
    return set(re.findall(r"\bdef\s+(\w+)", source)) | set(re.findall(r"(\w+)\s*=(?!=)", source))


def _changed(arguments: tuple[Any, ...], after: Any) -> None:
    """Do to the arguments here what the function did to its copies of them, so that a check can notice."""
    try:
        values = bridge.decode(after)
    except Exception:
        return
    for mine, theirs in zip(arguments, values if isinstance(values, list) else [], strict=False):
        if isinstance(mine, np.ndarray) and isinstance(theirs, np.ndarray) and mine.shape == theirs.shape:
            np.copyto(mine, theirs, casting="unsafe")
        elif isinstance(mine, list) and isinstance(theirs, list):
            mine[:] = theirs


def _environment(folder: Path, jobs: int) -> dict[str, str]:
    """What a submission may know: where Python and the prepared images are, and a home that is empty."""
    kept = {name: value for name, value in kernels.environment(jobs).items() if name.startswith(_KEPT)}
    threads = {name: value for name, value in kernels.environment(jobs).items() if name.endswith("_NUM_THREADS")}
    home = {"HOME": str(folder), "USERPROFILE": str(folder), "IPYTHONDIR": str(folder / ".ipython")}
    drawn = {"MPLCONFIGDIR": os.environ.get("MPLCONFIGDIR") or str(folder.parent / "matplotlib")}
    ours = {"TINYLAB_HEADLESS": "1", "TINYLAB_PROFILE": "smoke", "TINYLAB_CACHE": str(cache_root())}
    return kept | threads | home | drawn | ours
