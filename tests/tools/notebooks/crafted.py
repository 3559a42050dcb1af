"""Small notebooks for the tests: healthy ones, and ones that fail in each way that nobody sees."""

from pathlib import Path

import nbformat
from nbformat import NotebookNode

PARAMETERS = """profile = None  # "smoke", "lecture" or "full"; None takes TINYLAB_PROFILE, else "lecture"
data = "sample"  # "sample", "tiny-imagenet" or a path
seed = 0"""


def notebook(*sources: str, parameters: str | None = PARAMETERS, title: str = "01 · A small one") -> NotebookNode:
    """A notebook of code cells (a source starting with "# %%md" is markdown), the parameters cell first."""
    made = nbformat.v4.new_notebook()
    made.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    made.cells = [nbformat.v4.new_markdown_cell(f"# {title}\n\n**Question: does it\nrun?**", metadata=_slide())]
    if parameters is not None:
        made.cells.append(nbformat.v4.new_code_cell(parameters, metadata=_slide() | {"tags": ["parameters"]}))
    for source in sources:
        if source.startswith("# %%md"):
            cell = nbformat.v4.new_markdown_cell(source.removeprefix("# %%md").strip(), metadata=_slide())
        else:
            cell = nbformat.v4.new_code_cell(source, metadata=_slide())
        made.cells.append(cell)
    return made


def write(folder: Path, name: str, made: NotebookNode) -> Path:
    path = folder / f"{name}.ipynb"
    nbformat.write(made, path)
    return path


def _slide() -> dict[str, object]:
    return {"slideshow": {"slide_type": "slide"}}
