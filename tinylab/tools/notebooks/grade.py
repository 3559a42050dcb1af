"""Grades for a folder of returned notebooks: points for each student and exercise, feedback pages, what broke where.

The answers are taken from each notebook's own kernel (`sandbox`) and judged here, by the course's checks on inputs that
nobody has seen, so that a submission that changes its checks changes nothing. What cannot be judged is left to a human
reader: no row ever says 0 because something broke.
"""

import csv
import html
import io
import re
import secrets
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tinylab import course
from tinylab.course.exercises import check
from tinylab.support.errors import NotebookError
from tinylab.support.files import atomic_write
from tinylab.tools.notebooks import inspection, pages
from tinylab.tools.notebooks.assignments import Task, asked, tasks
from tinylab.tools.notebooks.sandbox import Sandbox, needed

RIGHT, WRONG, MISSING, READER, BROKEN = "right", "not yet", "no answer", "to be read", "to be graded by hand"
COLUMNS = ("student", "exercise", "points", "of", "status", "note")
TRIALS = 6  # times the time limit of a cell: what one submission may take of it in all


@dataclass
class Row:
    """One exercise of one student; `points` is None where a human reader has to give them."""

    student: str
    exercise: str
    points: float | None
    of: int
    status: str
    note: str = ""


@dataclass
class Submission:
    """One returned notebook."""

    student: str
    path: Path
    data: bytes  # read before anything runs: code of one submission may not change another
    lecture: Path | None = None
    rows: list[Row] = field(default_factory=list)
    words: dict[str, str] = field(default_factory=dict)  # exercise: what was written
    broken: list[str] = field(default_factory=list)  # cell and what went wrong


def grade(
    submitted: Path,
    *,
    timeout: float = 20.0,
    jobs: int = 1,
    seed: int | None = None,
    watcher: Callable[[Submission], None] = lambda submission: None,
) -> list[Submission]:
    """Grade every notebook under `submitted` (`<student>/…/<notebook>.ipynb`, or `<student>_01_data.ipynb`).

    timeout: seconds for a cell or a call; seed: of the checks' inputs, drawn if None; `watcher` is called from any
    thread when one is done. Raises NotebookError where there is nothing to grade; a submission never raises.
    """
    found = collect(submitted)
    lectures = {path: tasks(inspection.read(path)) for path in course.find()}
    drawn = secrets.randbelow(2**32) if seed is None else seed
    with tempfile.TemporaryDirectory(prefix="tinylab-grade-", ignore_cleanup_errors=True) as scratch:

        def one(numbered: tuple[int, Submission]) -> None:
            number, submission = numbered
            folder = Path(scratch) / f"{number:04d}"
            folder.mkdir()
            try:
                _grade(submission, lectures, folder, timeout, jobs, drawn)
            except Exception as error:  # whatever one of them does, the others are graded
                _by_hand(submission, lectures, f"{type(error).__name__}: {' '.join(str(error).split())}")
            watcher(submission)

        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(one, enumerate(found)))
    return found


def collect(submitted: Path) -> list[Submission]:
    """The notebooks under a folder, each with its student: the first folder, or the file's name less the lecture's."""
    if not submitted.is_dir():
        raise NotebookError(f"{submitted} is no folder. Give the folder of the returned notebooks")
    found = []
    for path in sorted(submitted.rglob("*.ipynb")):
        inner = path.relative_to(submitted)
        if any(part.startswith(".") for part in inner.parts):
            continue
        student = inner.parts[0] if len(inner.parts) > 1 else re.sub(r"[_-]*\d\d_[a-z].*$", "", path.stem) or path.stem
        try:
            found.append(Submission(student, path, path.read_bytes()))
        except OSError as error:
            found.append(Submission(student, path, b"", broken=[f"{error.strerror}"]))
    if not found:
        raise NotebookError(f"{submitted} holds no notebook. Expected: {submitted}/<student>/01_data.ipynb")
    return found


