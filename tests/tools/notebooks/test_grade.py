"""Grading thirty submissions at once: each gets its points, whatever the others do."""

import csv
import os

import pytest

from tests.tools.notebooks import submissions
from tinylab.support.errors import NotebookError
from tinylab.tools.notebooks import grade

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


def test_each_student_gets_a_page_without_markup_of_their_own(graded):
    _, done, _, pages = graded
    for submission in done:
        assert list((pages / submission.student).glob("*.html")), submission.student
    page = next((pages / "right").glob("*.html")).read_text(encoding="utf-8")
    assert "10 of 10 points" in page
    assert "<script" not in page
    assert "images must not shape" in page  # what a reader gives points for


def test_points_that_a_reader_entered_survive_another_run(graded, tmp_path):
    _, done, rows, _ = graded
    table = tmp_path / "grades.csv"
    grade.write(done, table)
    text = table.read_text(encoding="utf-8")
    table.write_text(text.replace("right,01.6,,3", "right,01.6,2.5,3"), encoding="utf-8")
    grade.write(done, table)
    assert "right,01.6,2.5,3" in table.read_text(encoding="utf-8")
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
        'anna,01.6,2.5,3,to be read,"each, with a comma; a point"',
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
