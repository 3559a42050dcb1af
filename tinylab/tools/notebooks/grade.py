"""Grades for a folder of returned notebooks: points for each student and exercise, feedback pages, what broke where.

The answers are taken from each notebook's own kernel (`sandbox`) and judged here, by the course's checks on inputs that
nobody has seen, so that a submission that changes its checks changes nothing. What cannot be judged, such as a damaged
notebook, is left to a human reader. Code that breaks is no answer: 0, and the note says which cell broke, and how.
"""

import csv
import html
import io
import math
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
from tinylab.support.files import atomic_write, replaceable
from tinylab.tools.notebooks import inspection, pages
from tinylab.tools.notebooks.assignments import Task, asked, opening, tasks
from tinylab.tools.notebooks.sandbox import Sandbox, needed
from tinylab.tools.notebooks.student import student as edition

RIGHT, WRONG, MISSING, READER, BROKEN = "right", "not yet", "no answer", "to be read", "to be graded by hand"
READ = "read"  # points that a human reader has given
COLUMNS = ("student", "exercise", "points", "of", "status", "note")
BROKEN_TABLE = "broken.csv"
ARCHIVES = {".zip", ".tar", ".gz", ".tgz", ".xz", ".7z", ".rar"}
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
    checks: float | None = None  # what the checks gave, where a reader has given something else


@dataclass
class Submission:
    """One returned notebook."""

    student: str
    path: Path
    data: bytes  # read before anything runs: code of one submission may not change another
    lecture: Path | None = None
    rows: list[Row] = field(default_factory=list)
    words: dict[str, tuple[str, str]] = field(default_factory=dict)  # exercise: its question, what was written
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
    lectures = {path: edition(inspection.read(path)) for path in course.find()}
    drawn = secrets.randbelow(2**32) if seed is None else seed
    with tempfile.TemporaryDirectory(prefix="tinylab-grade-", ignore_cleanup_errors=True) as scratch:

        def one(numbered: tuple[int, Submission]) -> None:
            number, submission = numbered
            folder = Path(scratch) / f"{number:04d}"
            folder.mkdir()
            try:
                _grade(submission, lectures, folder, timeout, jobs, drawn)
            except NotebookError as error:
                _by_hand(submission, lectures, str(error))
            except Exception as error:  # whatever one of them does, the others are graded
                _by_hand(submission, lectures, f"{type(error).__name__}: {' '.join(str(error).split())}")
            watcher(submission)

        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(one, enumerate(found)))
    return found


def collect(submitted: Path) -> list[Submission]:
    """The notebooks under a folder, each with its student: the first folder, or the file's name less the lecture's.

    What else was returned there, such as an archive, comes last, and says what is wrong with it.
    """
    if not submitted.is_dir():
        raise NotebookError(f"{submitted} is no folder. Give the folder of the returned notebooks")
    found = []
    for path in sorted(submitted.rglob("*.ipynb")):
        inner = path.relative_to(submitted)
        if any(part.startswith(".") for part in inner.parts):
            continue
        student = inner.parts[0] if len(inner.parts) > 1 else _student(path)
        try:
            found.append(Submission(student, path, path.read_bytes()))
        except OSError as error:
            found.append(Submission(student, path, b"", broken=[f"{error.strerror}"]))
    if not found:
        raise NotebookError(f"{submitted} holds no notebook. Expected: {submitted}/<student>/01_data.ipynb")
    there = {submitted / one.path.relative_to(submitted).parts[0] for one in found}
    for path in sorted(set(submitted.iterdir()) - there):
        ours = path.suffix == ".csv" or (path / BROKEN_TABLE).exists()  # the grades of an earlier run
        if path.is_dir() and not ours and not path.name.startswith((".", "__")):
            found.append(Submission(path.name, path, b"", broken=["no notebook in this folder"]))
        elif not ours and not path.name.startswith((".", "__")):
            remedy = "; unpack it" if path.suffix.lower() in ARCHIVES else ""
            found.append(Submission(_student(path), path, b"", broken=[f"not a notebook{remedy}"]))
    return found


