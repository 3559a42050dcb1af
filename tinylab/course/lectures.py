"""Where the lectures are: the notebooks by number or name, and the room of the package that stands behind each."""

import os
from collections.abc import Iterable
from pathlib import Path

from tinylab.support.errors import NotebookError, nearest

# lecture: the rooms that it opens; whoever reads the lecture reads these
ROOMS: dict[str, tuple[str, ...]] = {
    "01_data": ("data",),
    "02_layers": ("layers",),
    "03_model_1": ("models", "training"),
    "04_model_2": ("models", "training"),
    "05_model_3": ("models", "training"),
    "06_optimizers": ("optimizers",),
    "07_overfitting": ("diagnosis",),
    "08_filters": ("filters",),
    "09_test_set": ("evaluation",),
    "10_beyond": ("training",),
}


def folder() -> Path:
    """The folder of the lectures: `notebooks` in the current directory, beside the package, or, in a wheel, inside it.

    Raises NotebookError when neither holds a notebook.
    """
    here = Path(__file__).resolve()
    candidates = [Path.cwd() / "notebooks", here.parents[2] / "notebooks", here.parent / "notebooks", Path.cwd()]
    for candidate in candidates:
        if any(candidate.glob("[0-9][0-9]_*.ipynb")):
            return candidate
    raise NotebookError(
        f"no lectures found in {candidates[0]} or {candidates[1]}. Run the command in a clone of the "
        "repository, or give the path of a notebook"
    )


def find(names: Iterable[str | Path] = ()) -> list[Path]:
    """The notebooks that `names` mean, each a path, a file name ("03_model_1") or a number ("03", "3").

    No names: all lectures, in order. Raises NotebookError for a name that fits none, or more than one.
    """
    found = [_find_one(str(name)) for name in names] or sorted(folder().glob("[0-9][0-9]_*.ipynb"))
    repeated = {path.stem for path in found if [other.stem for other in found].count(path.stem) > 1}
    if repeated:
        raise NotebookError(f"notebook {sorted(repeated)[0]!r} was asked for more than once; name each only once")
    return found


def _find_one(name: str) -> Path:
    if name.endswith(".ipynb") and Path(name).is_file():
        return Path(name).resolve()
    if os.sep in name:
        raise NotebookError(f"there is no notebook at {name!r}. Give the path of an .ipynb file, or a lecture's name")
    lectures = {path.stem: path for path in sorted(folder().glob("[0-9][0-9]_*.ipynb"))}
    wanted = name.removesuffix(".ipynb")
    number = wanted.zfill(2) if wanted.isdigit() else None
    fitting = [
        stem for stem in lectures if stem == wanted or stem[:2] == number or stem[3:] == wanted
    ]  # "03_model_1", "03", "3" or "model_1"
    if len(fitting) != 1:
        raise NotebookError(f"notebook {name!r} is unknown{nearest(wanted, lectures)}")
    return lectures[fitting[0]]
