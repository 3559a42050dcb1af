"""Small tables that read well in a notebook (HTML), in a terminal and to a screen reader (text)."""

import html
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Rows of already formatted cells under named columns; numbers are aligned to the right.

    `columns` has C names, each of `rows` has C entries; entries are turned into text with `str`.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    caption: str = ""

    def _right(self) -> list[bool]:
        """Which columns hold numbers, and besides only dashes: those are aligned to the right."""
        columns = [list(map(str, column)) for column in zip(*self.rows, strict=True)] or [[] for _ in self.columns]
        return [all(map(_numeric, column)) and not set(column) <= _NOTHING for column in columns]

    def __str__(self) -> str:
        texts = [[str(cell) for cell in row] for row in [self.columns, *self.rows]]
        widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
        right = self._right()

        def line(cells: Sequence[str]) -> str:
            padded = (c.rjust(w) if r else c.ljust(w) for c, w, r in zip(cells, widths, right, strict=True))
            return "  ".join(padded).rstrip()

        rule = "  ".join("-" * width for width in widths)
        head = [self.caption] if self.caption else []
        return "\n".join([*head, line(texts[0]), rule, *map(line, texts[1:])])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        right = self._right()

        def cells(row: Sequence[object], tag: str) -> str:
            aligned = (
                f'<{tag} style="text-align:{"right" if r else "left"}">{html.escape(str(cell))}</{tag}>'
                for cell, r in zip(row, right, strict=True)
            )
            return "<tr>" + "".join(aligned) + "</tr>"

        caption = f"<caption>{html.escape(self.caption)}</caption>" if self.caption else ""
        body = "".join(cells(row, "td") for row in self.rows)
        return f"<table>{caption}<thead>{cells(self.columns, 'th')}</thead><tbody>{body}</tbody></table>"


_NOTHING = {"–", "-", ""}


def _numeric(text: str) -> bool:
    """True for `1,024`, `56.9 %`, `1.2e-3`, `3.1 ×` and the dash that stands for 'none'."""
    stripped = text.replace(",", "").replace("%", "").replace("×", "").replace("M", "").strip()
    if stripped in _NOTHING:
        return True
    try:
        float(stripped)
    except ValueError:
        return False
    return True
