"""Slides: one self-contained HTML file per lecture that opens with a double click, without network or server.

The slide types of the stored notebooks say what is a slide, a subslide (one key further, like a slide), a fragment
(shown with the next key press), a note or nothing. reveal.js (MIT), which the Python package sphinx-revealjs brings,
presents them; formulas are MathML, figures are the stored ones. `slides.js` makes each slide fit, `slides.css` is the
look. Solutions of exercises are left out unless asked for.
"""

import ast
import html
import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nbconvert import SlidesExporter
from nbformat import NotebookNode, v4

from tinylab import course
from tinylab.figures.style import STYLES
from tinylab.support.errors import NotebookError
from tinylab.support.files import atomic_write
from tinylab.tools.notebooks import inspection, pages
from tinylab.tools.notebooks.assignments import CHECK, SOLUTION

NOTES = "LECTURERS.md"  # beside the notebooks; the key `s` shows its section of a lecture with the first slide
PAGE_FONT = STYLES["page"].font
MOST_LINES = 15  # of code on one slide; slides.js holds it, and what is longer comes in pieces of no more
_REVEAL = ("dist/reveal.css", "dist/reveal.js")


@dataclass(frozen=True)
class Deck:
    """The slides of one lecture."""

    name: str  # "03_model_1": the file without its ending
    title: str
    question: str | None
    page: str  # the whole HTML file


def write(lectures: Sequence[Path], out: Path, answers: bool = False) -> Path:
    """Write a deck for each lecture, and `index.html` (returned), into the folder `out`.

    Raises NotebookError, before anything is written, for a lecture without slides or whose outputs are not there.
    """
    decks = [deck(path, [other.stem for other in lectures], answers) for path in lectures]
    for one in decks:
        atomic_write(out / f"{one.name}.html", one.page.encode())
    atomic_write(out / "index.html", _index(decks).encode())
    return out / "index.html"


def deck(path: Path, siblings: Sequence[str] = (), answers: bool = False) -> Deck:
    """The slides of the lecture at `path`; links to the lectures `siblings` lead to their decks.

    answers: with the solutions of the exercises. Raises NotebookError for a notebook that has no slides, was not
    executed, or not from top to bottom.
    """
    notebook = inspection.read(path)
    _require_slides(path, notebook)
    notebook.cells = [cell for cell in notebook.cells if answers or not {SOLUTION, CHECK} & inspection.tags(cell)]
    title = inspection.title(notebook) or path.stem
    body = _linked(_sections(notebook, path.resolve().parent), siblings)
    notes = path.resolve().parent / NOTES
    plan = _plan(notes if notes.is_file() else course.folder() / NOTES, title)  # lectures that were run elsewhere
    return Deck(path.stem, title, inspection.question(notebook), _page(title, body, plan))


def _require_slides(path: Path, notebook: NotebookNode) -> None:
    """NotebookError unless the notebook has slides and shows, on all of them, what its cells put out in order."""
    types = [cell.metadata.get("slideshow", {}).get("slide_type", "-") for cell in notebook.cells]
    if not {"slide", "subslide"} & set(types):
        raise NotebookError(
            f"{path.name} has no slides: no cell has the slide type 'slide'. In JupyterLab, choose one for each "
            "cell in the property inspector (the gears on the right)"
        )
    again = f"Run it from top to bottom and save it, or: tinylab run --store {path.stem}"
    code = [(number, cell) for number, cell in enumerate(notebook.cells, 1) if inspection.runs(cell)]
    for number, cell in code:
        if cell.execution_count is None:
            raise NotebookError(f"{path.name} holds no output of cell {number}, which was never executed. {again}")
        if any(output.output_type == "error" for output in cell.outputs):
            raise NotebookError(f"{path.name}: cell {number} ended in an error, which would be on a slide. {again}")
    counts = [cell.execution_count for _, cell in code]
    if counts != sorted(set(counts)):
        raise NotebookError(f"{path.name} was executed out of order, so its outputs may be stale. {again}")


