"""Before a headless run: are the parameters there? After it: what went wrong, and in which cell?

Cells are counted as JupyterLab does after "run all": the n-th code cell that is not blank is cell n.
Nothing is believed because a program ended well: papermill only warns of a parameter that does not exist, and
`sys.exit(0)` passes for success.
"""

import ast
import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from tinylab.support.errors import NotebookError
from tinylab.support.files import atomic_write

WATCH = "from tinylab.tools.notebooks import watch as _watch"
SOLUTION, CHECK = "solution", "exercise-check"
ERROR_CLASS = "tinylab-error"  # how a control of the laboratory marks the error that it shows
_THREAD = "Exception in thread "  # how Python begins to tell of one, which `watch` has noted
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True)
class Fault:
    """One thing that went wrong: `cell` is None when it belongs to no cell."""

    cell: int | None
    source: str  # first line of that cell
    message: str

    def __str__(self) -> str:
        if self.cell is None:
            return self.message
        return (
            f"cell {self.cell} (`{self.source}`): {self.message}"
            if self.source
            else f"cell {self.cell}: {self.message}"
        )


def read(path: Path) -> NotebookNode:
    """The notebook in a file; NotebookError when it is none."""
    try:
        return nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise NotebookError(f"there is no notebook at {path}") from None
    except Exception as error:  # nbformat raises whatever the damage makes it raise
        raise NotebookError(f"{path} is no readable notebook: {first_line(str(error))}") from error


def write(path: Path, notebook: NotebookNode) -> None:
    """Write a notebook to a file, which is the old one or the new one at every instant. Raises FileError."""
    atomic_write(path, (str(nbformat.writes(notebook)).rstrip("\n") + "\n").encode())


