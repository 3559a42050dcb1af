"""Cards say what they found in text and in HTML that a dark theme cannot make unreadable."""

import pytest

from tinylab.diagnosis import Card, show
from tinylab.diagnosis.cards import change
from tinylab.support.errors import InvalidInputError

FIRED = Card("overfitting", True, "2 < 3 & rising.", "by heart.", "stop.", "somebody (2016)")
QUIET = Card("underfitting", False, "All is well.", "held back.", "let go.", "somebody (2016)")


def test_text_of_a_card_that_fired_has_everything() -> None:
    for part in ("overfitting", "2 < 3 & rising.", "by heart.", "stop.", "somebody (2016)"):
        assert part in str(FIRED)


def test_a_quiet_card_keeps_its_evidence_and_accuses_nobody() -> None:
    for shown in (str(QUIET), QUIET._repr_html_()):
        assert "All is well." in shown
        assert "nothing found" in shown
        assert "held back" not in shown
        assert "let go" not in shown


def test_html_sets_ink_and_paper_and_escapes() -> None:
    for card in (FIRED, QUIET):
        shown = card._repr_html_()
        assert "color:#" in shown
        assert "background:#" in shown
        assert "2 < 3" not in shown


def test_show_puts_those_that_fired_first_and_counts_them() -> None:
    shown = show([QUIET, FIRED, QUIET])
    assert [card.check for card in shown.cards] == ["overfitting", "underfitting", "underfitting"]
    assert shown.fired == ("overfitting",)
    assert str(shown).startswith("1 of 3 checks fired: overfitting.")
    assert shown._repr_html_().count("<div") == 3
    assert str(show(QUIET)).startswith("0 of 1 checks fired.")


def test_show_refuses_what_is_no_card() -> None:
    with pytest.raises(InvalidInputError, match="'fired' is not a card"):
        show([FIRED, "fired"])  # type: ignore[list-item]


def test_change() -> None:
    assert [change(share) for share in (0.126, -0.5, 0.001, -0.004)] == ["+13%", "-50%", "±0%", "±0%"]
