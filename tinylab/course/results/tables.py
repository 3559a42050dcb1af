"""Tables from records: what the report says beside what was run; one plan's settings side by side; README's part.

A mean over seeds comes with its standard deviation.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinylab.course.results.record import FLIPPED, FULL, Record, longest
from tinylab.course.results.store import load_all
from tinylab.models import REPORTED
from tinylab.support.errors import InvalidInputError, nearest
from tinylab.support.files import atomic_write
from tinylab.support.table import Table

BEGIN, END = "<!-- records:begin -->", "<!-- records:end -->"
SECTIONS = {  # plan: what it is in the table, in the table's order
    "penalty": "the report's recipe",
    "one-change": "one change",
    "factors": "one factor of today's recipe",
    "done-well-cpu": "done well",
    "done-well": "done well",
    "done-well-seeds": "done well",
    "headline": "on one GPU",
    "laptop": "beyond, on a laptop",
}
_COLUMNS = ("", "network", "while learning", "training", "validation", "n", "time", "hardware")


@dataclass(frozen=True)
class Group:
    """The finished seeds of one setting of one network."""

    records: tuple[Record, ...]

    @property
    def first(self) -> Record:
        return self.records[0]

    def has(self, split: str) -> bool:
        """Whether every seed was scored on the split."""
        return all(split in record.scores for record in self.records)

    def accuracy(self, split: str) -> str:
        """ "56.9 %", or "56.9 ± 0.3 %" (standard deviation over seeds)."""
        values = [100 * record.scores[split].accuracy for record in self.records]
        spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
        return f"{np.mean(values):.1f}{spread} %"


def groups(records: Iterable[Record]) -> list[Group]:
    """Finished records by plan, network and setting, in the order of their first ones."""
    found: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        if record.finished:
            found.setdefault((record.plan, record.network, record.title), []).append(record)
    return [Group(tuple(sorted(members, key=lambda record: record.seed))) for members in found.values()]


def table(records: Sequence[Record] | None = None) -> Table:
    """All 200 classes: what the report says, and every setting that was run, with n seeds, time and hardware.

    "while learning" is the running accuracy of the last epoch, dropout on and averaged over the epoch: what the report
    calls training accuracy. "training" is measured after it, in evaluation mode. records: by default those that come
    with tinylab.
    """
    found = [g for g in groups(load_all() if records is None else records) if g.first.classes == FULL]
    rows: list[tuple[str, ...]] = [
        ("the report", known.title, _percent(known.train), "–", _percent(known.validation), "1", "–", "–")
        for known in REPORTED.values()
    ]
    plans = list(SECTIONS)

    def place(group: Group) -> tuple[int, str, int]:
        known = plans.index(group.first.plan) if group.first.plan in plans else len(plans)
        return known, group.first.network, group.first.recipe.epochs

    for group in sorted(found, key=place):
        rows += _rows(SECTIONS.get(group.first.plan, group.first.plan), group)
    return Table(
        _COLUMNS, rows, "Tiny ImageNet, 200 classes, accuracies; a dagger: development split, not the official"
    )


def plan_table(plan: str, records: Sequence[Record] | None = None) -> Table:
    """One plan's settings (rows) and networks (columns): training / development accuracy, means over seeds.

    records: by default those that come with tinylab. Raises InvalidInputError if there is none of that plan.
    """
    known = load_all() if records is None else list(records)
    mine = sorted((record for record in known if record.plan == plan), key=lambda record: record.recipe.epochs)
    if not mine:
        plans = sorted({record.plan for record in known})
        hint = nearest(plan, plans) if plans else ". There is none yet: `tinylab sweep` makes them"
        raise InvalidInputError(f"there is no record of plan {plan!r}{hint}")
    networks, titles = (list(dict.fromkeys(getattr(r, name) for r in mine)) for name in ("network", "title"))
    cells = {
        (g.first.network, g.first.title): f"{g.accuracy('train')} / {g.accuracy('development')}" for g in groups(mine)
    }
    failed = {(r.network, r.title): "failed" for r in mine if not r.finished}
    rows = [[title, *({**failed, **cells}.get((network, title), "–") for network in networks)] for title in titles]
    return Table(["setting", *(_title(network) for network in networks)], rows, _caption(plan, mine))


def _caption(plan: str, records: Sequence[Record]) -> str:
    done = [record for record in records if record.finished] or list(records)
    first = done[0]
    seeds = len({record.seed for record in done})
    epochs = sorted({record.recipe.epochs for record in done})
    images = sorted({record.images for record in done})
    seconds = sum(record.clocks.cold for record in longest(done))  # which hold those of their beginnings
    devices = sorted({record.origin.device for record in done})
    versions = first.origin.versions
    return (
        f"{plan}: training / development accuracy, {first.classes} classes of {first.history.data}, "
        f"{span(images)} training images, {span(epochs)} epochs, {seeds} seed{'s' * (seeds > 1)}; "
        f"{len(done)} row{'s' * (len(done) > 1)} in {_time(seconds)} on {', '.join(devices)}, "
        f"torch {versions.get('torch', '?')}"
    )


def _rows(section: str, group: Group) -> list[tuple[str, ...]]:
    """The group's row, and a second one where test-time augmentation was measured, too: that is another measurement."""
    split, mark = ("validation", "") if group.has("validation") else ("development", " †")
    learning = float(np.mean([record.history.last.running_accuracy for record in group.records]))
    seconds = float(np.mean([record.clocks.training for record in group.records]))
    hardware = ", ".join(sorted({record.origin.device for record in group.records}))
    title = f"{_title(group.first.network)}, {group.first.title}"
    rest = (str(len(group.records)), _time(seconds), hardware)
    training = _percent(learning), group.accuracy("train")
    rows: list[tuple[str, ...]] = [(section, title, *training, group.accuracy(split) + mark, *rest)]
    if group.has(split + FLIPPED):
        flipped = group.accuracy(split + FLIPPED) + mark
        rows.append((section, f"{title}, flips at test", *training, flipped, *rest))
    return rows


