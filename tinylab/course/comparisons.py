"""Two recorded trainings whose recipes differ in one factor, and the difference of their accuracies with its error.

The standard error is that of two separate sets of images: on the same images the true one is smaller, so "clear" (over
two of it) is said too rarely rather than too often. One seed a side: how another seed would have turned out, no error
here knows.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tinylab.course.results import Record, asked, load_all
from tinylab.models import REPORTED
from tinylab.support.errors import InvalidInputError, check_int
from tinylab.training import Score

CLEAR = 2.0  # standard errors


@dataclass(frozen=True)
class Difference:
    """Of two accuracies, in points, and its standard error; over two of these it is clear."""

    gain: float
    error: float

    @property
    def clear(self) -> bool:
        return abs(self.gain) > CLEAR * self.error

    @property
    def points(self) -> str:
        return f"{signed(self.gain)} ± {self.error:.1f} points"

    def __str__(self) -> str:
        return f"{self.points}: {'clear' if self.clear else 'cannot tell'}"


def difference(before: float, after: float, count: int) -> Difference:
    """after - before, of accuracies (0..1) on `count` images each, with the error of two separate sets of images.

    On the same images the true error is smaller (`evaluation.paired_test`). Raises InvalidInputError for others.
    """
    for name, accuracy in (("before", before), ("after", after)):
        if not 0 <= accuracy <= 1:
            raise InvalidInputError(f"{name} {accuracy!r} is no accuracy. Allowed: 0 to 1")
    check_int("count", count, 1)
    error = math.sqrt((before * (1 - before) + after * (1 - after)) / count)
    return Difference(100 * (after - before), 100 * error)


@dataclass(frozen=True)
class Change:
    """What one factor changed in one network: accuracies in points (0..100), on the same held-out split."""

    network: str  # "Model 1"
    classes: int
    images: int  # of that split
    before: float
    after: float
    error: float  # standard error of after - before
    split: str  # "official validation" or "development"
    running: tuple[float, float]  # accuracy while learning, as Keras prints it, last epoch
    epochs: int

    @property
    def gain(self) -> float:
        return self.after - self.before

    @property
    def clear(self) -> bool:
        return abs(self.gain) > CLEAR * self.error

    def __str__(self) -> str:
        return (
            f"{self.network} {self.before:.2f} % → {self.after:.2f} % ({signed(self.gain)} ± {self.error:.1f} points)"
        )


def changes(factors: Sequence[str], before: dict[str, object], records: Sequence[Record] | None = None) -> list[Change]:
    """All pairs of finished trainings of the report's networks whose recipes differ in `factors` only.

    before: what the first of the two has in its recipe, such as {"l2": 0.01}. Sorted by number of classes, network.
    Trainings of one length, for what is set side by side: the one that most networks had, of several the longest.
    """
    found = [_change(*pair) for pair in of_one_length(pairs(factors, before, records))]
    return sorted(found, key=lambda change: (change.classes, change.network))


def of_one_length(found: Iterable[tuple[Record, Record]]) -> list[tuple[Record, Record]]:
    """Of the pairs on as many classes those of the length that most of them have."""
    known = list(found)
    counts = Counter((one.classes, one.recipe.epochs) for one, _ in known)
    usual = {classes: epochs for (classes, epochs), _ in sorted(counts.items(), key=lambda item: (item[1], item[0]))}
    return [pair for pair in known if pair[0].recipe.epochs == usual[pair[0].classes]]


def pairs(
    factors: Sequence[str], before: dict[str, object], records: Sequence[Record] | None
) -> Iterator[tuple[Record, Record]]:
    """(one, other) of whatever length, as `changes` compares them; records: None takes those of the package."""
    known = [r for r in (load_all() if records is None else records) if r.finished and r.network in REPORTED]
    for one in known:
        if all(getattr(one.recipe, name) == value for name, value in before.items()):
            yield from ((one, other) for other in known if _alike(one, other, factors))


def _alike(one: Record, other: Record, factors: Sequence[str]) -> bool:
    """Whether two records differ in the first factor, and in nothing besides `factors`."""
    differs = getattr(one.recipe, factors[0]) != getattr(other.recipe, factors[0])
    return differs and asked(one, factors) == asked(other, factors)


def _change(one: Record, other: Record) -> Change:
    a, b = held_out(one), held_out(other)
    return Change(
        REPORTED[one.network].title,
        one.classes,
        min(a.count, b.count),
        100 * a.accuracy,
        100 * b.accuracy,
        100 * math.hypot(standard_error(a), standard_error(b)),
        "official validation" if "validation" in one.scores else "development",
        (one.history.last.running_accuracy, other.history.last.running_accuracy),
        one.recipe.epochs,
    )


def held_out(record: Record) -> Score:
    """The score on official validation images where there is one, else on development images."""
    return record.scores.get("validation") or record.scores["development"]


def standard_error(score: Score) -> float:
    """Of an accuracy (0..1) on `count` images."""
    return math.sqrt(score.accuracy * (1 - score.accuracy) / max(score.count, 1))


def signed(points: float) -> str:
    """+4.0, −6.0: with a sign that no line breaks at, as wide as a plus."""
    return f"{points:+.1f}".replace("-", "−")
