"""The student edition of a lecture: the same cells, with the solutions replaced by three dots to fill in.

A cell tagged `solution` keeps what shows the shape of an answer: names, signatures, docstrings, imports. Everything
that gives it away goes, and so do all outputs, which students shall predict before they see them. The checks below each
exercise stay; without an answer they say what is asked for, and raise nothing.
"""

import ast
import json
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tinylab.support.errors import NotebookError
from tinylab.tools.notebooks import inspection
from tinylab.tools.notebooks.inspection import tags

SOLUTION, CHECK = "solution", "exercise-check"
HERE = "# your answer in place of the dots"


def student(notebook: NotebookNode) -> NotebookNode:
    """A copy without solutions and outputs. Raises NotebookError for a solution that is not Python."""
    copy = nbformat.from_dict(json.loads(json.dumps(notebook)))
    for number, cell in enumerate(copy.cells, start=1):
        if cell.cell_type != "code":
            continue
        cell.outputs, cell.execution_count = [], None
        if SOLUTION in tags(cell):
            try:
                cell.source = blank(cell.source)
            except SyntaxError as error:
                raise NotebookError(f"cell {number}, tagged {SOLUTION!r}, is not Python: {error.msg}") from None
    return copy


def blank(solution: str) -> str:
    """The source of a solution with its answers taken out: `answer = ...`, and functions whose body is `...`."""
    lines = [HERE]
    for statement in ast.parse(solution).body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            lines.append(ast.unparse(statement))
        elif isinstance(statement, ast.Assign):
            lines.append(" = ".join([*map(ast.unparse, statement.targets), "..."]))
        elif isinstance(statement, ast.FunctionDef):
            lines += ["", "", _without_body(statement)]
    return "\n".join(lines)


def _without_body(function: ast.FunctionDef) -> str:
    told = ast.get_docstring(function, clean=False)
    kept: list[ast.stmt] = [] if told is None else [function.body[0]]
    return ast.unparse(ast.FunctionDef(**{**vars(function), "body": [*kept, ast.Expr(ast.Constant(...))]}))


def write(lectures: list[Path], out: Path) -> list[Path]:
    """Write the student edition of each lecture into the folder `out`; returns the files.

    Nobody's work is overwritten: raises NotebookError, before anything is written, if a notebook is there that differs
    from what would be written.
    """
    editions = {out / path.name: student(nbformat.read(path, as_version=4)) for path in lectures}
    for path, edition in editions.items():
        if path.exists() and path.read_text(encoding="utf-8") != _text(edition):
            raise NotebookError(f"{path} is there already and may hold somebody's answers. Choose another folder")
    for path, edition in editions.items():
        inspection.write(path, edition)
    return list(editions)


def _text(notebook: NotebookNode) -> str:
    return str(nbformat.writes(notebook)) + "\n"
