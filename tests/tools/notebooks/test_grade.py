"""Grading thirty submissions at once: each gets its points, whatever the others do."""

import copy
import csv
import os
import re

import nbformat
import pytest

from tests.tools.notebooks import submissions
from tinylab.support.errors import FileError, NotebookError
from tinylab.tools.cli import main
from tinylab.tools.notebooks import grade, inspection, student
from tinylab.tools.notebooks.assignments import tasks

pytestmark = pytest.mark.xdist_group("grading")  # one process makes what they share


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """(the folder, the submissions graded, the table's rows, the folder of the feedback)"""
    folder = tmp_path_factory.mktemp("class")
    submissions.write(folder / "submitted")
    done = grade.grade(folder / "submitted", timeout=8, jobs=2)
    pages = grade.write(done, folder / "grades.csv")
    with open(folder / "grades.csv", encoding="utf-8", newline="") as file:
        return folder, done, list(csv.DictReader(file)), pages


def test_there_are_thirty():
    assert len(submissions.CASES) == 30


@pytest.mark.parametrize("name", submissions.CASES)
def test_each_gets_its_points(graded, name):
    _, _, rows, _ = graded
    expected = submissions.CASES[name][2]
    given = {row["exercise"]: row for row in rows if row["student"] == name}
    assert list(given) == [*expected, "01.6"]
    points = {exercise: row["points"] for exercise, row in given.items() if exercise != "01.6"}
    notes = {exercise: row["note"] for exercise, row in given.items()}
    assert points == {exercise: "" if of is None else str(of) for exercise, of in expected.items()}, notes
    assert given["01.6"]["points"] == ""  # words are read by a human


@pytest.mark.parametrize("name", [name for name, case in submissions.CASES.items() if case[3]])
def test_what_broke_is_listed_with_its_place(graded, name):
    _, _, _, pages = graded
    with open(pages / "broken.csv", encoding="utf-8", newline="") as file:
        told = [row["what"] for row in csv.DictReader(file) if row["student"] == name]
    words = submissions.CASES[name][3]
    assert any(words in what and (words.startswith("no ") or "cell " in what) for what in told), told


NOTES = {
    ("syntax-error", "01.1"): r"cell \d+: SyntaxError",
    ("syntax-error-in-function", "01.4"): r"cell \d+: SyntaxError",
    ("crashing-cell", "01.2"): r"cell \d+: ZeroDivisionError: division by zero$",
    ("looping-cell", "01.2"): r"cell \d+: it was still running",
    ("kernel-killed", "01.1"): r"cell \d+: the kernel died$",
    ("answer-deleted", "01.2"): "its answer cell is missing$",
}


@pytest.mark.parametrize(("name", "exercise"), NOTES)
def test_a_note_says_what_broke_where_an_answer_should_be(graded, name, exercise):
    _, _, rows, _ = graded
    (note,) = [row["note"] for row in rows if (row["student"], row["exercise"]) == (name, exercise)]
    assert re.match(NOTES[name, exercise], note), note


def test_each_student_gets_a_page_without_markup_of_their_own(graded):
    _, done, _, pages = graded
    for submission in done:
        assert list((pages / submission.student).glob("*.html")), submission.student
    page = next((pages / "right").glob("*.html")).read_text(encoding="utf-8")
    assert "10 of 10 points" in page
    assert "<script" not in page
    assert "Somebody suggests computing the mean image" in page  # the question that a reader judges
    assert "images must not shape" not in page  # what there are points for, before there are any


def test_points_that_a_reader_entered_survive_another_run(graded, tmp_path):
    _, done, _, _ = graded
    table = tmp_path / "grades.csv"
    grade.write(done, table)
    text = table.read_text(encoding="utf-8")
    table.write_text(text.replace("right,01.6,,3", "right,01.6,2.5,3"), encoding="utf-8")
    pages = grade.write(copy.deepcopy(done), table)
    assert "right,01.6,2.5,3,read," in table.read_text(encoding="utf-8")
    page = next((pages / "right").glob("*.html")).read_text(encoding="utf-8")
    assert "12.5 of 13 points" in page
    assert "images must not shape" in page
    table.write_text("my notes")
    with pytest.raises(NotebookError, match="is no table of grades"):
        grade.write(done, table)
    assert table.read_text() == "my notes"


