"""The exercises of a lecture as something that is graded: which cells, how many points, by whom.

A question begins with its number and kind, `**3.4 (code)**`; the cells that follow it, up to the next question, hold
the solution and the check. What can be run is judged by the checks, words by a human reader. The cells carry nbgrader's
own metadata (schema 3), so that whoever has nbgrader can use it.
"""

import re
from dataclasses import dataclass

from nbformat import NotebookNode

from tinylab.course.exercises import grading
from tinylab.support.errors import NotebookError
from tinylab.tools.notebooks.inspection import CHECK, SOLUTION, tags

_QUESTION = re.compile(r"\*\*(\d+)\.(\d+) \((\w+)\)\*\*")
_KIND_OF_WORDS = "explain"


@dataclass(frozen=True)
class Task:
    """One exercise of a notebook."""

    identifier: str  # "03.4"
    kind: str  # "recall", "apply", "code", "build", "experiment", "explain" or "open"
    question: NotebookNode
    solution: NotebookNode | None  # None: an open question, answered in words
    check: NotebookNode | None

    @property
    def manual(self) -> bool:
        """Whether a human reader has to judge it."""
        return self.kind == _KIND_OF_WORDS or self.check is None

    @property
    def points(self) -> int:
        points = grading()["points"]
        if self.identifier not in points:
            raise NotebookError(
                f"exercise {self.identifier} has no points in tinylab/course/exercises/grading.toml. Give it some"
            )
        return int(points[self.identifier])

    @property
    def rubric(self) -> list[str]:
        """What an answer in words gets a point for, one line each; empty for what the check judges."""
        return list(grading()["words"].get(self.identifier, {}).get("rubric", []))

    @property
    def sample(self) -> str:
        """A good answer to a question that the lecture leaves open."""
        return str(grading()["words"].get(self.identifier, {}).get("sample", "")).strip()

    @property
    def expression(self) -> str:
        """What the check is given: the name of the answer."""
        found = asked(self.check.source) if self.check is not None else {}
        return found.get(self.identifier, "")


def tasks(notebook: NotebookNode) -> list[Task]:
    """The exercises of a lecture, in order."""
    found: list[Task] = []
    starts = [(place, match) for place, cell in enumerate(notebook.cells) if (match := opening(cell))]
    ends = [*(place for place, _ in starts), len(notebook.cells)][1:]
    for (start, match), end in zip(starts, ends, strict=True):
        part = [cell for cell in notebook.cells[start + 1 : end] if cell.cell_type == "code"]
        solution = next((cell for cell in part if SOLUTION in tags(cell)), None)
        check = next((cell for cell in part if CHECK in tags(cell)), None)
        identifier = f"{int(match[1]):02d}.{match[2]}"
        found.append(Task(identifier, match[3], notebook.cells[start], solution, check))
    return found


def asked(source: str) -> dict[str, str]:
    """{"03.4": "turning_point"}: the exercises that a cell checks, each with the answer's expression."""
    found = re.findall(r"""check\(\s*["'](\d\d\.\d+)["']\s*,\s*(.+?)\s*\)\s*;?\s*$""", source, re.MULTILINE)
    return dict(found)


def marked(kind: str, identifier: str, points: int | None = None) -> dict[str, object]:
    """nbgrader's metadata of a cell: kind "answer" (read by the check), "check" (gives the points) or "words"."""
    facts: dict[str, object] = {
        "schema_version": 3,
        "task": False,
        "grade": points is not None,
        "solution": kind != "check",
        "locked": kind == "check",
        "grade_id": f"exercise-{identifier.replace('.', '-')}-{kind}",
    }
    return facts | ({} if points is None else {"points": points})


def opening(cell: NotebookNode) -> re.Match[str] | None:
    """Lecture, number and kind of the exercise that begins with this cell; None if none does."""
    return _QUESTION.match(cell.source) if cell.cell_type == "markdown" else None
