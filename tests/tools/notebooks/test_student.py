"""The student edition: no answer left, nothing else changed, and unanswered exercises fail with a hint only."""

import ast
from pathlib import Path

import nbformat
import pytest

from tests.tools.notebooks import crafted
from tinylab import course
from tinylab.tools.cli import main
from tinylab.support.errors import NotebookError
from tinylab.course.exercises import Verdict, check
from tinylab.tools.notebooks import student

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
    assert student.blank(solution) == f"{student.HERE}\n{SOLUTIONS[solution]}"


@pytest.mark.parametrize("path", LECTURES, ids=lambda path: path.stem)
def test_lectures_without_their_solutions(path):
    full = nbformat.read(path, as_version=4)
    edition = student.student(full)
    nbformat.validate(edition)
    assert len(edition.cells) == len(full.cells)
    solutions = [cell for cell in full.cells if student.SOLUTION in cell.metadata.get("tags", [])]
    checks = [cell for cell in full.cells if student.CHECK in cell.metadata.get("tags", [])]
    assert len(solutions) == len(checks) >= 4
    for cell, before in zip(edition.cells, full.cells, strict=True):
        assert not cell.get("outputs")
        if student.SOLUTION not in before.metadata.get("tags", []):
            assert cell.source == before.source


@pytest.mark.parametrize("path", LECTURES, ids=lambda path: path.stem)
def test_an_unanswered_exercise_gets_a_hint_and_raises_nothing(path):
    edition = student.student(nbformat.read(path, as_version=4))
    # what the exercises borrow from the lecture above is only named in solutions, which are gone
    names: dict[str, object] = {"check": check}
    for cell in edition.cells:
        marked = cell.metadata.get("tags", [])
        if student.SOLUTION in marked:
            exec(cell.source, names)
        elif student.CHECK in marked:
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
        if student.SOLUTION in cell.metadata.get("tags", []):
            answers |= {one.name for one in tree.body if isinstance(one, ast.FunctionDef)}
            answers |= {ast.unparse(name) for one in tree.body if isinstance(one, ast.Assign) for name in one.targets}
        elif student.CHECK not in cell.metadata.get("tags", []):
            names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
            used |= {name.id for name in names if isinstance(name.ctx, ast.Load)}
    assert answers
    assert answers & used == set()


def _lecture(folder: Path, name: str = "01_small") -> Path:
    made = crafted.notebook("1 + 1", "answer = 'swordfish'", "check(answer)")
    made.cells[3].metadata["tags"] = [student.SOLUTION]
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
    made.cells[2].metadata["tags"] = [student.SOLUTION]
    with pytest.raises(NotebookError, match="cell 3, tagged 'solution', is not Python"):
        student.student(made)


def test_the_command(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["student", str(tmp_path / "class")])
    assert ended.value.code == 0
    assert len(list((tmp_path / "class").glob("*.ipynb"))) == len(LECTURES)
    assert f"{len(LECTURES)} notebooks" in capsys.readouterr().out