def test_another_week_keeps_the_rows_of_the_weeks_before(tmp_path):
    table = tmp_path / "grades.csv"

    def graded_again(*rows: grade.Row) -> list[str]:
        grade.write([grade.Submission("anna", tmp_path / "homework.ipynb", b"", rows=list(rows))], table)
        return table.read_text(encoding="utf-8").splitlines()[1:]

    read = grade.Row("anna", "01.6", None, 3, grade.READER, "each, with a comma; a point")
    graded_again(grade.Row("anna", "01.1", 0, 1, grade.WRONG, "once more"), read)
    table.write_text(table.read_text(encoding="utf-8").replace("anna,01.6,,3", "anna,01.6,2.5,3"), encoding="utf-8")
    assert graded_again(grade.Row("anna", "02.1", 1, 1, grade.RIGHT), grade.Row("anna", "01.1", 1, 1, grade.RIGHT)) == [
        "anna,01.1,1,1,right,",  # handed in again
        'anna,01.6,2.5,3,read,"each, with a comma; a point"',
        "anna,02.1,1,1,right,",
    ]


def test_a_submission_sees_none_of_the_lecturer_s_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "swordfish")
    told = "import os\nanswer_2 = str([os.environ.get('SECRET_TOKEN'), os.getcwd(), os.path.expanduser('~')])"
    made = submissions.answered({"01.2": told})
    cells = grade.needed([(i, cell) for i, cell in enumerate(made.cells) if cell.cell_type == "code"], ["answer_2"])
    assert len(cells) == 1
    folder = tmp_path / "own"
    folder.mkdir()
    with grade.Sandbox(cells, folder, 20) as sandbox:
        assert sandbox.answer("answer_2") == str([None, str(folder), str(folder)])
        assert os.listdir(folder) in ([], [".ipython"])


def _submission(folder, name: str, *rows: grade.Row, broken: str | None = None) -> grade.Submission:
    return grade.Submission(name, folder / "homework.ipynb", b"", rows=list(rows), broken=[broken] if broken else [])


@pytest.mark.parametrize("separator", [",", ";"])
def test_a_table_that_a_spreadsheet_has_saved_is_read(tmp_path, separator):
    table = tmp_path / "grades.csv"
    lines = [
        grade.COLUMNS,
        ("anna", "01.6", "2,5", "3", "to be read", "a note"),
        ("", "") * 3,
        ("ben", "1.1", "0", "1", "no answer", ""),
    ]
    text = "\r\n".join(separator.join(f'"{cell}"' if separator in cell else cell for cell in line) for line in lines)
    table.write_text(text, encoding="utf-8-sig", newline="")
    assert [*grade.table(table).values()] == [
        grade.Row("anna", "01.6", 2.5, 3, grade.READ, "a note"),
        grade.Row("ben", "01.1", 0, 1, grade.MISSING),
    ]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("anna,01.1,two,3,right,", "line 2: points 'two' is no number"),
        ("anna,01.1,nan,3,right,", "line 2: points 'nan' is no number"),
        ("anna,01.1,2,,right,", "line 2: of '' is no number"),
        ("anna,01. Jan,2,3,right,", "line 2: exercise '01. Jan' is not possible"),
        ("anna,01.1,2", "line 2: 3 cells, not 6"),
    ],
)
def test_a_line_of_a_table_that_cannot_be_read_is_named(tmp_path, line, told):
    table = tmp_path / "grades.csv"
    table.write_text(",".join(grade.COLUMNS) + f"\n{line}\n")
    with pytest.raises(NotebookError, match=re.escape(told)):
        grade.table(table)


@pytest.mark.parametrize("what", ["folder", "notes", "feedback"])
def test_a_table_that_cannot_be_written_is_named_before_the_work(tmp_path, capsys, monkeypatch, what):
    monkeypatch.setattr(grade, "grade", lambda *given, **named: pytest.fail("it has begun"))
    out = tmp_path / "grades.csv"
    out.mkdir() if what == "folder" else out.write_text("my notes") if what == "notes" else None
    (tmp_path / "grades").write_text("a file where the feedback goes")
    with pytest.raises(SystemExit) as ended:
        main(["grade", str(tmp_path), "--out", str(out)])
    assert ended.value.code != 0
    told = {
        "folder": "this is a folder. Name a file in it",
        "notes": "no table of grades",
        "feedback": "is a file. Name",
    }
    assert told[what] in capsys.readouterr().err


def test_a_folder_is_no_table(tmp_path):
    with pytest.raises(FileError, match=r"this is a folder\. Name a file in it"):
        grade.table(tmp_path)


