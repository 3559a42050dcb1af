"""Tables from records: reported, reproduced, done well, beyond; one plan's settings side by side; README's part.

What no record answers reads "not yet run". A mean over seeds comes with its standard deviation.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinylab.course.results.record import FLIPPED, Record
from tinylab.course.results.store import load_all
from tinylab.models import REPORTED
from tinylab.support.errors import InvalidInputError, TinylabError, nearest
from tinylab.support.files import atomic_write
from tinylab.support.table import Table

BEGIN, END = "<!-- records:begin -->", "<!-- records:end -->"
NOT_YET_RUN = "not yet run"
FULL = 200  # classes: the report's, and those of every figure of others
SECTIONS = {  # plan: what it is in the table
    "reproduction": "reproduced",
    "done-well": "done well",
    "done-well-cpu": "done well, on a CPU",
    "beyond": "beyond",
}
OPTIONAL = {"done-well-cpu"}  # plans that nobody waits for: without a record they are not in the table
BEYOND = "modern"  # the network of a plan `beyond` that has not been run
_COLUMNS = ("", "network", "training", "validation", "n", "time: training / with evaluation / cold", "hardware")


@dataclass(frozen=True)
class Group:
    """The finished seeds of one setting of one network."""

    records: tuple[Record, ...]

    @property
    def first(self) -> Record:
        return self.records[0]

    @property
    def n(self) -> int:
        return len(self.records)

    @property
    def official(self) -> bool:
        """Whether every seed was scored on the official validation images."""
        return self.has("validation")

    def mean(self, split: str) -> float:
        return float(np.mean([record.scores[split].accuracy for record in self.records]))

    def has(self, split: str) -> bool:
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
    """All 200 classes: what the report says, and what was reached, by network, with n seeds, time and hardware.

    "reproduced" is the setting that comes nearest to the report's pair of accuracies, "done well" the one with the
    highest mean on the development split: the official validation images choose nothing. Networks that learned from a
    teacher are measured against no others: each has a row of its own, "done well, taught"; so has what a CPU reached,
    where it was run. records: by default those that come with tinylab.
    """
    found = [g for g in groups(load_all() if records is None else records) if g.first.classes == FULL]
    rows: list[tuple[str, ...]] = [
        ("reported", known.title, _percent(known.train), _percent(known.validation), "1", "–", "–")
        for known in REPORTED.values()
    ]
    for plan, section in SECTIONS.items():
        if plan == "beyond":
            mine = [group for group in found if group.first.plan == plan]
            for group in mine:
                rows += _rows(section, f"{group.first.network}, {group.first.title}", group)
            rows += [] if mine else _rows(section, BEYOND, None)
            continue
        for network, known in REPORTED.items():
            mine = [group for group in found if (group.first.plan, group.first.network) == (plan, network)]
            taught = [group for group in mine if group.first.teacher]
            mine = [group for group in mine if not group.first.teacher]
            if plan == "reproduction":
                mine.sort(key=lambda group: _distance(group, known.train, known.validation))
            else:
                mine.sort(key=lambda group: -group.mean("development"))
            if mine:
                rows += _rows(section, f"{known.title}, {mine[0].first.title}", mine[0])
            elif plan not in OPTIONAL:
                rows += _rows(section, known.title, None)
            for group in taught:
                rows += _rows(f"{section}, taught", f"{known.title}, {group.first.title}", group)
    return Table(
        _COLUMNS, rows, "Tiny ImageNet, 200 classes, accuracies; a dagger: development split, not the official"
    )


def plan_table(plan: str, records: Sequence[Record] | None = None) -> Table:
    """One plan's settings (rows) and networks (columns): training / development accuracy, means over seeds.

    records: by default those that come with tinylab. Raises InvalidInputError if there is none of that plan.
    """
    known = load_all() if records is None else list(records)
    mine = [record for record in known if record.plan == plan]
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
    seconds = sum(record.clocks.cold for record in done)
    devices = sorted({record.origin.device for record in done})
    versions = first.origin.versions
    return (
        f"{plan}: training / development accuracy, {first.classes} classes of {first.history.data}, "
        f"{_range(images)} training images, {_range(epochs)} epochs, {seeds} seed{'s' * (seeds > 1)}; "
        f"{len(done)} row{'s' * (len(done) > 1)} in {_time(seconds)} on {', '.join(devices)}, "
        f"torch {versions.get('torch', '?')}"
    )


def _rows(section: str, title: str, group: Group | None) -> list[tuple[str, ...]]:
    """The group's row, and a second one where test-time augmentation was measured, too: that is another measurement."""
    if group is None:
        return [(section, title, NOT_YET_RUN, NOT_YET_RUN, "–", "–", "–")]
    split, mark = ("validation", "") if group.official else ("development", " †")
    accuracies = [group.accuracy("train"), group.accuracy(split) + mark]
    clocks = [(r.clocks.training, r.clocks.with_evaluation, r.clocks.cold) for r in group.records]
    times = [_time(float(seconds)) for seconds in np.mean(clocks, axis=0)]
    hardware = ", ".join(sorted({record.origin.device for record in group.records}))
    rest = (str(group.n), " / ".join(times), hardware)
    rows = [(section, title, *accuracies, *rest)]
    if group.has(split + FLIPPED):
        rows.append((f"{section}, flips at test", title, accuracies[0], group.accuracy(split + FLIPPED) + mark, *rest))
    return rows


def _distance(group: Group, train: float, validation: float) -> float:
    """How far, in accuracy, the farther of the two is from the report's."""
    seen = "validation" if group.official else "development"
    return max(abs(group.mean("train") - train), abs(group.mean(seen) - validation))


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

    Raises InvalidInputError for a file without one pair of these marks.
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
        try:
            atomic_write(path, new.encode())
        except TinylabError as error:
            raise InvalidInputError(str(error)) from None
    return new != text


def _title(network: str) -> str:
    return REPORTED[network].title if network in REPORTED else network


def _percent(share: float) -> str:
    return f"{share:.1%}".replace("%", " %")


def _range(values: Sequence[int]) -> str:
    return f"{values[0]:,}" if len(values) == 1 else f"{values[0]:,} to {values[-1]:,}"


def _time(seconds: float) -> str:
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5970 else f"{seconds / 3600:.1f} h"
