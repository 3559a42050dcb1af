"""Formulas become MathML; code, prices and what the converter does not know stay readable."""

import xml.etree.ElementTree as ElementTree

import pytest

from tinylab.tools.notebooks import formulas


def shown(markdown: str) -> str:
    return formulas.markdown({}, markdown).strip()


@pytest.mark.parametrize(
    ("markdown", "count"),
    [
        ("a $x$ b", 1),
        ("$a_1 * b_2$ and $c$", 2),
        ("$$\\frac{1}{C}$$", 1),
        ("$0.01 \\sum w^2$ to the loss. Its derivative is $2 \\cdot 0.01 \\cdot w$: a pull", 2),
        ("over\n$$\nx = 1\n$$\nlines", 1),
        ("broken over $a +\nb$ lines", 1),
        ("it costs \\$5 or \\$6", 0),
        ("it costs $5", 0),
        ("one costs $5\n\nthe other $6", 0),
        ("`$HOME` and `$x$`", 0),
        ("``a ` $x$``", 0),
        ("```\n$x$\n```\n$y$", 1),
        ("no formula", 0),
        ("<details>\n<summary>Hint</summary>\n\n$x$\n\n</details>", 1),
    ],
)
def test_only_formulas_become_mathml(markdown, count):
    assert shown(markdown).count("<math") == count


def test_code_and_escaped_dollars_survive():
    assert shown("`$HOME` costs \\$5") == "<p><code>$HOME</code> costs $5</p>"
    assert "<em>" not in shown("$a_1 b_2 c_3$, $x*y*z$")


def test_a_heading_with_a_formula_keeps_both():
    heading = ElementTree.fromstring(shown("## The loss $x$"))
    assert (heading.tag, heading.get("id")) == ("h2", "The-loss-x")
    assert heading.find("math/mrow/mi").text == "x"


def test_pictures_that_are_attached_are_shown():
    cell = {"attachments": {"a.png": {"image/png": "AAAA"}}}
    assert 'src="data:image/png;base64,AAAA"' in formulas.markdown({"cell": cell}, "![x](attachment:a.png)")


def test_the_report_s_formulas_are_well_formed():
    for formula in (
        r"\hat{x}^{(k)} = \frac{x^{(k)} - E[x^{(k)}]}{\sqrt{Var[x^{(k)}]}}",
        r"w := W - \eta \nabla Q_i(w) + \alpha \nabla w",
        r"\max(0, x)",
        r"-\ln\frac{1}{C} = \ln C",
    ):
        root = ElementTree.fromstring(formulas.mathml(formula))
        assert root.tag == "math"
        assert root.get("display") == "inline"
    assert ElementTree.fromstring(formulas.mathml("x", block=True)).get("display") == "block"


@pytest.mark.parametrize("wrong", [r"\unknowncommand{x}", r"\begin{nothing}"])
def test_what_is_not_understood_is_shown_as_it_was_written(wrong):
    assert formulas.mathml(wrong) == f"<code>{wrong}</code>"
