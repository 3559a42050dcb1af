"""nbval compares what we rely on it to compare: text beside a picture and key figures, but not the picture's bytes."""

import os
import subprocess
import sys

import nbformat
import pytest

from tests.tools.notebooks import crafted

PICTURE = """import base64
from IPython.display import display
png = base64.b64encode(b"\\x89PNG" + {salt!r}.encode()).decode()
display({{"image/png": png, "text/plain": {alt!r}}}, raw=True, metadata={{"image/png": {{"alt": {alt!r}}}}})"""
FIGURE = "from tinylab import course\ncourse.key_figure('accuracy', {value!r})"

pytestmark = pytest.mark.xdist_group("nbval")  # one process makes what they share


def _stored(alt: str, value: str):
    """A notebook whose stored outputs say `alt` and `value`, whatever its cells will say."""
    made = crafted.notebook(
        PICTURE.format(salt="now", alt="three curves"),
        FIGURE.format(value="41 %"),
        "import os\nprint(os.environ['TINYLAB_PROFILE'], id(object()))",
        "print(object())",
    )
    code = [cell for cell in made.cells if cell.cell_type == "code"]
    for count, cell in enumerate(code, start=1):
        cell.execution_count = count
    data = {"image/png": "AAAA", "text/plain": alt}
    code[1].outputs = [nbformat.v4.new_output("display_data", data)]
    data = {
        "text/plain": f"accuracy: {value}",
        "text/html": f"<p><strong>accuracy:</strong> {value}</p>",
        "application/vnd.tinylab.key-figure+json": {"name": "accuracy", "text": value},
    }
    code[2].outputs = [nbformat.v4.new_output("display_data", data)]
    code[3].outputs = [nbformat.v4.new_output("stream", name="stdout", text="lecture 1\n")]
    code[3].metadata["tags"] = ["nbval-ignore-output"]
    text = "<object object at 0x7f1234567890>\n"
    code[4].outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)]
    return made


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """One nbval run over three notebooks, with the options that `make test` uses."""
    folder = tmp_path_factory.mktemp("nbval")
    crafted.write(folder, "same", _stored("three curves", "41 %"))
    crafted.write(folder, "other_alt", _stored("two curves", "41 %"))
    crafted.write(folder, "other_figure", _stored("three curves", "42 %"))
    sanitise = os.path.join(os.path.dirname(__file__), "sanitise.cfg")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval",
        "--nbval-current-env",
        "-p",
        "no:cacheprovider",
        "-rA",
    ]
    command += ["--nbval-sanitize-with", sanitise, "--rootdir", str(folder), "-c", os.devnull, str(folder)]
    environment = os.environ | {"TINYLAB_PROFILE": "smoke"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, check=False)
    return [line for line in done.stdout.splitlines() if line.startswith(("PASSED", "FAILED"))]


def _result(report, name, cell):
    (line,) = [line for line in report if f"{name}.ipynb::Cell {cell}" in line]
    return line.split()[0]


def test_pictures_may_differ_in_bytes_and_ignored_cells_in_text(report):
    assert [_result(report, "same", cell) for cell in range(5)] == ["PASSED"] * 5


def test_text_beside_a_picture_is_compared(report):
    assert _result(report, "other_alt", 1) == "FAILED"


def test_key_figures_are_compared(report):
    assert _result(report, "other_figure", 2) == "FAILED"
