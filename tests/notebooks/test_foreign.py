"""The lectures on a data set that is not theirs: four classes of 32 pixels, four training images of each.

Their cells run in this process, in the profile "smoke": 40 seconds for 06 to 10 on a core of its own.
"""

import ast
import re
from pathlib import Path

import nbformat
import pytest
import torch

from tests.data.crafted import write_zip
from tests.faults.test_other_data import made
from tests.notebooks.test_text import LECTURES, teaching
from tinylab.data import prepare

NAME = "foreign"
ASKING = [path for path in LECTURES if path.stem != "02_layers"]  # which reads no data set


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache that holds the foreign set, and nothing else."""
    folder = tmp_path_factory.mktemp("foreign")
    content = made(dict.fromkeys(("n04", "n01", "n03", "n02"), 4), size=(32, 32))
    prepare(write_zip(folder / "foreign.zip", content), NAME, size=32, progress=False, root=folder / "cache")
    return folder / "cache"


def run(path: Path) -> dict[str, object]:
    """Run the teaching cells on the foreign set, each last expression shown as text; what they leave defined."""
    names: dict[str, object] = {}
    for cell in teaching(nbformat.read(path, as_version=4)):
        if cell.cell_type != "code":
            continue
        if "parameters" in cell.metadata.get("tags", []):
            names |= {"profile": "smoke", "data": NAME, "seed": 0}
            continue
        lines = ast.parse(cell.source).body
        shown = lines.pop() if isinstance(lines[-1], ast.Expr) else None
        exec(compile(ast.Module(lines, []), cell.id, "exec"), names)
        if shown is not None:
            str(eval(compile(ast.Expression(shown.value), cell.id, "eval"), names))
    return names


@pytest.mark.parametrize("path", ASKING, ids=lambda path: path.stem)
def test_a_lecture_runs_on_any_prepared_set(path, cache, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("TINYLAB_CACHE", str(cache))
    monkeypatch.setenv("TINYLAB_HEADLESS", "1")
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a handful of images: more threads would only wait for each other
    try:
        names = run(path)
    finally:
        torch.set_num_threads(threads)
    assert str(names["settings"]).startswith(f"profile smoke, data {NAME} (4 classes, 3 training images")
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if re.search(r"(equal|same losses).*\bFalse", line)] == []  # ours against torch's
    assert sorted(item.name for item in (cache / "prepared").iterdir() if item.is_dir()) == [NAME]
