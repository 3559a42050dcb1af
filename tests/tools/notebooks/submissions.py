"""Thirty returned notebooks: right, wrong, half done, broken and tampered with, and what each must be given."""
# ruff: noqa: E501  (a table with a case on each line)

from collections.abc import Callable
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tinylab import course
from tinylab.tools.notebooks import inspection, student

LECTURE = course.find(["01"])[0]
ALL = {"01.1": 1, "01.2": 1, "01.3": 3, "01.4": 3, "01.5": 2}  # judged by checks; 01.6 is read
NONE = dict.fromkeys(ALL, 0)
HAND = dict.fromkeys(ALL)  # left to a human reader

STRATIFIED = """def stratified(labels, share):
    rows = [np.flatnonzero(labels == c) for c in np.unique(labels)]
    return np.concatenate([r[: round(share * len(r))] for r in rows])"""
NORMALISE = "def normalise(images, mean, scale):\n    return (images.astype(float) - mean) / scale"
RIGHT = {
    "01.1": "answer_1 = 12288",
    "01.2": 'answer_2 = "development"',
    "01.3": NORMALISE,
    "01.4": STRATIFIED,
    "01.5": "answer_5 = 0",
}
Change = Callable[[NotebookNode], object]


def answered(answers: dict[str, str]) -> NotebookNode:
    """The student edition of lecture 01 with these answers; the others untouched."""
    made = student.student(inspection.read(LECTURE))
    for identifier, source in answers.items():
        answer(made, identifier).source = source
    return made


def answer(made: NotebookNode, identifier: str, kind: str = "answer") -> NotebookNode:
    name = f"exercise-{identifier.replace('.', '-')}-{kind}"
    return next(cell for cell in made.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == name)


def _with(**changed: str) -> dict[str, str]:
    return RIGHT | {name.replace("_", "."): source for name, source in changed.items()}


def _less(*lost: str) -> dict[str, int]:
    return ALL | dict.fromkeys(lost, 0)


def _tampered(made: NotebookNode) -> None:
    for cell in made.cells:
        if "import" in cell.source and cell.cell_type == "code":
            cell.source += "\ncheck = lambda *a: True"
            return


def _rebound(made: NotebookNode) -> None:
    """Everything that a check in the same kernel would rely on is made to say yes."""
    answer(made, "01.1").source = (
        "from tinylab.course import exercises\nexercises.check = lambda *a, **k: exercises.Verdict('01.1', True, '')\n"
        "exercises._CHECKS.update(dict.fromkeys(exercises.exercises(), lambda *a: None))\n"
        "import numpy\nnumpy.allclose = lambda *a, **k: True\nnumpy.array_equal = lambda *a, **k: True\nanswer_1 = 1"
    )
    answer(made, "01.3").source = "def normalise(images, mean, scale):\n    return images * 1.0"


def _chameleon(made: NotebookNode) -> None:
    answer(made, "01.1").source = (
        "class Yes(int):\n    def __eq__(self, other): return True\n    def __float__(self): return 12288.0\n"
        "    __hash__ = int.__hash__\nanswer_1 = Yes(3)"
    )


def _renamed(made: NotebookNode) -> None:
    answer(made, "01.3").source = NORMALISE.replace("normalise", "my_own")
    answer(made, "01.3", "check").source = 'check("01.3", my_own)'


def _deleted(made: NotebookNode) -> None:
    made.cells = [
        cell for cell in made.cells if "nbgrader" not in cell.metadata or "check" not in cell.metadata.nbgrader.grade_id
    ]


def _answer_deleted(made: NotebookNode) -> None:
    made.cells.remove(answer(made, "01.2"))


def _lecture_deleted(made: NotebookNode) -> None:
    first = next(i for i, cell in enumerate(made.cells) if "nbgrader" in cell.metadata)
    imports = nbformat.v4.new_code_cell("import numpy as np")
    made.cells = [imports, *made.cells[first:]]


def _lecture_broken(made: NotebookNode) -> None:
    made.cells.insert(5, nbformat.v4.new_code_cell("1 / 0"))
    made.cells.insert(6, nbformat.v4.new_code_cell("this is no python"))


def _without_names(made: NotebookNode) -> None:
    made.nbformat_minor = 4
    for cell in made.cells:
        del cell["id"]
        cell.metadata = nbformat.from_dict({})


def _magic(made: NotebookNode) -> None:
    answer(made, "01.1").source = "%time answer_1 = 12288\n!false"


