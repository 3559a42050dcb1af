"""The student edition: no answer left, nothing else changed, and unanswered exercises fail with a hint only."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

from tests.tools.notebooks import crafted
from tinylab import course
from tinylab.course.exercises import Verdict, check, exercises, grading
from tinylab.support.errors import NotebookError
from tinylab.tools.cli import main
from tinylab.tools.notebooks import assignments, student

LECTURES = course.find()

SOLUTIONS = {
    "answer_1 = (5 * 5 * 3 + 1) * 32": "answer_1 = ...",
    'answer = """\nLong\nprose.\n"""': "answer = ...",
    "a = b = 3": "a = b = ...",
    "import math\nanswer = math.pi": "import math\nanswer = ...",
    "def f(x, *, y=2):\n    return x * y": "\n\ndef f(x, *, y=2):\n    ...",
    'def f(x: int) -> int:\n    """Doubles x."""\n    y = 2\n    return x * y': (
        '\n\ndef f(x: int) -> int:\n    """Doubles x."""\n    ...'
    ),
    "for i in range(3):\n    print(i)\nanswer = 3": "answer = ...",
}


@pytest.mark.parametrize("solution", SOLUTIONS)
def test_the_shape_of_an_answer_stays_and_the_answer_goes(solution):
    assert student.blank(solution, 1) == f"{student.HERE}\n{SOLUTIONS[solution]}"


@pytest.mark.parametrize("path", LECTURES, ids=lambda path: path.stem)
def test_lectures_without_their_solutions(path):
    full = nbformat.read(path, as_version=4)
    edition = student.student(full)
    nbformat.validate(edition)
    solutions = [cell for cell in full.cells if assignments.SOLUTION in cell.metadata.get("tags", [])]
    checks = [cell for cell in full.cells if assignments.CHECK in cell.metadata.get("tags", [])]
    assert len(solutions) == len(checks) >= 1
    before = {cell.id: cell for cell in full.cells}
    added = [cell for cell in edition.cells if cell.id not in before]
    assert [cell.source for cell in added] == [student.WORDS] * sum(
        task.solution is None for task in assignments.tasks(full)
    )
    for cell in edition.cells:
        assert not cell.get("outputs")
        if cell not in added and assignments.SOLUTION not in before[cell.id].metadata.get("tags", []):
            assert cell.source == before[cell.id].source


@pytest.mark.parametrize("path", LECTURES, ids=lambda path: path.stem)
def test_every_exercise_has_points_and_what_is_read_has_a_rubric(path):
    for task in assignments.tasks(nbformat.read(path, as_version=4)):
        assert task.points >= 1
        assert len(task.rubric) == (task.points if task.manual else 0)
        assert bool(task.sample) == (task.solution is None)
        if task.check is not None:
            assert list(assignments.asked(task.check.source)) == [task.identifier]


def test_the_table_names_no_exercise_that_is_not_there():
    there = {task.identifier for path in LECTURES for task in assignments.tasks(nbformat.read(path, as_version=4))}
    tables = grading()
    assert set(tables) == {"points", "words", "ideas", "choice"}
    assert set(tables["points"]) == there
    for name in ("words", "ideas", "choice"):
        assert set(tables[name]) <= there
    assert set(exercises()) <= there


@pytest.mark.parametrize("path", LECTURES, ids=lambda path: path.stem)
def test_nbgrader_s_metadata_are_of_its_schema(path):
    """As its schema 3 says: names that are unique, points where something is graded, words both answer and grade."""
    edition = student.student(nbformat.read(path, as_version=4))
    facts = [cell.metadata.nbgrader for cell in edition.cells if "nbgrader" in cell.metadata]
    assert len({fact.grade_id for fact in facts}) == len(facts)
    for fact in facts:
        assert set(fact) <= {"schema_version", "task", "grade", "solution", "locked", "grade_id", "points"}
        assert re.fullmatch(r"[a-zA-Z0-9_-]+", fact.grade_id)
        assert fact.grade == ("points" in fact)
        assert fact.locked != fact.solution
    graded = [cell for cell in edition.cells if cell.metadata.get("nbgrader", {}).get("grade")]
    assert len(graded) == len(assignments.tasks(edition))
    assert all(cell.metadata.nbgrader.solution for cell in graded if cell.cell_type == "markdown")


@pytest.mark.parametrize("path", LECTURES, ids=lambda path: path.stem)
def test_answers_in_words_and_rubrics_are_in_the_lecturer_s_copy_only(path):
    full = nbformat.read(path, as_version=4)
    copy, edition = student.lecturer(full, seed=7), student.student(full)
    nbformat.validate(copy)
    theirs = "\n".join(cell.source for cell in edition.cells)
    ours = "\n".join(cell.source for cell in copy.cells)
    for task in assignments.tasks(full):
        if task.manual:
            assert all(line in ours and line not in theirs for line in task.rubric)
            assert task.sample in ours
        elif task.check is not None:
            assert f'_checks.check("{task.identifier}", {task.expression}, seed=7)' in ours
    assert "HIDDEN" not in theirs
    assert "SOLUTION" not in theirs
    assert ours.count("### BEGIN SOLUTION") == ours.count("### END SOLUTION") == len(assignments.tasks(full))


@pytest.mark.parametrize("path", LECTURES, ids=lambda path: path.stem)
def test_an_unanswered_exercise_gets_a_hint_and_raises_nothing(path):
    edition = student.student(nbformat.read(path, as_version=4))
    # what the exercises borrow from the lecture above is only named in solutions, which are gone
    names: dict[str, object] = {"check": check}
    for cell in edition.cells:
        marked = cell.metadata.get("tags", [])
        if assignments.SOLUTION in marked:
            exec(cell.source, names)
        elif assignments.CHECK in marked:
            *_, last = ast.parse(cell.source).body
            assert isinstance(last, ast.Expr)
            verdict = eval(ast.unparse(last), names)
            assert isinstance(verdict, Verdict)
            assert not verdict.passed
            assert len(verdict.hint) > 10


@pytest.mark.parametrize("path", LECTURES, ids=lambda path: path.stem)
def test_nothing_but_the_checks_needs_an_answer(path):
    """So the student edition runs to its end, as the full one does: what else it holds is the same, cell by cell."""
    answers, used = set(), set()
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type != "code":
            continue
        tree = ast.parse(cell.source)
        if assignments.SOLUTION in cell.metadata.get("tags", []):
            answers |= {one.name for one in tree.body if isinstance(one, ast.FunctionDef)}
            answers |= {ast.unparse(name) for one in tree.body if isinstance(one, ast.Assign) for name in one.targets}
        elif assignments.CHECK not in cell.metadata.get("tags", []):
            names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
            used |= {name.id for name in names if isinstance(name.ctx, ast.Load)}
    assert answers
    assert answers & used == set()


def _lecture(folder: Path, name: str = "01_small") -> Path:
    made = crafted.notebook("1 + 1", "answer = 'swordfish'", "check(answer)")
    made.cells[3].metadata["tags"] = [assignments.SOLUTION]
    made.cells[2].outputs = [nbformat.v4.new_output("execute_result", {"text/plain": "2"}, execution_count=1)]
    return crafted.write(folder, name, made)


def test_writing_twice_is_fine_and_overwrites_nobody_s_answers(tmp_path):
    lectures = [_lecture(tmp_path, "01_small"), _lecture(tmp_path, "02_other")]
    out = tmp_path / "class" / "monday"
    written = student.write(lectures, out)
    assert [path.name for path in written] == ["01_small.ipynb", "02_other.ipynb"]
    assert "swordfish" not in written[0].read_text()
    assert student.write(lectures, out) == written
    written[1].write_text(written[1].read_text().replace("...", "'swordfish'"))
    written[0].unlink()
    with pytest.raises(NotebookError, match=r"02_other.ipynb is there already .* another folder"):
        student.write(lectures, out)
    assert not written[0].exists()
    assert "swordfish" in written[1].read_text()


def test_a_solution_that_is_not_python_is_named(tmp_path):
    made = crafted.notebook("answer = (")
    made.cells[2].metadata["tags"] = [assignments.SOLUTION]
    with pytest.raises(NotebookError, match="cell 3, tagged 'solution', is not Python"):
        student.student(made)


def test_the_command(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["student", str(tmp_path / "class")])
    assert ended.value.code == 0
    assert len(list((tmp_path / "class").glob("*.ipynb"))) == len(LECTURES)
    assert f"{len(LECTURES)} notebooks" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("shared", "theirs"),
    [("class", "class"), ("class", "class/copy"), ("class", "class/../class/a/b"), ("copy/source", "copy")],
)
def test_solutions_are_not_written_into_the_class_s_folder(tmp_path, capsys, shared, theirs):
    with pytest.raises(SystemExit) as ended:
        main(["student", str(tmp_path / shared), "01", "--lecturer", str(tmp_path / theirs)])
    assert ended.value.code != 0
    said = capsys.readouterr().err
    assert "would put the solutions into the class's folder" in said
    assert len(said.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def _edition(folder: Path, *sources: str, words: str = "1 + 1"):
    """(the lecture of a course, its student edition in `folder`)"""
    made = crafted.notebook(words, *sources, "answer_1 = 'swordfish'", 'check("01.1", answer_1)')
    made.cells[-2].metadata["tags"] = [assignments.SOLUTION]
    made.cells[-1].metadata["tags"] = [assignments.CHECK]
    made.cells.insert(-2, nbformat.v4.new_markdown_cell("**1.1 (recall)** Which fish?", id="question"))
    for place, cell in enumerate(made.cells):
        cell.id = f"cell-{place}" if cell.id != "question" else cell.id
    made.cells[-2].id, made.cells[-1].id = "answer", "check"
    lecture = crafted.write(folder, "01_small", made)
    student.write([lecture], folder / "class")
    return lecture, folder / "class" / "01_small.ipynb"


def _change(path: Path, **sources: str):
    made = nbformat.read(path, as_version=4)
    for cell in made.cells:
        cell.source = sources.get(cell.id.replace("-", "_"), cell.source)
    nbformat.write(made, path)
    return made


def _sources(path: Path) -> list[str]:
    return [cell.source for cell in nbformat.read(path, as_version=4).cells]


def test_an_update_keeps_answers_and_own_cells_and_renews_the_rest(tmp_path):
    lecture, mine = _edition(tmp_path)
    made = _change(mine, answer="answer_1 = 'trout'")
    own = nbformat.v4.new_code_cell("my_notes = 7")
    made.cells.insert(3, own)
    nbformat.write(made, mine)
    _change(lecture, cell_2="2 + 2")
    (news,) = student.update([lecture], mine.parent)
    assert (news.kept, news.replaced, news.conflicts) == (2, 1, [])
    sources = _sources(mine)
    assert sources[2:4] == ["2 + 2", "my_notes = 7"]
    assert "answer_1 = 'trout'" in sources
    (again,) = student.update([lecture], mine.parent)
    assert (again.replaced, again.conflicts) == (0, [])
    assert _sources(mine) == sources


def test_an_update_names_cells_that_both_have_changed_and_loses_neither(tmp_path):
    lecture, mine = _edition(tmp_path)
    _change(mine, cell_2="1 + 1  # tried this", answer="answer_1 = 'trout'")
    _change(lecture, cell_2="2 + 2", question="**1.1 (recall)** Which bird?")
    (news,) = student.update([lecture], mine.parent)
    assert len(news.conflicts) == 2
    assert "cell cell-2 (`1 + 1  # tried this`) was changed here and in the course" in news.conflicts[0]
    assert "the question of cell answer" in news.conflicts[1]
    sources = _sources(mine)
    assert sources.index("1 + 1  # tried this") == sources.index("2 + 2") + 1
    assert "answer_1 = 'trout'" in sources
    assert student.update([lecture], mine.parent)[0].conflicts == []
    assert _sources(mine) == sources


def test_an_update_leaves_alone_what_only_the_student_has_changed(tmp_path):
    lecture, mine = _edition(tmp_path, "# %%md Some text.")
    mine_now = {"cell_2": "1 + 1  # mine", "cell_3": "Text and notes.", "question": "**1.1 (recall)** Fish? (hard)"}
    _change(mine, **mine_now, answer="answer_1 = 'trout'")
    before = _sources(mine)
    _change(lecture, cell_0="# A new title")
    for kept, replaced in ((4, 1), (4, 0)):
        (news,) = student.update([lecture], mine.parent)
        assert (news.kept, news.replaced, news.conflicts) == (kept, replaced, [])
    assert _sources(mine) == ["# A new title", *before[1:]]
    _change(lecture, cell_3="Other text.")  # a note of what the course once said has stayed
    assert "changed here and in the course" in student.update([lecture], mine.parent)[0].conflicts[0]


def _nameless(path: Path, *lost: str):
    made = nbformat.read(path, as_version=4)
    made.nbformat_minor = 4
    for cell in made.cells:
        del cell["id"]
        for key in lost:
            cell.metadata.pop(key, None)
    nbformat.write(made, path)


def test_an_update_knows_cells_that_have_lost_their_names_by_their_marks(tmp_path):
    lecture, mine = _edition(tmp_path)
    made = _change(mine, answer="answer_1 = 'trout'")
    made.cells.insert(3, nbformat.v4.new_code_cell("my_notes = 7"))
    nbformat.write(made, mine)
    before = _sources(mine)
    _nameless(mine)
    _change(lecture, cell_2="2 + 2")
    (news,) = student.update([lecture], mine.parent)
    assert (news.kept, news.conflicts) == (2, [])
    assert sorted(_sources(mine)) == sorted("2 + 2" if source == "1 + 1" else source for source in before)
    nbformat.validate(nbformat.read(mine, as_version=4))


def test_an_update_refuses_a_notebook_whose_cells_nothing_tells_apart(tmp_path):
    lecture, mine = _edition(tmp_path)
    _change(mine, answer="answer_1 = 'trout'")
    _nameless(mine, "nbgrader", "tinylab")
    before = mine.read_bytes()
    with pytest.raises(NotebookError, match=r"01_small\.ipynb has lost its cells' names; .* it stays as it is") as told:
        student.update([lecture], mine.parent)
    assert len(str(told.value).splitlines()) == 1
    assert mine.read_bytes() == before


def test_an_update_keeps_what_the_course_has_dropped_if_it_was_changed(tmp_path):
    lecture, mine = _edition(tmp_path, "dropped", "dropped_too")
    _change(mine, cell_3="dropped, not by me", answer="answer_1 = 'trout'")
    made = nbformat.read(lecture, as_version=4)
    made.cells = [cell for cell in made.cells if cell.id not in ("cell-3", "cell-4", "answer", "check", "question")]
    nbformat.write(made, lecture)
    (news,) = student.update([lecture], mine.parent)
    assert len(news.conflicts) == 2
    sources = _sources(mine)
    assert "dropped, not by me" in sources
    assert "answer_1 = 'trout'" in sources
    assert "dropped_too" not in sources


def test_an_update_takes_an_edition_from_before_notes_were_taken(tmp_path):
    lecture, mine = _edition(tmp_path)
    made = _change(mine, answer="answer_1 = 'trout'", cell_2="my own")
    made.metadata.pop("tinylab", None)
    for cell in made.cells:
        cell.metadata.pop("tinylab", None)
        cell.metadata.pop("nbgrader", None)
        cell.source = "my own" if cell.id == "cell-2" else cell.source
    nbformat.write(made, mine)
    student.update([lecture], mine.parent)
    assert {"answer_1 = 'trout'", "my own"} <= set(_sources(mine))


@pytest.mark.parametrize("damage", [b"", "text".encode("utf-16"), b"{"])
def test_an_update_writes_nothing_beside_a_damaged_notebook(damage, tmp_path):
    lecture, mine = _edition(tmp_path)
    mine.write_bytes(damage)
    with pytest.raises(NotebookError, match="is no readable notebook"):
        student.update([lecture], mine.parent)
    assert mine.read_bytes() == damage