def tags(cell: NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", []))


def runs(cell: NotebookNode) -> bool:
    """True for a cell that executes: code that is not blank."""
    return cell.cell_type == "code" and bool(cell.source.strip())


def parameters(notebook: NotebookNode) -> set[str]:
    """The names that the cell tagged `parameters` assigns; NotebookError when there is not exactly one."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and "parameters" in tags(cell)]
    if len(cells) != 1:
        raise NotebookError(
            f"{len(cells) or 'no'} cell{'s are' if len(cells) > 1 else ' is'} tagged 'parameters'; exactly one "
            "has to be, or what is injected would have no effect"
        )
    try:
        body = ast.parse(cells[0].source).body
    except SyntaxError as error:
        raise NotebookError(f"the parameters cell is not valid Python: {error.msg}, line {error.lineno}") from None
    targets = [target for line in body if isinstance(line, ast.Assign) for target in line.targets]
    targets += [line.target for line in body if isinstance(line, ast.AnnAssign)]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def prepared(notebook: NotebookNode, values: Mapping[str, object]) -> NotebookNode:
    """A copy to be run: `values` stand at the end of its parameters cell, and its last cell ends the watch.

    Raises NotebookError for a parameter that the notebook does not have.
    """
    from papermill.translators import translate_parameters

    known = parameters(notebook)
    for name in values:
        if name not in known:
            listed = ", ".join(sorted(known)) or "nothing"
            raise NotebookError(f"the parameters cell does not assign {name!r}. It assigns: {listed}")
    copy = deepcopy(notebook)
    place = next(place for place, cell in enumerate(copy.cells) if "parameters" in tags(cell))
    copy.cells[place].source += "\n\n" + translate_parameters("python3", "python", values, "Parameters")
    copy.cells.append(nbformat.v4.new_code_cell(f"{WATCH}; _watch.finish()"))
    return copy


def authored(executed: NotebookNode, notebook: NotebookNode) -> NotebookNode:
    """`executed`, which was `prepared` from `notebook`, as its author wrote it."""
    executed.cells.pop()
    for cell, written in zip(executed.cells, notebook.cells, strict=True):
        cell.source = written.source
    return executed


def inspect(
    notebook: NotebookNode, events: Iterable[Mapping[str, Any]], failure: Exception | None, timeout: float, at: int = 0
) -> list[Fault]:
    """What went wrong in a run, in the order of the cells; nothing only if it can be shown to have gone well.

    `notebook`: as nbclient left it, and `authored`; `events`: what `watch` noted; `failure`: what ended the run early,
    if anything did, while cell `at` ran (from 1; 0: none had begun).
    """
    events = list(events)
    executed = [cell for cell in notebook.cells if runs(cell)]
    found: dict[tuple[int | None, str], Fault] = {}

    def add(count: int | None, message: str, error: str | None = None) -> None:
        number = count if count and count <= len(executed) else None  # the last cell of a run is of nobody's making
        source = first_line(executed[number - 1].source) if number else ""
        found.setdefault((number, error or message), Fault(number, source, message))

    started = max((event["count"] for event in events if event["event"] == "cell"), default=1)
    ended = isinstance(failure, CellTimeoutError | DeadKernelError)
    if ended:
        over = f"still running after {timeout:g} s, the time limit of a cell (--timeout allows more)"
        add(at, over if isinstance(failure, CellTimeoutError) else "the kernel died")
    for count, cell in enumerate(executed, start=1):
        for output in cell.outputs:
            if output.output_type == "error":
                error = f"{output.ename}: {output.evalue}"
                left = output.ename == "SystemExit"
                add(count, f"it left the kernel ({error}), so the rest did not run" if left else error, error)
    for event in events:
        # a kernel is interrupted before it is killed, and may be quick enough to say so
        if event["event"] == "error" and not (ended and event["message"].startswith("KeyboardInterrupt")):
            add(event["count"], f"in {event['where']}: {event['message']}", event["message"])
    if notebook.metadata.get("tinylab", {}).get("edition") != "student":  # there, an exercise may be unsolved
        for count, cell in enumerate(executed, start=1):
            for output in cell.outputs if CHECK in tags(cell) else []:
                said = str(output.get("data", {}).get("text/plain", ""))
                if re.match(r"Exercise \S+: not yet", said):
                    add(count, said)
    for event in events:
        if event["event"] == "ran":
            add(
                None,
                f"it ran with {event['settings']}, not with the {event['asked']} that it was given: a cell changes "
                "them",
            )
    known = " ".join(error for _, error in found)
    for error in _widget_errors(notebook):
        if error not in known:
            add(None, f"in a widget: {error}", error)
    for count, cell in enumerate(executed, start=1):
        for error in _printed_tracebacks(cell):
            if error not in known:
                add(count, f"a traceback was printed: {error}", error)

    if failure is not None and not found:
        add(None, f"it could not be run: {first_line(str(failure)) or type(failure).__name__}")
    skipped = [count for count, cell in enumerate(executed, 1) if cell.execution_count is None]
    if skipped and not found:
        add(skipped[0], f"never executed ({len(skipped)} cell{'s' if len(skipped) > 1 else ''} in all)")
    if not found and not any(event["event"] == "end" for event in events):
        add(started, "the notebook did not reach its end")
    return sorted(found.values(), key=lambda fault: fault.cell or 10**6)


def displayed(notebook: NotebookNode, mime: str) -> list[dict[str, Any]]:
    """The data of every output that carries the MIME type `mime`, in order."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return [output.data[mime] for output in outputs if mime in output.get("data", {})]


def title(notebook: NotebookNode) -> str | None:
    """The first heading of the notebook."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heading = re.search(r"^#\s+(.+?)\s*#*$", cell.source, re.MULTILINE)
            if heading:
                return heading.group(1)
    return None


def question(notebook: NotebookNode) -> str | None:
    """The question with which a lecture opens: `**Question: …**` in its first cell."""
    text = notebook.cells[0].source if notebook.cells else ""
    found = re.search(r"\*\*Question:\s*(.+?)\*\*", text, re.DOTALL)
    return " ".join(found[1].split()) if found else None


def _widget_errors(notebook: NotebookNode) -> list[str]:
    widgets = notebook.metadata.get("widgets", {}).get("application/vnd.jupyter.widget-state+json", {})
    found = []
    for model in widgets.get("state", {}).values():
        state = model.get("state", {})
        outputs = [o for o in state.get("outputs", []) if o.get("output_type") == "error"]
        found += [f"{output['ename']}: {output['evalue']}" for output in outputs]
        if ERROR_CLASS in state.get("_dom_classes", []) and state.get("value"):
            found.append(re.sub(r"<[^>]+>", "", state["value"]).strip())
    return found


def _printed_tracebacks(cell: NotebookNode) -> list[str]:
    """The last line of each traceback on the cell's standard error (such as a child process leaves)."""
    text = "".join(o.text for o in cell.outputs if o.output_type == "stream" and o.name == "stderr")
    parts = _ANSI.sub("", text).split("Traceback (most recent call last)")[1:]
    found = []
    for part in parts:  # the message is the first line after the frames that is not indented
        lines = [line for line in part.splitlines()[1:] if line and not line.startswith((" ", _THREAD))]
        found += lines[:1] or ([] if _THREAD in part else ["unknown"])  # two threads may print at once
    return found


def first_line(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= 60 else line[:57] + "…"
