"""Formulas for pages that have no network: LaTeX becomes MathML, which browsers draw themselves.

What is a formula, nbconvert's own parser of Markdown says: what JupyterLab shows as one, but for what stands inside a
block of HTML.
"""

import html
import re

from jinja2 import pass_context
from jinja2.runtime import Context
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath


class _Renderer(IPythonRenderer):
    def inline_math(self, body: str) -> str:
        return mathml(body)

    def block_math(self, body: str) -> str:
        return mathml(body, block=True)


@pass_context
def markdown(context: Context, source: str) -> str:
    """The HTML of a cell of Markdown, in place of nbconvert's filter `markdown2html`."""
    attachments = context.get("cell", {}).get("attachments", {})
    return MarkdownWithMath(_Renderer(escape=False, attachments=attachments)).render(source)


def mathml(formula: str, block: bool = False) -> str:
    """The MathML of a LaTeX formula; the source itself, as code, where the converter does not understand it."""
    from latex2mathml.converter import convert

    try:
        made = convert(formula.strip(), xmlns="", display="block" if block else "inline").replace(' xmlns=""', "")
    except Exception:  # the converter fails with whatever error its parser met
        made = "\\"
    made = re.sub(r"(<mi>(?:ln|log|exp|sin|cos|max|min)</mi>)(?!<mo)", r'\1<mspace width="0.17em" />', made)
    # what it does not know it leaves as <mi>\name</mi>
    return f"<code>{html.escape(formula.strip())}</code>" if "\\" in made else made
