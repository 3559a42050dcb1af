"""The student edition of a lecture: the same cells, with the solutions replaced by three dots to fill in.

A cell tagged `solution` keeps what shows the shape of an answer: names, signatures, docstrings, imports. Everything
that gives it away goes, and so do all outputs, which students shall predict before they see them. The checks below each
exercise stay; without an answer they say what is asked for, and raise nothing. An open question gets a cell for the
answer. Each cell notes what it held when it was written, so that a later edition can tell what its owner has changed.

The lecturer's copy has solutions, sample answers and rubrics, in the marks of nbgrader's source version.
"""

import ast
import hashlib
import secrets
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tinylab.support.errors import NotebookError
from tinylab.support.files import atomic_write
from tinylab.tools.notebooks import inspection
from tinylab.tools.notebooks.assignments import SOLUTION, Task, marked, tasks
from tinylab.tools.notebooks.inspection import tags

HERE = "# your answer in place of the dots"
WORDS = "*Your answer in place of this line.*"
OURS = "tinylab"  # our metadata: of a cell {"written": digest}, of the notebook {"edition": "student"}
CONFIG = """import os

c = get_config()  # noqa
c.ClearSolutions.code_stub = {"python": ""}  # the shape of an answer stays above it
c.ExecutePreprocessor.timeout = 600  # seconds for a cell: nbgrader's own 30 are few on a busy machine
os.environ.setdefault("TINYLAB_PROFILE", "smoke")  # the trainings of a lecture in seconds: the answers need no more
"""


def student(notebook: NotebookNode) -> NotebookNode:
    """A copy without solutions and outputs. Raises NotebookError for a solution that is not Python."""
    copy = deepcopy(notebook)
    copy.metadata[OURS] = {"edition": "student"}
    _mark(copy)
    for number, cell in enumerate(copy.cells, start=1):
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            if SOLUTION in tags(cell):
                cell.source = blank(cell.source, number)
        cell.metadata[OURS] = {"written": _digest(cell.source)}
    return copy


def lecturer(notebook: NotebookNode, seed: int | None = None) -> NotebookNode:
    """A copy with solutions, rubrics, and hidden checks on the inputs of `seed` (None: drawn), as nbgrader's source."""
    copy = deepcopy(notebook)
    seed = secrets.randbelow(2**32) if seed is None else seed
    words = {task.question.id: task for task in tasks(copy)}
    _mark(copy)
    for number, cell in enumerate(copy.cells, start=1):
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if SOLUTION in tags(cell):
            kept = blank(cell.source, number).removeprefix(HERE).strip()
            cell.source = f"{kept}\n### BEGIN SOLUTION\n{cell.source}\n### END SOLUTION"
    for task in words.values():
        if task.check is not None and not task.manual:
            again = f'_checks.check("{task.identifier}", {task.expression}, seed={seed})'
            task.check.source += (
                f"\n### BEGIN HIDDEN TESTS\nfrom tinylab.course import exercises as _checks\n_verdict = {again}\n"
                "assert _verdict, str(_verdict)\n### END HIDDEN TESTS"
            )
    for cell in copy.cells:  # the answers in words: of an open question, or in a cell of code
        open_one = words.get(cell.get("id", "").removesuffix("-answer"))
        if open_one is not None and cell.source == WORDS:
            cell.source = f"### BEGIN SOLUTION\n{open_one.sample}\n\n{_rubric(open_one)}\n### END SOLUTION"
    for task in words.values():
        if task.manual and task.solution is not None:
            comment = "\n".join(f"# {line}" for line in _rubric(task).splitlines())
            task.solution.source = task.solution.source.replace("### END SOLUTION", f"{comment}\n### END SOLUTION")
    return copy


def blank(solution: str, number: int) -> str:
    """The source of cell `number`, a solution, with its answers taken out: `answer = ...`, functions that hold `...`.

    Raises NotebookError if it is not Python.
    """
    try:
        statements = ast.parse(solution).body
    except SyntaxError as error:
        raise NotebookError(f"cell {number}, tagged {SOLUTION!r}, is not Python: {error.msg}") from None
    lines = [HERE]
    for statement in statements:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            lines.append(ast.unparse(statement))
        elif isinstance(statement, ast.Assign):
            lines.append(" = ".join([*map(ast.unparse, statement.targets), "..."]))
        elif isinstance(statement, ast.FunctionDef):
            lines += ["", "", _without_body(statement)]
    return "\n".join(lines)