LOOP = "    while True:\n        pass"
# student: (answers, what is done to the notebook then, points, words in `broken.csv` or None)
CASES: dict[str, tuple[dict[str, str], Change | None, dict[str, int | None], str | None]] = {
    "right": (RIGHT, None, ALL, None),
    "right-other-way": (
        _with(**{"01_1": "answer_1 = np.prod((64, 64, 3))", "01_5": "from math import *\nnote = 'a\u2028b'\nanswer_5 = floor(0.5)"}),
        None, ALL, None,
    ),
    "untouched": ({}, None, NONE, None),
    "wrong": (
        {"01.1": "answer_1 = 1", "01.2": "answer_2 = 'test'", "01.5": "answer_5 = 2", "01.3": "def normalise(*a): return a[0]"},
        None, NONE, None,
    ),
    "half": ({name: RIGHT[name] for name in ("01.1", "01.3")}, None, NONE | {"01.1": 1, "01.3": 3}, None),
    "crashing": (_with(**{"01_3": "def normalise(images, mean, scale):\n    return 1 / 0"}), None, _less("01.3"), None),
    "crashing-cell": (_with(**{"01_2": "answer_2 = 1 / 0"}), None, _less("01.2"), "ZeroDivisionError"),
    "syntax-error": (_with(**{"01_1": "answer_1 = (64 * "}), None, _less("01.1"), "SyntaxError"),
    "syntax-error-in-function": (_with(**{"01_4": "def stratified(labels share):"}), None, _less("01.4"), "SyntaxError"),
    "looping": (_with(**{"01_4": f"def stratified(labels, share):\n{LOOP}"}), None, _less("01.4"), None),
    "looping-cell": (_with(**{"01_2": "while True:\n    pass"}), None, _less("01.2"), "still running"),
    "stubborn": (
        _with(**{"01_3": "def normalise(*a):\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass"}),
        None, _less("01.3"), None,
    ),
    "kernel-killed": (_with(**{"01_1": "import os, signal\nanswer_1 = 12288\nos.kill(os.getpid(), signal.SIGKILL)"}), None, _less("01.1"), "died"),
    "kernel-killed-in-function": (
        _with(**{"01_3": "def normalise(*a):\n    import os\n    os._exit(0)"}), None, _less("01.3"), None,
    ),
    "left": (_with(**{"01_5": "answer_5 = 0\nimport sys\nsys.exit(0)"}), None, ALL, None),
    "tampered": ({}, _tampered, NONE, None),
    "tampered-right": (RIGHT, _tampered, ALL, None),
    "rebound": (_with(**{"01_1": ""}), _rebound, _less("01.1", "01.3"), None),
    "chameleon": (RIGHT, _chameleon, _less("01.1"), None),
    "renamed": (RIGHT, _renamed, ALL, None),
    "checks-deleted": (RIGHT, _deleted, ALL, None),
    "answer-deleted": (RIGHT, _answer_deleted, _less("01.2"), None),
    "lecture-deleted": (RIGHT, _lecture_deleted, ALL, None),
    "lecture-broken": (RIGHT, _lecture_broken, ALL, None),
    "without-names": (RIGHT, _without_names, ALL, None),
    "magic": (RIGHT, _magic, ALL, None),
    "visible-inputs": (
        _with(**{"01_4": "def stratified(labels, share):\n    return np.array([0])"}), None, _less("01.4"), None,
    ),
    "wipes-others": (
        _with(**{"01_1": "import glob, os\nfor f in glob.glob(FOLDER + '/*/*.ipynb'): os.remove(f)\nanswer_1 = 12288"}),
        None, ALL, None,
    ),
    "empty": ({}, None, HAND, "no readable notebook"),
    "damaged": ({}, None, HAND, "no readable notebook"),
}  # fmt: skip


def write(folder: Path) -> None:
    """All of them, as `folder/<student>/01_data.ipynb`; one has another name."""
    for name, (answers, change, _, _) in CASES.items():
        made = answered({key: source.replace("FOLDER", repr(str(folder))) for key, source in answers.items()})
        if change is not None:
            change(made)
        path = folder / name / ("my homework (1).ipynb" if name == "half" else LECTURE.name)
        path.parent.mkdir(parents=True)
        path.write_text(nbformat.writes(made), encoding="utf-8")
    (folder / "empty" / LECTURE.name).write_bytes(b"")
    (folder / "damaged" / LECTURE.name).write_text("{ no notebook")