def best(submissions: Sequence[Submission]) -> list[Row]:
    """One row for each student and exercise; of several notebooks the best counts."""
    rows: dict[tuple[str, str], Row] = {}
    for row in (row for submission in submissions for row in submission.rows):
        other = rows.setdefault((row.student, row.exercise), row)
        if _worth(row) > _worth(other):
            rows[row.student, row.exercise] = row
    return list(rows.values())


def write(submissions: Sequence[Submission], out: Path) -> Path:
    """Write the table `out`, and beside it a folder of its name with feedback pages and `broken.csv`; returns that.

    Of a table that is there already, rows that these submissions have not are kept, and so are points that a reader has
    entered.
    """
    rows = _table(out)
    for row in best(submissions):
        before = rows.get((row.student, row.exercise))
        if before is not None and row.points is None:
            row.points = before.points
        rows[row.student, row.exercise] = row
    values = [
        [r.student, r.exercise, "" if r.points is None else f"{r.points:g}", r.of, r.status, r.note]
        for r in sorted(rows.values(), key=lambda row: (row.student, row.exercise.zfill(6)))
    ]
    folder = out.with_suffix("") if out.suffix else out.with_name(f"{out.name}-feedback")
    for number, submission in enumerate(submissions):
        name = f"{submission.path.stem}.html"
        taken = [other.path.stem for other in submissions[:number] if other.student == submission.student]
        if submission.path.stem in taken:
            name = f"{submission.path.stem}-{number}.html"
        atomic_write(folder / submission.student / name, feedback(submission).encode())
    faults = [[s.student, s.path.name, fault] for s in submissions for fault in s.broken]
    atomic_write(folder / "broken.csv", _csv(("student", "notebook", "what"), faults))
    atomic_write(out, _csv(COLUMNS, values))
    return folder


def feedback(submission: Submission) -> str:
    """The page that a student gets back."""
    body = "".join(
        f"<tr><td>{html.escape(row.exercise)}</td><td>{'' if row.points is None else f'{row.points:g}'} / {row.of}</td>"
        f"<td>{html.escape(row.status)}</td><td>{html.escape(row.note)}</td></tr>"
        for row in submission.rows
    )
    words = "".join(
        f"<h2>{html.escape(name)}</h2><blockquote>{html.escape(text)}</blockquote>"
        for name, text in submission.words.items()
    )
    broken = "".join(f"<li>{html.escape(fault)}</li>" for fault in submission.broken)
    judged = [row for row in submission.rows if row.points is not None]
    total = f"{sum(row.points or 0 for row in judged):g} of {sum(row.of for row in judged)} points judged so far"
    title = f"{submission.student}: {submission.lecture.stem if submission.lecture else submission.path.name}"
    return pages.document(
        title,
        f"<main><h1>{html.escape(title)}</h1><p>{total}.</p>"
        + (f'<section class="banner"><strong>What broke</strong><ul>{broken}</ul></section>' if broken else "")
        + f"<table><tr><th>exercise</th><th>points</th><th>status</th><th>note</th></tr>{body}</table>{words}</main>",
    )


def _grade(
    submission: Submission,
    lectures: dict[Path, list[Task]],
    folder: Path,
    timeout: float,
    jobs: int,
    seed: int,
) -> None:
    try:
        notebook = nbformat.reads(submission.data.decode("utf-8-sig"), as_version=4)
    except Exception as error:
        raise NotebookError(f"no readable notebook: {inspection.first_line(str(error))}") from None
    submission.lecture = _lecture(submission, notebook, lectures)
    if submission.lecture is None:
        raise NotebookError("no lecture of this course: neither its cells nor its name say which")
    wanted = lectures[submission.lecture]
    code = [(number, cell) for number, cell in enumerate(notebook.cells, 1) if cell.cell_type == "code"]
    own: dict[str, list[str]] = {}  # what the student's own checks were given, such as a function renamed
    for _, cell in code:
        for identifier, expression in asked(cell.source).items():
            own.setdefault(identifier, []).append(expression)
    offers = {t.identifier: list(dict.fromkeys([t.expression, *own.get(t.identifier, [])])) for t in wanted if t.check}
    cells = needed(code, [expression for names in offers.values() for expression in names])
    with Sandbox(cells, folder, timeout, jobs) as sandbox:
        for task in wanted:
            row = _words(task, notebook, submission) if task.manual else None
            row = row or _judged(task, offers.get(task.identifier, []), sandbox, submission, seed)
            submission.rows.append(row)
    lines = {number: inspection.first_line(cell.source) for number, cell in code}
    submission.broken += [f"cell {n} (`{lines[n]}`): {fault}" for n, fault in sorted(sandbox.faults.items())]