@dataclass
class Update:
    """What became of one student's notebook."""

    path: Path
    kept: int = 0  # answers and cells of the student's own
    replaced: int = 0  # cells of the course that have changed
    conflicts: list[str] = field(default_factory=list)  # cells of the course that the student had changed, too


def write(lectures: list[Path], out: Path) -> list[Path]:
    """Write the student edition of each lecture into the folder `out`; returns the files.

    Nobody's work is overwritten: raises NotebookError, before anything is written, if a notebook is there that differs
    from what would be written.
    """
    editions = {out / path.name: student(inspection.read(path)) for path in lectures}
    for path, edition in editions.items():
        if path.exists() and inspection.read(path) != edition:
            raise NotebookError(
                f"{path} is there already and may hold somebody's answers. Choose another folder, or say --update, "
                "which keeps them"
            )
    for path, edition in editions.items():
        inspection.write(path, edition)
    return list(editions)


def write_lecturer(lectures: list[Path], out: Path) -> list[Path]:
    """Write the lecturer's copies into a course folder of nbgrader's (`source/<lecture>/<lecture>.ipynb`)."""
    atomic_write(out / "nbgrader_config.py", CONFIG.encode())
    paths = [out / "source" / path.stem / path.name for path in lectures]
    for path, lecture in zip(paths, lectures, strict=True):
        inspection.write(path, lecturer(inspection.read(lecture)))
    return paths


def update(lectures: list[Path], out: Path) -> list[Update]:
    """Bring the student editions in `out` up to date, keeping what their owner wrote. Files that are not there are new.

    Raises NotebookError, before anything is written, for a file that is no notebook, or has lost its cells' names.
    """
    merged: list[tuple[Path, NotebookNode, Update]] = []
    for lecture in lectures:
        path, edition = out / lecture.name, student(inspection.read(lecture))
        news = Update(path)
        merged.append((path, merge(inspection.read(path), edition, news) if path.exists() else edition, news))
    for path, notebook, _ in merged:
        inspection.write(path, notebook)
    return [news for _, _, news in merged]


def merge(mine: NotebookNode, edition: NotebookNode, news: Update) -> NotebookNode:
    """The new edition with a student's answers and own cells in it; `news` is told what became of them.

    A cell of the course that the student has changed, and one of the student's that the course no longer has, stay
    beside the new ones under a name of their own.
    """
    fresh = {cell.id: cell for cell in edition.cells}
    _name_again(mine, edition, news)
    before = {cell.get("id"): cell for cell in mine.cells}
    extra: dict[str | None, list[NotebookNode]] = {}  # the student's own cells, by the cell of the course before them
    last = None
    for cell in mine.cells:
        new = fresh.get(cell.get("id"))
        if new is not None:
            last = cell.id
            if not _answer(new) and _changed(cell) and _renewed(cell, new) and cell.source != new.source:
                news.conflicts.append(f"{_named(cell)} was changed here and in the course; both are kept")
                extra.setdefault(last, []).append(_own(cell))
        elif OURS not in cell.metadata or _changed(cell):
            if OURS in cell.metadata:
                news.conflicts.append(f"{_named(cell)} is gone from the course; yours is kept")
            news.kept += 1
            extra.setdefault(last, []).append(_own(cell) if OURS in cell.metadata else cell)
    cells = [*extra.get(None, [])]
    question = ""
    for new in edition.cells:
        old = before.get(new.id)
        cells.append(new)
        if old is not None and _answer(new) and _changed(old):
            news.kept += 1
            new.source = old.source
            if new.cell_type == "code":
                new.outputs, new.execution_count = old.get("outputs", []), old.get("execution_count")
            if question:
                news.conflicts.append(f"the question of {_named(old)} has changed; your answer is kept")
        elif old is not None and (old.source == new.source or not _renewed(old, new)):
            news.kept += old.source != new.source
            cells[-1] = old
            old.metadata = new.metadata
        elif old is not None:
            news.replaced += 1
        if new.cell_type == "markdown" and not _answer(new):
            question = new.source if old is not None and _renewed(old, new) else ""
        cells += extra.get(new.id, [])
    edition.cells = cells
    return edition


