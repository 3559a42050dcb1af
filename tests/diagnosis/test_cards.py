"""Cards say what they found in text and in HTML that a dark theme cannot make unreadable."""

import dataclasses

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


@pytest.mark.parametrize("card", [FIRED, QUIET])
def test_html_sets_ink_and_paper_and_escapes(card: Card) -> None:
    shown = card._repr_html_()
    assert "color:#" in shown
    assert "background:#" in shown
    assert "2 < 3" not in shown


def test_cards_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        FIRED.fired = False  # type: ignore[misc]


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


@pytest.mark.parametrize(("share", "text"), [(0.126, "+13%"), (-0.5, "-50%"), (0.001, "±0%"), (-0.004, "±0%")])
def test_change(share: float, text: str) -> None:
    assert change(share) == text