def _judged(task: Task, offers: list[str], sandbox: Sandbox, submission: Submission, seed: int) -> Row:
    """The row of an exercise that a check judges: of several names for the answer, the one that is right."""
    said, status = "", MISSING
    for expression in offers:
        if sandbox.spent > TRIALS * sandbox.timeout:
            return Row(submission.student, task.identifier, None, task.points, BROKEN, "its code takes too long")
        try:
            verdict = check(task.identifier, sandbox.answer(expression), seed=seed)
        except Exception as error:
            said = said or f"{expression}: {type(error).__name__}: {error}"
            continue
        if verdict.passed:
            return Row(submission.student, task.identifier, task.points, task.points, RIGHT)
        said, status = verdict.hint, WRONG
    return Row(submission.student, task.identifier, 0, task.points, status, said)


def _words(task: Task, notebook: NotebookNode, submission: Submission) -> Row:
    """The row of an answer in words, which is shown on the page and left to a reader."""
    answer = task.solution.id if task.solution is not None else f"{task.question.id}-answer"
    cell = next((cell for cell in notebook.cells if cell.get("id") == answer), None)
    text = "" if cell is None else cell.source.strip()
    submission.words[task.identifier] = text or "(nothing was found in its cell; look through the notebook)"
    return Row(submission.student, task.identifier, None, task.points, READER, "; ".join(task.rubric))


def _by_hand(submission: Submission, lectures: dict[Path, list[Task]], fault: str) -> None:
    """Leave to a reader whatever of a submission has no row yet."""
    submission.broken.append(fault)
    submission.lecture = submission.lecture or _named(submission, lectures)
    done = {row.exercise for row in submission.rows}
    for task in lectures.get(submission.lecture, []) if submission.lecture else []:
        if task.identifier not in done:
            submission.rows.append(Row(submission.student, task.identifier, None, task.points, BROKEN, fault))


def _lecture(submission: Submission, notebook: NotebookNode, lectures: dict[Path, list[Task]]) -> Path | None:
    """The lecture that a notebook is of, by its cells; else by the exercises that it checks; else by its name."""
    there = {cell.get("id") for cell in notebook.cells}
    text = "\n".join(cell.source for cell in notebook.cells)
    scores = {
        path: (
            sum(task.question.id in there for task in wanted),
            sum(f'"{task.identifier}"' in text for task in wanted),
        )
        for path, wanted in lectures.items()
    }
    likely = max(scores, key=lambda path: scores[path])
    return likely if any(scores[likely]) else _named(submission, lectures)


def _named(submission: Submission, lectures: dict[Path, list[Task]]) -> Path | None:
    return next((path for path in lectures if path.stem in submission.path.stem), None)


def _worth(row: Row) -> float:
    """Points beat no judgement, which beats nothing."""
    return row.points if row.points else 0.0 if row.points == 0 else 0.5


def _table(path: Path) -> dict[tuple[str, str], Row]:
    """The rows of a table that is there already, by student and exercise."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            header, *lines = filter(None, csv.reader(file))  # blank lines are a spreadsheet's
        if tuple(header) != COLUMNS:
            raise ValueError
        return {
            (student, exercise): Row(student, exercise, float(points) if points.strip() else None, int(of), *rest)
            for student, exercise, points, of, *rest in lines
        }
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, OSError):
        raise NotebookError(f"{path} is there and is no table of grades. Name another --out") from None


def _csv(header: Sequence[str], rows: Sequence[Sequence[object]]) -> bytes:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return file.getvalue().encode()
