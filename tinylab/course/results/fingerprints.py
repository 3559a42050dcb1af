"""Which settings leave the report's pairs of accuracies, and the shape of Figure 2, as far as records tell.

A row of Table 1 counts as reproduced by a setting whose last epoch has both accuracies within two points of it; as
passed if an earlier epoch has. On fewer classes both are compared as skills (`diagnosis.skill`): guessing is 0.
Keras prints the training accuracy *while learning*, so that one is compared; a report that scored its training images
once more, in evaluation mode, would have printed another, and which it did nobody knows: both readings are answered.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinylab.course.results.record import Record, longest
from tinylab.diagnosis import Flattening, Turning, flattening, skill, skills, turning_point
from tinylab.models import REPORTED
from tinylab.support.table import Table

POINTS = 2.0  # percentage points: what the question allows
CLASSES = 200  # the report's
TURNS = (10, 40)  # † epochs: Figure 2's minimum near 20, within a factor of two
FLATTENS = (50, 150)  # † epochs: its plateau near 100
ABOVE = 1.0  # nats: where that plateau lies


@dataclass(frozen=True)
class Fingerprint:
    """How near one training comes to the report's row of its network."""

    network: str
    title: str
    seed: int
    classes: int
    train: float  # running accuracy, 0..1, of the last epoch: what the report calls training accuracy
    gained: float  # by how much it rose over the last third of the epochs
    validation: float  # of the watched split
    away: float  # points: the larger of the two distances, in the last epoch
    epoch: int  # where it comes nearest
    nearest: float  # points, there
    evaluated: tuple[int, float, float, float]  # the same in evaluation mode: epoch, points, training, held out
    epochs: int  # trained
    turning: Turning
    flat: Flattening

    @property
    def reproduces(self) -> bool:
        return self.away <= POINTS

    @property
    def passes(self) -> bool:
        return self.nearest <= POINTS

    @property
    def passes_evaluated(self) -> bool:
        return self.evaluated[1] <= POINTS

    @property
    def stalled(self) -> bool:
        """Whether learning has come to a stop far below the report: no point gained in the last third of its epochs."""
        known = REPORTED[self.network].train
        return self.epochs >= 6 and self.gained < 0.01 and self.train < known - 0.10

    @property
    def figure_2(self) -> bool:
        """Whether the validation loss turns, and the training loss flattens, where Figure 2 shows it."""
        flat = self.flat.epoch is not None and FLATTENS[0] <= self.flat.epoch <= FLATTENS[1]
        return self.turns and flat and self.flat.level > ABOVE

    @property
    def turns(self) -> bool:
        """Whether the validation loss turns where Figure 2's does."""
        return self.turning.turned and TURNS[0] <= self.turning.epoch <= TURNS[1]


def fingerprints(found: Sequence[Record]) -> tuple[Fingerprint, ...]:
    """Every training of one of the report's networks, by network, nearest first (in the last epoch).

    Failed rows and other networks are left out; so are trainings without an epoch, the beginnings of longer ones, and
    those with augmented images, which the report did not have.
    """
    known = [r for r in found if r.finished and r.network in REPORTED and r.history.epochs]
    rows = [_fingerprint(r) for r in longest(known) if not (r.recipe.flip or r.recipe.crop)]
    return tuple(sorted(rows, key=lambda row: (list(REPORTED).index(row.network), row.away)))


