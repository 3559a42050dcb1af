"""What a check says: a card with its evidence and, if it fired, the likely cause and the remedy."""

import html
from collections.abc import Iterable
from dataclasses import dataclass

from tinylab.support.errors import InvalidInputError


@dataclass(frozen=True)
class Card:
    """The finding of one check. A card that did not fire keeps its evidence and leaves the rest unsaid."""

    check: str  # its name: "overfitting"
    fired: bool
    evidence: str  # what was measured, in numbers, with the threshold
    cause: str  # the likeliest, if it fired
    remedy: str  # what to do first, if it fired
    source: str  # where the check, or its threshold, comes from

    def __str__(self) -> str:
        if not self.fired:
            return f"· {self.check}: nothing found. {self.evidence}"
        return f"! {self.check}: {self.evidence} Likely cause: {self.cause} Remedy: {self.remedy} [{self.source}]"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        # Colours are set for text and background both, so that a dark theme cannot make it unreadable
        ink, paper, edge = ("#5C2800", "#FDF0E6", "#D55E00") if self.fired else ("#004D36", "#E6F5EF", "#009E73")
        style = f"color:{ink};background:{paper};border-left:5px solid {edge};padding:0.5em 0.8em;margin:0 0 0.4em"
        check, evidence, cause, remedy, source = map(
            html.escape, (self.check, self.evidence, self.cause, self.remedy, self.source)
        )
        if not self.fired:
            return f'<div style="{style}"><b>{check}</b>: nothing found. {evidence}</div>'
        return (
            f'<div style="{style}"><b>{check}</b>: {evidence}<br><b>Likely cause:</b> {cause}'
            f"<br><b>Remedy:</b> {remedy}<br><small>Source: {source}</small></div>"
        )


@dataclass(frozen=True)
class Cards:
    """Several findings, those that fired first; reads as a list in a terminal and as cards in a notebook."""

    cards: tuple[Card, ...]

    @property
    def fired(self) -> tuple[str, ...]:
        """The names of the checks that fired."""
        return tuple(card.check for card in self.cards if card.fired)

    def __str__(self) -> str:
        return "\n".join([self._count(), *map(str, self.cards)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        cards = "".join(card._repr_html_() for card in self.cards)
        return f'<section aria-label="diagnosis"><p>{html.escape(self._count())}</p>{cards}</section>'

    def _count(self) -> str:
        names = f": {', '.join(self.fired)}" if self.fired else ""
        return f"{len(self.fired)} of {len(self.cards)} checks fired{names}."


def show(cards: Iterable[Card]) -> Cards:
    """The findings as one list to look at, those that fired first. Raises InvalidInputError for anything else."""
    listed = (cards,) if isinstance(cards, Card) else tuple(cards)
    for card in listed:
        if not isinstance(card, Card):
            raise InvalidInputError(f"{card!r} is not a card. Allowed: what a check of diagnosis returned")
    return Cards(tuple(sorted(listed, key=lambda card: not card.fired)))


def change(share: float) -> str:
    """A relative change in whole percent with its sign, `+12%`; one that rounds to zero as `±0%`."""
    return f"{share:+.0%}" if round(100 * share) else "±0%"