def _student(path: Path) -> str:
    """Whose file it is, by its name: `anna_01_data.ipynb`."""
    return re.sub(r"[_-]*\d\d_[a-z].*$", "", path.stem) or path.stem


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
    entered, or changed.
    """
    rows = table(out)
    for row in (row for submission in submissions for row in submission.rows):
        before = rows.get((row.student, row.exercise))
        if before is None or before.points is None:
            continue
        if before.status == READ and row.points != before.points:
            row.checks = row.points
        if before.status == READ or row.points is None:
            row.points, row.status = before.points, before.status
    rows |= {(row.student, row.exercise): row for row in best(submissions)}
    values = [
        [r.student, r.exercise, "" if r.points is None else f"{r.points:g}", r.of, r.status, r.note]
        for r in sorted(rows.values(), key=lambda row: (row.student, row.exercise.zfill(6)))
    ]
    folder = folder_of(out)
    for number, submission in enumerate(submissions):
        name = f"{submission.path.stem}.html"
        taken = [other.path.stem for other in submissions[:number] if other.student == submission.student]
        if submission.path.stem in taken:
            name = f"{submission.path.stem}-{number}.html"
        atomic_write(folder / submission.student / name, feedback(submission).encode())
    faults = _faults(folder / BROKEN_TABLE, without={submission.student for submission in submissions})
    faults += [[s.student, s.path.name, fault] for s in submissions for fault in s.broken]
    atomic_write(folder / BROKEN_TABLE, _csv(("student", "notebook", "what"), faults))
    atomic_write(out, _csv(COLUMNS, values))
    return folder


def folder_of(out: Path) -> Path:
    """Where the feedback goes that belongs to a table."""
    return out.with_suffix("") if out.suffix else out.with_name(f"{out.name}-feedback")


def feedback(submission: Submission) -> str:
    """The page that a student gets back."""
    body = "".join(
        f"<tr><td>{html.escape(row.exercise)}</td><td>{'' if row.points is None else f'{row.points:g}'} / {row.of}</td>"
        f"<td>{html.escape(row.status)}</td>"
        # what a reader gives points for would be the answer, as long as there is none
        f"<td>{'' if row.status == READER else html.escape(row.note)}</td></tr>"
        for row in submission.rows
    )
    words = "".join(
        f"<h2>{html.escape(name)}</h2><p>{html.escape(question)}</p><blockquote>{html.escape(text)}</blockquote>"
        for name, (question, text) in submission.words.items()
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
    lectures: dict[Path, NotebookNode],
    folder: Path,
    timeout: float,
    jobs: int,
    seed: int,
) -> None:
    if submission.broken:  # it could not be read, or is none
        raise NotebookError(submission.broken.pop())
    try:
        notebook = nbformat.reads(submission.data.decode("utf-8-sig"), as_version=4)
    except Exception as error:
        raise NotebookError(f"no readable notebook: {inspection.first_line(str(error))}") from None
    submission.lecture = _lecture(submission, notebook, lectures)
    if submission.lecture is None:
        raise NotebookError("no lecture of this course: neither its cells nor its name say which")
    lecture = lectures[submission.lecture]
    wanted = tasks(lecture)
    code = [(number, cell) for number, cell in enumerate(notebook.cells, 1) if cell.cell_type == "code"]
    own: dict[str, list[str]] = {}  # what the student's own checks were given, such as a function renamed
    for _, cell in code:
        for identifier, expression in asked(cell.source).items():
            own.setdefault(identifier, []).append(expression)
    offers = {t.identifier: list(dict.fromkeys([t.expression, *own.get(t.identifier, [])])) for t in wanted if t.check}
    there = {cell.get("id") for cell in notebook.cells}
    places = {cell.get("id"): number for number, cell in code if cell.get("id")}
    answers = [places[t.solution.id] for t in wanted if t.solution and not t.manual and t.solution.id in places]
    cells = needed(code, [expression for names in offers.values() for expression in names], answers)
    with Sandbox(cells, folder, timeout, jobs) as sandbox:
        for task in wanted:
            if task.manual:
                submission.words[task.identifier] = task.question.source, _words(task, notebook, lecture)
                row = Row(submission.student, task.identifier, None, task.points, READER, "; ".join(task.rubric))
            else:
                gone = 0 if task.question.id in there else None
                place = places.get(task.solution.id, gone) if task.solution else gone
                row = _judged(task, offers.get(task.identifier, []), sandbox, submission, seed, place)
            submission.rows.append(row)
    lines = {number: inspection.first_line(cell.source) for number, cell in code}
    submission.broken += [f"cell {n} (`{lines[n]}`): {fault}" for n, fault in sorted(sandbox.faults.items())]


def _judged(
    task: Task, offers: list[str], sandbox: Sandbox, submission: Submission, seed: int, place: int | None
) -> Row:
    """The row of an exercise that a check judges: of several names for the answer, the one that is right.

    `place`: number of the cell that the course has for the answer; 0: it is gone; None: who knows.
    """
    said, status = "", MISSING
    for expression in offers:
        if sandbox.spent > TRIALS * sandbox.timeout:
            return Row(submission.student, task.identifier, None, task.points, BROKEN, "its code takes too long")
        try:
            verdict = check(task.identifier, sandbox.answer(expression), seed=seed)
        except Exception as error:
            fault = f"{expression}: {type(error).__name__}: {error}"
            if type(error).__name__ == "NameError":  # whose cause is another
                fault = sandbox.broken(expression, place) or ("its answer cell is missing" if place == 0 else fault)
            said = said or fault
            continue
        if verdict.passed:
            return Row(submission.student, task.identifier, task.points, task.points, RIGHT)
        said, status = verdict.hint, WRONG
    return Row(submission.student, task.identifier, 0, task.points, status, said)


def _words(task: Task, notebook: NotebookNode, lecture: NotebookNode) -> str:
    """An answer in words: its cell, and the student's own cells between the question and the course's next one."""
    written = {cell.id: cell.source.strip() for cell in lecture.cells}
    answer = task.solution.id if task.solution is not None else f"{task.question.id}-answer"
    its = {answer, task.check.id if task.check is not None else answer}
    heading = f"{task.question.source.split()[0]} "
    found, below = [], False
    for cell in notebook.cells:
        name, text = cell.get("id"), cell.source.strip()
        heads = text.startswith(heading)  # it may be quoted above an answer
        if name not in its and (name in written or (opening(cell) and not (below and heads))):
            below = name == task.question.id or heads
        elif (name == answer or (below and name not in its)) and text not in written.values():
            found.append(text)
    return "\n\n".join(filter(None, found)) or "(no answer was found; look through the notebook)"


def _by_hand(submission: Submission, lectures: dict[Path, NotebookNode], fault: str) -> None:
    """Leave to a reader whatever of a submission has no row yet."""
    submission.broken.append(fault)
    submission.lecture = submission.lecture or _named(submission, lectures)
    done = {row.exercise for row in submission.rows}
    for task in tasks(lectures[submission.lecture]) if submission.lecture else []:
        if task.identifier not in done:
            submission.rows.append(Row(submission.student, task.identifier, None, task.points, BROKEN, fault))


def _lecture(submission: Submission, notebook: NotebookNode, lectures: dict[Path, NotebookNode]) -> Path | None:
    """The lecture that a notebook is of, by its cells; else by the exercises that it checks; else by its name."""
    there = {cell.get("id") for cell in notebook.cells}
    text = "\n".join(cell.source for cell in notebook.cells)
    scores = {
        path: (
            sum(task.question.id in there for task in tasks(lecture)),
            sum(f'"{task.identifier}"' in text for task in tasks(lecture)),
        )
        for path, lecture in lectures.items()
    }
    likely = max(scores, key=lambda path: scores[path])
    return likely if any(scores[likely]) else _named(submission, lectures)


def _named(submission: Submission, lectures: dict[Path, NotebookNode]) -> Path | None:
    return next((path for path in lectures if path.stem in submission.path.stem), None)


def _worth(row: Row) -> float:
    """Points beat no judgement, which beats nothing."""
    return row.points if row.points else 0.0 if row.points == 0 else 0.5


def table(path: Path) -> dict[tuple[str, str], Row]:
    """The rows of a table that is there already, by student and exercise, whatever spreadsheet has saved it.

    Raises NotebookError if it is none, FileError if no table can be written there.
    """
    replaceable(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        lines = csv.reader(io.StringIO(text), delimiter=";" if ";" in text.partition("\n")[0] else ",")
        if tuple(next(lines, [])) != COLUMNS:
            raise ValueError
    except FileNotFoundError:
        return {}
    except (ValueError, csv.Error, OSError):
        raise NotebookError(f"{path} is there and is no table of grades. Name another --out") from None
    rows = {}
    for cells in filter(any, lines):  # blank lines are a spreadsheet's
        try:
            row = _row(*cells)
        except (ValueError, TypeError) as error:
            told = error if isinstance(error, ValueError) else f"{len(cells)} cells, not {len(COLUMNS)}"
            raise NotebookError(f"{path}, line {lines.line_num}: {told}. Mend it, or name another --out") from None
        rows[row.student, row.exercise] = row
    return rows


def _row(student: str, exercise: str, points: str, of: str, status: str, note: str) -> Row:
    """A line of a table; points that do not follow from the status are a reader's."""
    number = re.fullmatch(r"(\d?\d)\.(\d+)", exercise)  # of "01.1", a spreadsheet makes the number 1.1
    if number is None:
        raise ValueError(f"exercise {exercise!r} is not possible. Expected: such as 01.1")
    whole, given = _number("of", of), _number("points", points) if points.strip() else None
    if given is not None and given != {RIGHT: whole, WRONG: 0, MISSING: 0}.get(status):
        status = READ
    return Row(student, f"{int(number[1]):02d}.{number[2]}", given, int(whole), status, note)


def _number(name: str, text: str) -> float:
    """A number, with a decimal point or comma."""
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{name} {text!r} is no number")
    return value


def _faults(path: Path, without: set[str]) -> list[list[object]]:
    """The rows of a list of what broke that is there already, but those of some students."""
    try:
        _, *rows = csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig")))
    except (OSError, ValueError, csv.Error):  # it is only told, and is not worth an error
        return []
    return [[*row] for row in rows if row and row[0] not in without]


def _csv(header: Sequence[str], rows: Sequence[Sequence[object]]) -> bytes:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return file.getvalue().encode()
