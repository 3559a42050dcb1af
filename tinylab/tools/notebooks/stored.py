"""What a lecture in the repository may contain: `cleaned` makes it so, `faults` refuses what is not.

The stored notebooks are read on the web and compared cell by cell (nbval), so they hold real outputs, executed in
order, and nothing that belongs to one machine or one session. `sealed` adds a digest of code and outputs, pictures and
their text twins included: an output that was edited, or that belongs to other code, is found by it.
"""

import hashlib
import importlib.metadata
import json
import re
import sys
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path

import nbformat
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from nbformat import NotebookNode

from tinylab import course
from tinylab.support.files import atomic_write
from tinylab.tools.notebooks.inspection import CHECK, first_line, runs, tags

PARAMETERS = """\
profile = None  # "smoke", "lecture" or "full"; None takes TINYLAB_PROFILE, else "lecture"
data = "sample"  # "sample", "tiny-imagenet" or a path
seed = 0"""
IGNORED = "nbval-ignore-output"
LONGEST = 25  # lines of a code cell: more does not fit on a slide
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
    },  # without Python's version, which would change with every machine
}
SEAL = "tinylab"  # the notebook's metadata that `sealed` writes: {"digest": …, "versions": …}
_VERSIONS = ("tinylab", "torch", "numpy", "matplotlib")  # that outputs depend on
_KEPT = {"slideshow", "tags"}
_SLIDES = {"slide", "subslide", "fragment", "skip", "notes", "-"}
_EVASIONS = {"nbval-skip", "skip-execution", "raises-exception", "nbval-raises-exception"}
# a widget needs its kernel, and without its state breaks the page on GitHub; the settings name this machine
_DROPPED = {"application/vnd.jupyter.widget-view+json", course.SETTINGS_MIME}


def cleaned(notebook: NotebookNode) -> NotebookNode:
    """A copy of an executed notebook fit to be stored: sources, slides, tags and outputs, and nothing else."""
    copy = deepcopy(notebook)
    copy.metadata = nbformat.from_dict(METADATA)
    for cell in copy.cells:
        cell.metadata = nbformat.from_dict({key: cell.metadata[key] for key in sorted(_KEPT & set(cell.metadata))})
        for output in cell.get("outputs", []):
            for mime in _DROPPED & set(output.get("data", {})):
                del output.data[mime]
    # where the pieces of a stream were cut depends on timing only
    return CoalesceStreamsPreprocessor().preprocess(copy, {})[0]


def sealed(notebook: NotebookNode) -> NotebookNode:
    """A copy of a cleaned notebook, with the digest of its code and outputs and the versions that made them."""
    copy = deepcopy(notebook)
    versions = {name: importlib.metadata.version(name) for name in _VERSIONS}
    copy.metadata[SEAL] = {"digest": _digest(copy, versions), "versions": versions}
    return copy


def _digest(notebook: NotebookNode, versions: Mapping[str, str]) -> str:
    code = [[cell.source, cell.outputs] for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256(json.dumps([code, versions], sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def faults(notebook: NotebookNode) -> list[str]:
    """Why a notebook must not be stored as it is; empty when it may."""
    found = []
    seal = notebook.metadata.get(SEAL, {})
    if seal.get("digest") != _digest(notebook, seal.get("versions", {})):
        found.append("the outputs are not those that `tinylab run --store` wrote for this code; run it again")
    bare = deepcopy(notebook)
    bare.metadata.pop(SEAL, None)
    if cleaned(bare) != bare:
        found.append("it is not clean: `python -m tinylab.tools.notebooks.stored FILE` makes it so")
    if not notebook.cells or not notebook.cells[0].source.startswith("# "):
        found.append("the first cell is not a heading")
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    marked = [cell for cell in code if "parameters" in tags(cell)]
    if [cell.source for cell in marked] != [PARAMETERS] or code[0] is not marked[0]:
        found.append("the first code cell is not the parameters cell, word for word and tagged 'parameters'")
    counts = [cell.execution_count for cell in code]
    if None in counts:
        found.append("stripped: a code cell has no execution count")
    elif counts != list(range(1, len(code) + 1)):
        found.append(f"executed out of order: {counts}")
    with_output = [cell for cell in code if cell.outputs]
    if not with_output:
        found.append("stripped: no cell has an output")
    ignored = [cell for cell in with_output if IGNORED in tags(cell)]
    if len(ignored) > len(with_output) / 2:
        found.append(
            f"{len(ignored)} of {len(with_output)} cells with output are tagged {IGNORED!r}: more than half. "
            "Untag what is the same on every machine, or add cells that are"
        )
    for number, cell in enumerate(notebook.cells, start=1):
        found += [f"cell {number} ({first_line(cell.source)}): {fault}" for fault in _cell_faults(cell)]
    return found


def _cell_faults(cell: NotebookNode) -> list[str]:
    found = []
    slide = cell.metadata.get("slideshow", {}).get("slide_type")
    if slide not in _SLIDES:
        found.append("no slide type" if slide is None else f"unknown slide type {slide!r}")
    if _EVASIONS & tags(cell) or re.search(r"^\s*#\s*NBVAL_", cell.source, re.MULTILINE):
        found.append("a mark that keeps it from being checked")
    if cell.cell_type == "markdown":
        if re.search(r"!\[[^\]]*\]\(\s*<?https?:|<(img|script|iframe)[^>]+https?:", cell.source):
            found.append("something that has to be fetched from the network")
        return found
    if cell.cell_type != "code":
        return [*found, f"a {cell.cell_type} cell"]
    if not runs(cell):
        found.append("empty")
    lines = len(cell.source.splitlines())
    if lines > LONGEST:
        found.append(f"{lines} lines of code; {LONGEST} are allowed")
    if re.search(r"^\s*from\s+\S+\s+import\s+\*", cell.source, re.MULTILINE):
        found.append("import *")
    if IGNORED in tags(cell) and not cell.outputs:
        found.append(f"tagged {IGNORED!r} without an output")
    for output in cell.outputs:
        found += _output_faults(output)
        if CHECK in tags(cell) and ": not yet" in str(output.get("data", {}).get("text/plain", "")):
            found.append("the answer above it is not right")
    return found


def _output_faults(output: NotebookNode) -> list[str]:
    found = []
    data = output.get("data", {})
    if output.output_type == "error":
        found.append(f"an error is stored: {output.ename}")
    if output.output_type == "stream" and output.name == "stderr":
        found.append("standard error is stored")
    metadata = output.get("metadata", {})
    if "image/png" in data and not (metadata.get("image/png", {}).get("alt") or metadata.get("alt")):
        found.append("a picture without alt text")
    return found


def main(paths: list[str]) -> int:
    """Clean the notebooks at `paths` in place; 1 if one was not clean, or has faults, each of which is printed."""
    changed = False
    for path in map(Path, paths):
        before = path.read_text(encoding="utf-8")
        read = nbformat.reads(before, as_version=4)
        notebook = cleaned(read)
        if SEAL in read.metadata:  # the seal of `--store`, not of a hand: `faults` looks at it
            notebook.metadata[SEAL] = read.metadata[SEAL]
        after = nbformat.writes(notebook) + "\n"
        if after != before:
            atomic_write(path, after.encode())
            print(f"{path}: cleaned")
        for fault in (found := faults(notebook)):
            print(f"{path}: {fault}")
        changed |= after != before or bool(found)
    return int(changed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
