"""A whole plan: what is done, what is to do, and one line for each row that ends."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tinylab.course import results
from tinylab.support.device import Device, pick
from tinylab.support.errors import DataError, check_range
from tinylab.support.table import Table
from tinylab.tools.experiments import cluster, material, worker
from tinylab.tools.experiments.pace import images_per_second
from tinylab.tools.experiments.plans import Plan
from tinylab.tools.experiments.rows import Row
from tinylab.tools.experiments.worker import DONE, FAILED, PAUSED, Job

Pace = Callable[[str, int, Device], float]  # network, batch, device: images/s


@dataclass(frozen=True)
class Report:
    """How many rows of a plan are in which state."""

    finished: int
    failed: int
    left: int


def run(
    plan: Plan,
    out: str | Path,
    *,
    address: str | None = None,
    seconds: float | None = None,
    retry: bool = False,
    device: str | None = None,
    say: Callable[[str], None] = print,
) -> Report:
    """Train what is left of `plan`; records lie in `out`, one per row, as they end.

    address  of a Ray cluster, or "local" for one on this machine, for several rows at a time; None: one after the other
    seconds  no epoch is begun that would end later than this; a first one always is. None: the plan's own, if any
    retry    try rows again that failed

    Stopped, killed or out of time, the same call goes on: finished rows are skipped, the others go on from their last
    checkpoint. A row that fails leaves a record of that and the others go on. Raises InvalidInputError or DataError
    before anything is trained; TrainingError for a damaged record in `out`.
    """
    out = Path(out)
    deadline = None
    seconds = plan.seconds if seconds is None else seconds
    if seconds is not None:
        check_range("time", seconds, 0, float("inf"), low_open=True)
        deadline = time.time() + seconds
    target = pick(device)
    _sizes(plan)  # data that is missing, or too small for the plan, is said once and before anything else
    states: dict[str, str] = {}
    for row in plan.rows:
        record = worker.result(row, out)
        if record is not None and record.failure and retry:
            (out / f"{row.name}.json").unlink()
        elif record is not None:
            states[row.identifier] = FAILED if record.failure else DONE
    left = [Job(row, out, deadline, device) for row in plan.rows if row.identifier not in states]
    failed = sum(state == FAILED for state in states.values())
    before = f", {failed} failed before (--retry tries again)" if failed else ""
    where = f"on Ray at {address!r}" if address else f"on {target.label}"
    say(f"{plan.name}: {len(plan.rows)} rows, {len(states) - failed} finished{before}; {len(left)} to do, {where}")

    def settled(job: Job, outcome: str) -> None:
        states[job.row.identifier] = outcome
        count = sum(state in (DONE, FAILED) for state in states.values())
        if outcome in (DONE, FAILED):
            say(f"{count} of {len(plan.rows)}  {_ended(job.row, out)}")

    if left and address is not None:
        cluster.run(left, address, settled)
    for number, job in enumerate(left if address is None else []):
        if number and deadline is not None and time.time() >= deadline:  # one row always begins: any slice gets on
            break
        outcome = worker.logged(job)
        settled(job, outcome)
        if outcome == PAUSED:
            break
    finished, failed = (sum(state == wanted for state in states.values()) for wanted in (DONE, FAILED))
    report = Report(finished, failed, len(plan.rows) - finished - failed)
    more = "; the same command goes on with them" if report.left else ""
    say(f"{report.finished} finished, {report.failed} failed, {report.left} left{more}. Records: {out}")
    return report


def listing(plan: Plan, out: str | Path, device: str | None = None, pace: Pace = images_per_second) -> Table:
    """The rows of a plan, what each costs in images and in hours on this machine, and how far it is; trains nothing.

    Hours are those of training at the pace of a few steps of each network, measured now on full-sized images.
    """
    try:
        sizes = _sizes(plan)
    except DataError:  # not prepared: the rows can be shown all the same
        sizes = {}
    target, paces = pick(device), dict[tuple[str, int], float]()
    epochs = {row.identifier: row.recipe.epochs for row in plan.rows}
    rows, total, hours = [], 0, 0.0
    for row in plan.rows:
        record = worker.result(row, Path(out))
        state = "to do" if record is None else "failed" if record.failure else "finished"
        if record is None and (Path(out) / "rows" / row.identifier / "checkpoint.pt").exists():
            state = "begun"
        images = sizes.get(_part(row), 0) * (row.recipe.epochs - epochs.get(row.continues or "", 0))
        cost, time_needed = "?", "?"
        if sizes:
            key = row.network, row.recipe.batch
            paces[key] = paces.get(key) or pace(*key, target)
            cost, time_needed = f"{images:,}", f"{images / paces[key] / 3600:.1f}"
            total, hours = total + images, hours + images / paces[key] / 3600
        setting = [row.short, row.title, row.recipe.seed, row.recipe.epochs]
        rows.append([*setting, cost, time_needed, state, row.identifier])
    cost = "the data is not prepared, so not counted"
    if sizes:
        cost = f"{total:,} training images in all epochs together, {hours:.1f} hours at the pace of {target.label} now"
    caption = f"{plan.name}: {len(plan.rows)} rows; {cost}. {plan.question}".strip()
    columns = ["network", "setting", "seed", "epochs", "images", "hours", "state", "row"]
    return Table(columns, rows, caption)


def _sizes(plan: Plan) -> dict[tuple[object, ...], int]:
    """Training images of each part of the data that the plan uses; none is read."""
    return {_part(row): material.count(row) for row in {_part(row): row for row in plan.rows}.values()}


def _part(row: Row) -> tuple[object, ...]:
    return (row.data, row.classes, row.per_class, row.source, row.target, row.watched)


def _ended(row: Row, out: Path) -> str:
    record = results.load(row.name, out)
    if record.failure:
        return f"{row}: failed: {record.failure}"
    scores = ", ".join(f"{name} {score.accuracy:.1%}" for name, score in record.scores.items())
    return f"{row}: {scores}; {record.clocks.training:.0f} s of training"