# ---------------------------------------------------------------- README


def markdown(shown: Table) -> str:
    """The table as GitHub's Markdown, its caption below in small print."""
    lines = [shown.columns, ["---"] * len(shown.columns), *shown.rows]
    text = "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
    return f"{text}\n\n<sub>{shown.caption}.</sub>" if shown.caption else text


def part(records: Sequence[Record] | None = None) -> str:
    """What stands between README's marks: the table of 200 classes, then one of each plan that was run on fewer."""
    known = load_all() if records is None else list(records)
    small = sorted({record.plan for record in known if record.classes != FULL})
    tables = [table(known), *(plan_table(plan, known) for plan in small)]
    return "\n\n".join(markdown(shown) for shown in tables)


def readme(path: str | Path, records: Sequence[Record] | None = None) -> bool:
    """Rewrite the part of a file between `BEGIN` and `END`; returns whether it changed.

    Raises InvalidInputError for a file without one pair of these marks, FileError for one that cannot be written.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path} cannot be read ({error}). Name a text file") from None
    if (text.count(BEGIN), text.count(END)) != (1, 1) or text.index(BEGIN) > text.index(END):
        raise InvalidInputError(f"{path} needs one line {BEGIN!r} and, below it, one line {END!r}. Insert them")
    new = re.sub(
        f"{re.escape(BEGIN)}.*{re.escape(END)}", lambda _: f"{BEGIN}\n{part(records)}\n{END}", text, flags=re.DOTALL
    )
    if new != text:
        atomic_write(path, new.encode())
    return new != text


def _title(network: str) -> str:
    return REPORTED[network].title if network in REPORTED else network


def _percent(share: float) -> str:
    return f"{share:.1%}".replace("%", " %")


def span(values: Sequence[int]) -> str:
    """ "12", or "12 to 1,800": of ascending numbers."""
    return f"{values[0]:,}" if len(values) == 1 else f"{values[0]:,} to {values[-1]:,}"


def _time(seconds: float) -> str:
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5970 else f"{seconds / 3600:.1f} h"