def _sections(notebook: NotebookNode, folder: Path) -> str:
    """The slides as nested sections, formulas as MathML, pictures inside."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            pages.still(output)
            _measure(output)
            if "text/html" in output.get("data", {}):  # a section within a slide would be one to reveal.js
                output.data["text/html"] = re.sub(r"(</?)section\b", r"\1article", output.data["text/html"])
    notebook.cells = [piece for cell in notebook.cells for piece in _pieces(cell)]
    notebook.metadata.pop("widgets", None)
    body = pages.exported(notebook, folder, SlidesExporter, raw_template=pages.own("slides.html.j2"))
    return re.sub(r'(<h\d) id="[^"]*"', r"\1", body)  # reveal.js would take them for names of slides


def _measure(output: NotebookNode) -> None:
    """Give a picture the size in which its labels are as large as on a page: `slides.js` counts its zoom from there."""
    size = output.get("metadata", {}).get("image/png", {})
    if "font" in size:
        size.update({side: round(size[side] * PAGE_FONT / size["font"]) for side in ("width", "height")})


def _pieces(cell: NotebookNode) -> list[NotebookNode]:
    """A cell of long code as several, parted between statements where that is possible; the last has the output."""
    lines = cell.source.splitlines()
    if cell.cell_type != "code" or len(lines) <= MOST_LINES:
        return [cell]
    try:
        found = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.stmt)]
        begins = {min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))]) for node in found}
    except SyntaxError:  # a magic
        begins = set()
    made, start = [], 0
    while len(lines) - start > MOST_LINES:
        ends = range(start + MOST_LINES, start, -1)
        end = next((end for end in ends if end + 1 in begins and not lines[end].startswith(" ")), None)
        end = end or next((end for end in ends if end + 1 in begins), start + MOST_LINES)
        made.append(v4.new_code_cell("\n".join(lines[start:end]).rstrip(), execution_count=cell.execution_count))
        start = end
    cell.source = "\n".join(lines[start:])
    made[0].metadata, made[-1:] = cell.metadata, [made[-1], cell]
    cell.metadata = NotebookNode(cell.metadata | {"slideshow": {"slide_type": "-"}})
    return made


def _linked(body: str, siblings: Sequence[str]) -> str:
    """Links to another lecture lead to its deck; where there is none, the words stay and the link goes."""

    def link(match: re.Match[str]) -> str:
        return f'<a href="{match[1]}.html">{match[2]}</a>' if match[1] in siblings else match[2]

    return re.sub(r'<a href="([^"/:]+)\.ipynb">(.*?)</a>', link, body, flags=re.DOTALL)


def _plan(notes: Path, title: str) -> str:
    """The lecturer's section on the lecture called `title`, as HTML; empty where nobody wrote one."""
    from nbconvert.filters.markdown_mistune import markdown2html_mistune

    text = notes.read_text(encoding="utf-8") if notes.is_file() else ""
    found = re.search(rf"^## {re.escape(title)}\s*\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    return str(markdown2html_mistune(found[1])) if found else ""


def _page(title: str, body: str, plan: str) -> str:
    """The whole file of one deck."""
    from pygments.formatters import HtmlFormatter

    reveal_css, reveal_js = _reveal()
    light = HtmlFormatter(style="default").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs("[data-theme=dark] .highlight")
    scripts = "".join(f"<script>{script}</script>\n" for script in (reveal_js, pages.own("slides.js")))
    return pages.document(
        title,
        f'<main class="reveal"><div class="slides">{body}</div></main>\n'
        f'<template id="plan">{plan}</template>\n{scripts}',
        f"{reveal_css}\n{light}\n{dark}\n{pages.own('slides.css')}",
    )


def _index(decks: Sequence[Deck]) -> str:
    """The list of the decks, with each lecture's question."""
    items = "".join(
        f'<li><a href="{one.name}.html">{html.escape(one.title)}</a>'
        + (f"<p>{html.escape(one.question[:1].upper() + one.question[1:])}</p>" if one.question else "")
        + f'<a class="print" href="{one.name}.html?print-pdf">to print</a></li>'
        for one in decks
    )
    keys = "".join(f"<div><dt><kbd>{key}</kbd></dt><dd>{what}</dd></div>" for key, what in _KEYS.items())
    body = f"<main class='index'><h1>Slides</h1><ol>{items}</ol><dl>{keys}</dl></main>"
    return pages.document("tinylab: slides", body, pages.own("slides.css"))


_KEYS = {
    "→ Space PgDn": "on", "← PgUp": "back", "Home End": "first, last slide", "Esc": "all slides", "F": "full screen",
    "S": "the lecturer's notes, in a window of their own", "T": "light or dark", "B": "blank", "?": "all keys",
}  # fmt: skip


def _reveal() -> list[str]:
    """The texts of reveal.js's style sheet and script. Raises NotebookError where the package is not installed."""
    found = importlib.util.find_spec("sphinx_revealjs")  # found, not imported: nothing of Sphinx is needed
    try:
        folder = Path(found.origin or "").parent / "_static" / "revealjs"  # type: ignore[union-attr]
        return [(folder / name).read_text(encoding="utf-8") for name in _REVEAL]
    except (AttributeError, OSError):
        raise NotebookError(
            "slides need reveal.js, which comes with a package that is not installed here. Install it: "
            "pip install 'sphinx-revealjs>=3.2,<4'"
        ) from None
