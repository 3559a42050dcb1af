"""A prediction before the run, and its reveal after: committed in the notebook, kept in a small JSON file.

    course.predict("03.1", "Which layer holds the most parameters?", ["conv3-64", "fc(512)"])
    course.reveal("03.1", "fc(512)", "fc(512) holds 98 % of them.")
    course.foreseen()      # "You foresaw 1 of 1."

Headless (see `support.notebook`) there is nothing to press: the question and what came out are shown, whatever the
file holds.
"""

import html
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinylab.data.folders import cache_root
from tinylab.support.errors import InvalidInputError
from tinylab.support.files import atomic_write
from tinylab.support.notebook import headless

FILE = "predictions.json"
NEAR = 0.2  # share of the outcome by which a predicted number may miss it and still count as foreseen

_KEY = re.compile(r"[0-9]{2}\.[0-9]{1,2}")
_revealed: dict[str, bool] = {}  # of this kernel: was it foreseen?


class Said:
    """A line of text that a cell shows, with a text twin of its own; `widget` only where somebody can press it."""

    def __init__(self, text: str, widget: Any = None) -> None:
        self.text, self.widget = text, widget

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        bundle: dict[str, Any] = {"text/plain": self.text}
        bundle["text/html"] = "<p>" + html.escape(self.text).replace("\n", "<br>") + "</p>"
        if self.widget is not None:
            live = self.widget._repr_mimebundle_()
            bundle |= {kind: value for kind, value in live.items() if kind.startswith("application/")}
        return bundle


def predict(key: str, question: str, choices: Sequence[str] | None = None) -> Said:
    """Ask for a prediction: radio buttons for `choices` (two or more), a number field for None, and *Commit*.

    key: lecture and number, such as "03.1". Raises InvalidInputError for another key, or for fewer than two choices.
    """
    _check(key)
    if choices is not None and (len(choices) < 2 or len(set(choices)) < len(choices)):
        raise InvalidInputError(f"predict got {list(choices)!r}. Allowed: None, or two or more choices, all different")
    text = f"Predict: {question}"
    if choices is not None:
        text += "\n" + "  ".join(f"○ {choice}" for choice in choices)
    return Said(text, None if headless() else _form(key, text, choices))


def _form(key: str, text: str, choices: Sequence[str] | None) -> Any:
    """Radio buttons, or a field, and the button that commits."""
    import ipywidgets as widgets

    before = predictions().get(key)
    field: Any
    if choices is None:
        field = widgets.FloatText(value=before if isinstance(before, int | float) else 0.0, description="number")
    else:
        value = before if before in choices else None
        field = widgets.RadioButtons(options=list(choices), value=value, layout={"width": "max-content"})
    button = widgets.Button(description="Commit", button_style="primary")
    status = widgets.HTML("" if before is None else f"committed before: {html.escape(str(before))}")

    def commit(_: Any) -> None:
        if field.value is None:
            status.value = "choose one first"
            return
        _write(predictions() | {key: field.value}, cache_root() / FILE)
        status.value = f"committed: {html.escape(str(field.value))}"

    button.on_click(commit)
    question = widgets.HTML(html.escape(text.partition("\n")[0]))
    return widgets.VBox([question, field, widgets.HBox([button, status])])


def reveal(key: str, outcome: str | float, says: str = "") -> Said:
    """What came out, beside what was predicted; `says` is a sentence computed from the run.

    A number counts as foreseen within a fifth of the outcome. Raises InvalidInputError for a key that is none.
    """
    _check(key)
    shown = f"{outcome:.3g}" if isinstance(outcome, int | float) else str(outcome)
    text = f"Came out: {shown}." + (f" {says}" if says else "")
    mine = None if headless() else predictions().get(key)
    if mine is not None:
        _revealed[key] = _fits(mine, outcome)
        text = f"You predicted: {mine}. {text} " + ("Foreseen." if _revealed[key] else "Not foreseen.")
    return Said(text)


def _fits(mine: str | float, outcome: str | float) -> bool:
    if isinstance(mine, int | float) and isinstance(outcome, int | float):
        return math.isclose(mine, outcome, rel_tol=NEAR, abs_tol=1e-9)
    return mine == outcome


def foreseen() -> Said:
    """How many of the predictions revealed in this kernel came out; nothing to say where nobody can predict."""
    if headless() or not _revealed:
        return Said("Your predictions stand here when you have committed some.")
    return Said(f"You foresaw {sum(_revealed.values())} of {len(_revealed)}.")


def predictions() -> dict[str, str | float]:
    """What has been committed, by key; empty if there is no file of it, or if it holds something else."""
    try:
        found = json.loads((cache_root() / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {k: v for k, v in found.items() if _KEY.fullmatch(k) and isinstance(v, str | int | float)}


def export_predictions(path: str | Path) -> Path:
    """Write what has been committed to a file of your own, as JSON; returns its path."""
    _write(predictions(), path)
    return Path(path)


def _write(found: Mapping[str, str | float], path: str | Path) -> None:
    atomic_write(path, json.dumps(dict(sorted(found.items())), indent=1, ensure_ascii=False).encode())


def _check(key: str) -> None:
    if not _KEY.fullmatch(str(key)):
        raise InvalidInputError(f"prediction {key!r} is no key. Allowed: lecture and number, such as '03.1'")