def test_points_that_a_reader_changed_count_and_what_the_checks_gave_is_told(tmp_path, capsys, monkeypatch):
    table = tmp_path / "grades.csv"
    table.write_text(",".join(grade.COLUMNS) + "\nanna,02.1,2,3,no answer,\nanna,02.2,3,3,right,\n")
    rows = grade.Row("anna", "02.1", 0, 3, grade.MISSING), grade.Row("anna", "02.2", 0, 3, grade.WRONG)
    monkeypatch.setattr(grade, "grade", lambda *given, **named: [_submission(tmp_path, "anna", *rows)])
    with pytest.raises(SystemExit):
        main(["grade", str(tmp_path), "--out", str(table)])
    assert table.read_text().splitlines()[1:] == ["anna,02.1,2,3,read,", "anna,02.2,0,3,not yet,"]
    said = capsys.readouterr().out
    assert "anna 02.1: 2 in the table, 0 by the checks; the table counts" in said
    assert "anna 02.2" not in said  # the checks' own points follow the checks


def test_what_broke_for_others_stays_listed(tmp_path):
    table = tmp_path / "grades.csv"
    for name, fault in (("anna", "once"), ("ben", "a, b"), ("anna", "again")):
        pages = grade.write([_submission(tmp_path, name, broken=fault)], table)
    with open(pages / "broken.csv", encoding="utf-8", newline="") as file:
        assert [[row["student"], row["what"]] for row in csv.DictReader(file)] == [["ben", "a, b"], ["anna", "again"]]


def test_returned_work_that_is_no_notebook_is_listed(tmp_path):
    submitted = tmp_path / "submitted"
    for name in (
        "anna/01_data.ipynb",
        "max/readme.txt",
        "paul.zip",
        "rita.pdf",
        "grades.csv",
        "grades/broken.csv",
        ".git/x",
    ):
        (submitted / name).parent.mkdir(parents=True, exist_ok=True)
        (submitted / name).write_text("{}")
    (submitted / "nils").mkdir()
    done = grade.grade(submitted)
    assert {one.student: one.broken for one in done if one.student != "anna"} == {
        "max": ["no notebook in this folder"],
        "nils": ["no notebook in this folder"],
        "paul": ["not a notebook; unpack it"],
        "rita": ["not a notebook"],
    }
    pages = grade.write(done, tmp_path / "grades.csv")
    assert "paul,paul.zip,not a notebook; unpack it" in (pages / "broken.csv").read_text()


def _words(identifier: str, change) -> str:
    number = identifier.partition(".")[0]
    lecture = student.student(inspection.read(next(p for p in submissions.course.find() if p.stem.startswith(number))))
    task = next(task for task in tasks(lecture) if task.identifier == identifier)
    made = copy.deepcopy(lecture)
    change(made.cells, next(i for i, cell in enumerate(made.cells) if cell.id == task.question.id))
    return grade._words(task, made, lecture)


@pytest.mark.parametrize("identifier", ["01.6", "03.5", "03.6"])
def test_an_answer_in_words_is_found_in_its_cell_and_below_it(identifier):
    def own(cells, question, kind=nbformat.v4.new_markdown_cell):
        cells.insert(question + 2, kind("My own words."))

    def quoted(cells, question):
        cells[question + 1].source = cells[question].source + "\nBecause."

    def far(cells, question):
        cells.insert(question, nbformat.v4.new_markdown_cell("Not here."))

    nothing = "(no answer was found; look through the notebook)"
    assert _words(identifier, lambda cells, question: None) == nothing
    assert _words(identifier, far) == nothing
    assert _words(identifier, own) == "My own words."
    assert _words(identifier, quoted).endswith("Because.")
    assert _words(identifier, lambda *at: (quoted(*at), own(*at))).endswith("Because.\n\nMy own words.")


@pytest.mark.parametrize("there", [False, True])
def test_nothing_to_grade_is_said(tmp_path, there):
    folder = tmp_path / "submitted"
    if there:
        folder.mkdir()
    with pytest.raises(NotebookError, match="holds no notebook" if there else "is no folder"):
        grade.grade(folder)


def test_students_are_told_apart_by_folder_or_by_name(tmp_path):
    for name in ("anna/01_data.ipynb", "ben/hw1/01_data.ipynb", "carl_01_data.ipynb", ".ipynb_checkpoints/x.ipynb"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    assert [one.student for one in grade.collect(tmp_path)] == ["anna", "ben", "carl"]