def _fingerprint(record: Record) -> Fingerprint:
    known = REPORTED[record.network]
    place = np.array([skill(known.train, CLASSES), skill(known.validation, CLASSES)])
    away, again = (
        100 * (1 - 1 / CLASSES) * np.abs(ways - place).max(axis=1)  # (epochs,), points
        for ways in (skills(record.history), skills(record.history, evaluated=True))
    )
    best, last = int(away.argmin()), record.history.last
    other = record.history.epochs[int(again.argmin())]
    return Fingerprint(
        record.network,
        record.title,
        record.seed,
        record.classes,
        last.running_accuracy,
        last.running_accuracy - record.history.epochs[-1 - len(record.history.epochs) // 3].running_accuracy,
        last.eval_accuracy,
        float(away[-1]),
        best + 1,
        float(away[best]),
        (other.epoch, float(again.min()), other.train_accuracy, other.eval_accuracy),
        len(record.history.epochs),
        turning_point(record.history),
        flattening(record.history),
    )


def fingerprint_table(rows: Sequence[Fingerprint]) -> Table:
    """The same as rows, with the report's own above each network's."""
    lines: list[list[object]] = []
    for network, known in REPORTED.items():
        mine = [row for row in rows if row.network == network]
        if mine:
            lines.append(
                [known.title, "as reported", CLASSES, "–", f"{known.train:.1%} / {known.validation:.1%}", *"–––"]
            )
        for row in mine:
            near = f"{row.nearest:.1f} (epoch {row.epoch})"
            turned = f"{row.turning.epoch}" if row.turning.turned else "no turn"
            flat = f"{row.flat.epoch}, at {row.flat.level:.2f}" if row.flat.epoch else "still falls"
            flat = flat if row.epochs >= FLATTENS[0] else "too short to say"  # noise of a few epochs looks flat
            both = f"{row.train:.1%} / {row.validation:.1%}"
            lines.append(
                [known.title, row.title, row.classes, row.seed, both, f"{row.away:.1f}, nearest {near}", turned, flat]
            )
    columns = [
        "network",
        "setting",
        "classes",
        "seed",
        "training / held out",
        "points away",
        "loss turns",
        "training flattens",
    ]
    return Table(columns, lines, "How near each setting comes to the report's row of its network")


def conclusions(rows: Sequence[Fingerprint]) -> list[str]:
    """One to three sentences for each of the report's networks that was tried."""
    said = []
    for network, known in REPORTED.items():
        mine = [row for row in rows if row.network == network]
        if not mine:
            continue
        pair = f"({known.train:.1%} / {known.validation:.1%})"
        hits, passing = [r for r in mine if r.reproduces], [r for r in mine if r.passes and not r.reproduces]
        if hits:
            text = f"{known.title} {pair} is reproduced by {_titles(hits)}."
        elif passing:
            verb = "passes" if len({row.title for row in passing}) == 1 else "pass"
            near = f"{_titles(passing)} {verb} within {POINTS:g} points of it"
            text = f"{known.title} {pair} is where no training ends; {near}."
        elif len(mine) == 1:
            text = f"{known.title} {pair} is not reproduced: {mine[0].title!r} ends {_points(mine[0].away)} away."
        else:
            text = (
                f"{known.title} {pair} is reproduced by none of {len(mine)} trainings without augmentation; of them "
                f"{mine[0].title!r} ends nearest, {_points(mine[0].away)} away."
            )
        if again := [row for row in mine if row.passes_evaluated and not row.passes]:
            row = min(again, key=lambda row: row.evaluated[1])
            epoch, _, train, validation = row.evaluated
            text += (
                f" If its training accuracy was scored in evaluation mode, {row.title!r} passes within {POINTS:g} "
                f"points of it in epoch {epoch} ({train:.1%} / {validation:.1%}): which of the two the report printed, "
                "it does not say."
            )
        stalled = [row for row in mine if row.stalled]
        if stalled:
            best = max(stalled, key=lambda row: row.train)
            text += (
                f" For {_titles(stalled)} it is out of reach: less than a point is gained in the last third of "
                f"{best.epochs} epochs, up to {best.train:.1%} while learning; the report says {known.train:.1%}."
            )
        text += _figure_2(mine) if network == "model_1" else ""  # whose losses it shows
        if mine[0].classes != CLASSES:
            text += f" These are {mine[0].classes} classes, compared by skill: a hint, not an answer."
        said.append(text)
    return said


def _figure_2(rows: Sequence[Fingerprint]) -> str:
    """Which of them have the shape of the report's Figure 2, or which part of it."""
    longest_run = max(row.turning.epochs for row in rows)
    if shape := [row for row in rows if row.figure_2]:
        return f" Figure 2's shape is shown by {_titles(shape)}."
    if longest_run >= FLATTENS[0]:
        return " None has Figure 2's shape."
    turned = [row for row in rows if row.turns]
    where = f"{_titles(turned)}, in epoch {turned[0].turning.epoch}" if turned else ""
    said = f" A turn such as Figure 2's (around epoch 20) is shown by {where}." if turned else ""
    return f"{said} Figure 2's plateau cannot show in {longest_run} epoch{'s' * (longest_run > 1)}."


def _titles(rows: Sequence[Fingerprint]) -> str:
    """ "'a'", "'a' and 'b'", "'a', 'b' and 'c'"."""
    *most, last = dict.fromkeys(f"'{row.title}'" for row in rows)
    return f"{', '.join(most)} and {last}" if most else last


def _points(away: float) -> str:
    return f"{away:.0f} point{'s' * (f'{away:.0f}' != '1')}"
