"""Readable pages: one self-contained HTML file per lecture, an index with status, time and key figures.

No page needs a network: formulas are MathML, figures are embedded, widgets appear as the still picture that they
carry, and no lecture's page holds a script; the index has one, for its search box. A notebook that failed gets its
page, too, with what went wrong on top.
"""

import base64
import datetime
import html
import importlib.metadata
import io
import json
import mimetypes
import platform
import re
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from nbconvert import HTMLExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from nbformat import NotebookNode

from tinylab.support.files import atomic_write
from tinylab.tools.notebooks import formulas, inspection, stored
from tinylab.tools.notebooks.runner import Outcome

WIDGET = "application/vnd.jupyter.widget-view+json"
_PACKAGES = ("tinylab", "torch", "numpy")  # whose versions the pages name
_CONTROL = "A control that needs a running kernel: open the lecture in JupyterLab to use it."


def write(out: Path, outcomes: Sequence[Outcome], *, profile: str, data: str, seed: int, seconds: float) -> Path:
    """Write the pages of `outcomes`, the executed notebooks and `index.html` (returned) to `out`."""
    device = next((o.settings["device"] for o in outcomes if "device" in o.settings), "unknown")
    facts = {
        "profile": profile,
        "data": data,
        "seed": seed,
        "device": device,
        "versions": _versions(),
        "finished": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    found: list[dict[str, str]] = []
    for number, outcome in enumerate(outcomes):
        before = outcomes[number - 1] if number else None
        after = outcomes[number + 1] if number + 1 < len(outcomes) else None
        page = lecture(outcome, before, after, facts)
        found += sections(outcome, page)
        atomic_write(out / f"{outcome.name}.html", page.encode())
        if outcome.notebook is not None:
            inspection.write(out / f"{outcome.name}.ipynb", stored.cleaned(outcome.notebook))
    atomic_write(out / "index.html", index(outcomes, facts, seconds, found).encode())
    return out / "index.html"


def lecture(outcome: Outcome, before: Outcome | None, after: Outcome | None, facts: dict[str, Any]) -> str:
    """The page of one lecture, between the pages `before` and `after`."""
    links = [f'<a href="{before.name}.html" rel="prev">← {_short(before.title)}</a>' if before else "<span></span>"]
    links.append('<a href="index.html">all lectures</a>')
    links.append(f'<a href="{after.name}.html" rel="next">{_short(after.title)} →</a>' if after else "<span></span>")
    main = body(outcome) if outcome.notebook is not None else ""
    ran = "Executed" if outcome.status == "ok" else "Executed, and failed,"
    foot = (
        f"{ran} in {duration(outcome.seconds)}, {html.escape(_settings_line(facts | outcome.settings))}. "
        f'<a href="{outcome.name}.ipynb">The notebook as executed</a>.'
    )
    return document(
        outcome.title,
        f'<div class="columns">{_contents(main)}<div><nav class="ends">{"".join(links)}</nav>\n{_banner(outcome)}\n'
        f'<main>{main}</main>\n<nav class="ends">{"".join(links)}</nav>\n<footer>{foot}</footer></div></div>',
    )


def index(
    outcomes: Sequence[Outcome], facts: dict[str, Any], seconds: float, found: Sequence[dict[str, str]] = ()
) -> str:
    """The index page: what ran, with which settings, what it found, what failed, and a search over the `sections`."""
    failed = [outcome for outcome in outcomes if outcome.status != "ok"]
    verdict = (
        f"{len(failed)} of {len(outcomes)} lectures failed"
        if failed
        else f"All {len(outcomes)} lectures ran"
        if len(outcomes) > 1
        else "The lecture ran"
    )
    cards = "\n".join(_card(outcome) for outcome in outcomes)
    summary = " ".join(importlib.metadata.metadata("tinylab")["Summary"].split())
    terms = {
        "profile": facts["profile"],
        "data": facts["data"],
        "seed": facts["seed"],
        "device": facts["device"],
        "versions": ", ".join(f"{name} {version}" for name, version in facts["versions"].items()),
        "finished": facts["finished"].replace("T", " ")[:16],
    }
    listed = "".join(f"<div><dt>{k}</dt><dd>{html.escape(str(v))}</dd></div>" for k, v in terms.items())
    return document(
        "tinylab: the lectures",
        f'<header class="cover"><p class="name">tinylab</p><h1>{html.escape(summary)}.</h1>'
        f'<p class="verdict {"failed" if failed else "ok"}">{verdict}, in {duration(seconds)}.</p>'
        f'<dl class="facts">{listed}</dl>{_search(found)}</header>\n<main class="cards">{cards}</main>',
    )


def sections(outcome: Outcome, page: str) -> list[dict[str, str]]:
    """What the search knows of a lecture's page: for each section where it is, its title and its words."""
    body = re.sub(
        r"<(style|script|math)\b.*?</\1>", " ", page.partition("<main>")[2].partition("</main>")[0], flags=re.S
    )
    parts = re.split(r'<h2 id="?([^">\s]+)"?[^>]*>(.*?)</h2>', body, flags=re.S)
    named = zip(["", *parts[1::3]], [outcome.title, *parts[2::3]], parts[0::3], strict=True)
    return [
        {"href": f"{outcome.name}.html#{anchor}", "title": _plain(title), "text": _plain(text)}
        for anchor, title, text in named
    ]


def _plain(markup: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", markup)).split())


def _search(found: Sequence[dict[str, str]]) -> str:
    """The search box, hidden where no script runs, and what it searches."""
    if not found:
        return ""
    known = json.dumps(list(found), ensure_ascii=False).replace("<", "\\u003c")
    return (
        '<form class="search" role="search" hidden><label>Search <input type="search" autocomplete="off"></label> '
        f'<output></output><ol id="found"></ol></form><script type="application/json" id="sections">{known}</script>'
        '<script type="module">' + own("search.js") + "</script>"
    )


def duration(seconds: float) -> str:
    """`7.4 s`, `48 s`, `2 min 05 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"


def _card(outcome: Outcome) -> str:
    ok = outcome.status == "ok"
    badge = f'<span class="badge {"ok" if ok else "failed"}">{"ran" if ok else "failed"}</span>'
    time = f'<span class="time">{duration(outcome.seconds)}</span>'
    key = "".join(
        f"<div><dt>{html.escape(figure['name'])}</dt><dd>{html.escape(figure['text'])}</dd></div>"
        for figure in outcome.key_figures
    )
    question = inspection.question(outcome.notebook) if outcome.notebook else None
    faults = "".join(f"<li>{html.escape(str(fault))}</li>" for fault in outcome.faults[:3])
    return (
        f'<article class="card {"" if ok else "failed"}"><div class="words">'
        f'<h2><a href="{outcome.name}.html">{html.escape(outcome.title)}</a></h2>'
        + (f'<p class="question">{html.escape(question[:1].upper() + question[1:])}</p>' if question else "")
        + f"<p>{badge} {time}</p>"
        + (f'<ul class="faults">{faults}</ul>' if faults else "")
        + (f"<dl>{key}</dl>" if key else "")
        + f"</div>{_thumbnail(outcome)}</article>"
    )


def _banner(outcome: Outcome) -> str:
    """What went wrong, on top of the page, each fault linked to its cell."""
    if not outcome.faults:
        return ""
    code = [cell for cell in outcome.notebook.cells if inspection.runs(cell)] if outcome.notebook else []
    items = []
    for fault in outcome.faults:
        text = html.escape(str(fault))
        if fault.cell is not None and fault.cell <= len(code):
            text = f'<a href="#cell-id={code[fault.cell - 1].get("id", "")}">{text}</a>'
        items.append(f"<li>{text}</li>")
    return (
        '<section class="banner" role="alert"><strong>This lecture failed; what follows it cannot be trusted.</strong>'
        f"<ul>{''.join(items)}</ul></section>"
    )


def body(outcome: Outcome) -> str:
    """The notebook as HTML, without prompts and without the parameters cell (the footer tells the values)."""
    return exported(_readable(outcome), outcome.path.resolve().parent, HTMLExporter, template_name="basic")


def exported(notebook: NotebookNode, folder: Path, kind: type[HTMLExporter], **options: Any) -> str:
    """What nbconvert's exporter of a `kind` makes: no prompts, formulas as MathML, the pictures of `folder` inside."""
    exporter = kind(
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        preprocessors=[CoalesceStreamsPreprocessor],
        filters={"markdown2html": formulas.markdown},
        **options,
    )
    made, _ = exporter.from_notebook_node(notebook)
    made = re.sub(r'<a class="anchor-link"[^>]*>.*?</a>', "", made)  # the headings keep their ids
    return embedded(made, folder)


def embedded(body: str, folder: Path) -> str:
    """The HTML with pictures from files beside the notebook put into it.

    nbconvert's own `embed_images` closes every inline HTML element before its text (`<summary></summary>Hint`).
    """

    def embed(match: re.Match[str]) -> str:
        file = folder / html.unescape(match[2])
        if match[2].startswith(("data:", "http:", "https:")) or not file.is_file():
            return match[0]
        kind = mimetypes.guess_type(file.name)[0] or "image/png"
        return f'{match[1]}"data:{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"'

    return re.sub(r'(<img\b[^>]*?\bsrc=)"([^"]+)"', embed, body)


def _readable(outcome: Outcome) -> NotebookNode:
    """A copy of the notebook that needs no kernel."""
    assert outcome.notebook is not None
    notebook = deepcopy(outcome.notebook)
    at_fault = {fault.cell for fault in outcome.faults}
    number = 0
    for cell in notebook.cells:
        number += inspection.runs(cell)
        if inspection.runs(cell) and number in at_fault:
            cell.metadata["tags"] = [*cell.metadata.get("tags", []), "at-fault"]
        for output in cell.get("outputs", []):
            still(output)
    notebook.metadata.pop("widgets", None)
    notebook.cells = [cell for cell in notebook.cells if "parameters" not in inspection.tags(cell)]
    return notebook


def still(output: NotebookNode) -> None:
    """Make one output readable without a kernel, in place: widgets become pictures, LaTeX becomes MathML."""
    data = output.get("data", {})
    widget = data.pop(WIDGET, None)
    if widget is not None and not set(data) - {"text/plain"}:
        data["text/html"] = f'<p class="control">{_CONTROL}</p>'
    if "text/latex" in data and "text/html" not in data:
        data["text/html"] = formulas.mathml(data["text/latex"].strip().strip("$"), block=True)
    if "image/png" in data and not _alt(output) and data.get("text/plain"):
        output.metadata["alt"] = data["text/plain"]


def _alt(output: NotebookNode) -> str | None:
    return output.metadata.get("image/png", {}).get("alt") or output.metadata.get("alt")


def _contents(body: str) -> str:
    """Links to the sections of a lecture, beside the text where the window is wide."""
    headings = re.findall(r'<h2 id="?([^">\s]+)"?[^>]*>(.*?)</h2>', body, re.DOTALL)
    items = "".join(f'<li><a href="#{name}">{re.sub(r"<[^>]+>", "", text)}</a></li>' for name, text in headings)
    return (
        f'<aside><nav aria-label="sections"><ol>{items}</ol></nav></aside>' if len(headings) > 1 else "<aside></aside>"
    )


def _thumbnail(outcome: Outcome) -> str:
    """A small picture for the index: the figure of the cell tagged `thumbnail`, else the largest one."""
    from PIL import Image

    cells = [cell for cell in outcome.notebook.cells if cell.cell_type == "code"] if outcome.notebook else []
    chosen = [cell for cell in cells if "thumbnail" in inspection.tags(cell)] or cells
    pictures = [output for cell in chosen for output in cell.outputs if "image/png" in output.get("data", {})]
    if not pictures:
        return ""
    picture = max(pictures, key=lambda output: len(output.data["image/png"]))
    image = Image.open(io.BytesIO(base64.b64decode(picture.data["image/png"]))).convert("RGB")
    image.thumbnail((560, 360))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    source = base64.b64encode(file.getvalue()).decode()
    return f'<img class="thumbnail" src="data:image/jpeg;base64,{source}" alt="">'  # decoration: the page has the alt


def _versions() -> dict[str, str]:
    found = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"python": platform.python_version()} | found


def _settings_line(facts: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return f"profile {facts['profile']}, data {facts['data']}, seed {facts['seed']}, on {facts['device']}; {versions}"


def _short(title: str) -> str:
    return html.escape(title if len(title) <= 40 else title[:38].rstrip() + "…")


def own(name: str) -> str:
    """The text of a file that lies beside this one."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def document(title: str, body: str, style: str | None = None) -> str:
    """A whole HTML file; style: its style sheet, None for the look of the pages."""
    if style is None:
        from pygments.formatters import HtmlFormatter

        light = HtmlFormatter(style="default").get_style_defs(".highlight")
        dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
        style = f"{light}\n@media (prefers-color-scheme: dark) {{{dark}}}\n{own('page.css')}"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title>\n<style>{style}</style></head>\n<body>\n{body}\n</body></html>\n"
    )