def _answer(cell: NotebookNode) -> bool:
    """Whether a cell of an edition is there for the student to fill in."""
    return bool(cell.metadata.get("nbgrader", {}).get("solution"))


def _changed(cell: NotebookNode) -> bool:
    """Whether the student has changed a cell of the course; one from before editions took notes may have been."""
    written = cell.metadata.get(OURS, {}).get("written")
    return bool(written != _digest(cell.source))


def _renewed(old: NotebookNode, new: NotebookNode) -> bool:
    """Whether the course has changed a cell since; where no note of it was taken, whether the two differ."""
    written = old.metadata.get(OURS, {}).get("written")
    return bool(old.source != new.source if written is None else written != _digest(new.source))


def _name_again(mine: NotebookNode, edition: NotebookNode, news: Update) -> None:
    """Give cells that have lost their names, as in files of nbformat 4.4, those of the cells that they were once.

    Raises NotebookError if most remain unknown: the course's cells would pass for the student's own, and stay.
    """
    names = {_origin(cell): cell.id for cell in reversed(edition.cells)}
    there, course = {cell.get("id") for cell in mine.cells}, {cell.id for cell in edition.cells}
    known = 0
    for cell in mine.cells:
        name = names.get(_origin(cell))
        if cell.get("id") not in course and name is not None and name not in there:
            cell.id = name
            there.add(name)
        known += cell.get("id") in course or OURS in cell.metadata
        cell.setdefault("id", f"own-{secrets.token_hex(6)}")
    if 2 * known < min(len(mine.cells), len(edition.cells)):
        raise NotebookError(
            f"{news.path} has lost its cells' names; answers cannot be told from the lecture, and it stays as it is. "
            "Write the new edition into another folder, and copy the answers"
        )


def _origin(cell: NotebookNode) -> object:
    """What still tells which cell of the course one was."""
    return cell.metadata.get("nbgrader", {}).get("grade_id") or cell.metadata.get(OURS, {}).get("written")


def _own(cell: NotebookNode) -> NotebookNode:
    """A copy of a cell that no later edition takes for the course's."""
    copy = deepcopy(cell)
    copy.id = f"own-{secrets.token_hex(6)}"
    copy.metadata = nbformat.from_dict({})
    return copy


def _named(cell: NotebookNode) -> str:
    return f"cell {cell.get('id')} (`{inspection.first_line(cell.source)}`)"


def _digest(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def _mark(notebook: NotebookNode) -> None:
    """Give the cells of the exercises nbgrader's metadata, and each open question a cell for the answer."""
    for task in tasks(notebook):
        if task.solution is not None:
            points = task.points if task.manual else None
            task.solution.metadata["nbgrader"] = marked("words" if task.manual else "answer", task.identifier, points)
        if task.check is not None:
            points = None if task.manual else task.points
            task.check.metadata["nbgrader"] = marked("check", task.identifier, points)
        if task.solution is None:
            cell = nbformat.v4.new_markdown_cell(WORDS, id=f"{task.question.id}-answer")
            slide = {"slideshow": task.question.metadata.get("slideshow", {})}
            cell.metadata = nbformat.from_dict(slide | {"nbgrader": marked("words", task.identifier, task.points)})
            notebook.cells.insert(notebook.cells.index(task.question) + 1, cell)


def _rubric(task: Task) -> str:
    return f"{task.points} points, one for each of:\n" + "\n".join(f"- {line}" for line in task.rubric)


def _without_body(function: ast.FunctionDef) -> str:
    told = ast.get_docstring(function, clean=False)
    kept: list[ast.stmt] = [] if told is None else [function.body[0]]
    return ast.unparse(ast.FunctionDef(**{**vars(function), "body": [*kept, ast.Expr(ast.Constant(...))]}))
