"""Formulas for pages that have no network: `$…$` in Markdown becomes MathML, which browsers draw themselves.

`hide` takes the formulas out of the Markdown and leaves marks, so that no Markdown renderer mistakes a star or an
underscore inside for emphasis; `show` puts the MathML in their place in the finished HTML.
"""

import html
import re

# code is left alone; a dollar opens a formula only before, and closes it only after, something that is not a space
_PIECES = re.compile(
    r"(?P<code>^(?:```|~~~).*?^(?:```|~~~)\s*?$|(?P<ticks>`+)(?!`).*?(?<!`)(?P=ticks)(?!`))"
    r"|(?P<escaped>\\\$)"
    r"|\$\$(?P<block>.+?)\$\$"
    r"|\$(?P<inline>[^\s$](?:[^$\n]|\n(?!\n))*?(?<![\s\\])|[^\s$\\])\$(?!\d)",
    re.DOTALL | re.MULTILINE,
)
_MARK = "\ue000{}\ue001"  # private-use characters: no text contains them, no renderer changes them


def hide(markdown: str, kept: list[str]) -> str:
    """`markdown` with a mark in place of each formula, whose MathML is appended to `kept`."""

    def mark(shown: str) -> str:
        kept.append(shown)
        return _MARK.format(len(kept) - 1)

    def replace(match: re.Match[str]) -> str:
        if match["code"]:  # the renderer has its own idea of formulas: show it no dollar at all
            return match["code"].replace("$", mark("$"))
        if match["escaped"]:
            return mark("$")
        return mark(mathml(match["block"] or match["inline"], block=match["block"] is not None))

    return _PIECES.sub(replace, markdown)


def show(page: str, kept: list[str]) -> str:
    """The HTML with each mark replaced by its formula."""
    return re.sub(_MARK.format(r"(\d+)"), lambda match: kept[int(match[1])], page)


def mathml(formula: str, block: bool = False) -> str:
    """The MathML of a LaTeX formula; the source itself, as code, where the converter does not understand it."""
    from latex2mathml.converter import convert

    try:
        made = convert(formula.strip(), display="block" if block else "inline")
    except Exception:  # the converter fails with whatever error its parser met
        made = "\\"
    made = re.sub(r"(<mi>(?:ln|log|exp|sin|cos|max|min)</mi>)(?!<mo)", r'\1<mspace width="0.17em" />', made)
    # what it does not know it leaves as <mi>\name</mi>
    return f"<code>{html.escape(formula.strip())}</code>" if "\\" in made else made
