"""What of a submission runs in its kernel, and that nothing of it is left when the kernel has ended."""

import os
import select
import sys

import nbformat
import pytest

from tinylab.tools.notebooks.sandbox import Sandbox, needed

pytestmark = pytest.mark.xdist_group("grading")


def _needed(*sources: str, always: tuple[int, ...] = ()) -> dict[int, list[str]]:
    cells = [(number, nbformat.v4.new_code_cell(source)) for number, source in enumerate(sources, 1)]
    return needed(cells, ["answer"], always)


def test_a_star_import_before_an_answer_or_beside_it_is_needed_and_one_below_is_not():
    star = "from math import *"
    assert _needed(star, "plot()", f"{star}\nanswer = sqrt(2)", star) == {1: [star], 3: [star, "answer = sqrt(2)"]}
    held = "try:\n    from numpy import *\nexcept ImportError:\n    tell(helper)"
    assert _needed("helper = 1", held, "answer = 3") == {1: ["helper = 1"], 2: [held], 3: ["answer = 3"]}
    assert _needed(star, "other = 3") == {}


@pytest.mark.parametrize("letter", ["\u2028", "\x0b", "\x0c", "\x85", "\\r\\n"])
def test_a_cell_in_parts_is_cut_where_python_ends_a_line(letter):
    source = f'import os\nnote = "{letter}"\nimport re\nanswer = 12'
    assert _needed(source) == {1: ["answer = 12"]}
    assert _needed(source.replace("\n", "\r\n")) == {1: ["answer = 12"]}
    assert _needed(f'text = "a{letter}b"\nanswer = text') == {1: [f'text = "a{letter}b"\nanswer = text']}


def test_the_cell_of_an_answer_is_needed_even_if_it_binds_nothing():
    assert _needed("while True: pass", "other()", always=(1,)) == {1: ["while True: pass"]}


def test_what_an_answer_has_started_ends_with_its_kernel(tmp_path):
    """The end of a pipe that only the process holds tells when it has ended."""
    pipe, folder = tmp_path / "pipe", tmp_path / "own"
    os.mkfifo(pipe)
    folder.mkdir()
    code = f"import time; held = open({str(pipe)!r}, 'w'); time.sleep(120)"
    started = f"subprocess.Popen([{sys.executable!r}, '-c', {code!r}], start_new_session=True)"
    source = f"import subprocess\nanswer = {started}.pid"
    with Sandbox(_needed(source), folder, 20) as sandbox:
        assert sandbox.answer("answer") > 0
        reader = os.open(pipe, os.O_RDONLY)  # waits until the process has opened its end
    try:
        assert select.select([reader], [], [], 20)[0], "it still runs"
        assert os.read(reader, 1) == b""
    finally:
        os.close(reader)
