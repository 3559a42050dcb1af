"""A whole plan: what is done, what is to do, and one line for each row that ends."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tinylab.course import results
from tinylab.support.device import pick
from tinylab.support.errors import DataError, between
from tinylab.support.table import Table
from tinylab.tools.experiments import cluster, local, material, worker
from tinylab.tools.experiments.plans import Plan
from tinylab.tools.experiments.rows import Row
from tinylab.tools.experiments.worker import DONE, FAILED, Job


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
    jobs: int | None = None,
    address: str | None = None,
    seconds: float | None = None,
    retry: bool = False,
    device: str | None = None,
    say: Callable[[str], None] = print,
) -> Report:
    """Train what is left of `plan`; records lie in `out`, one per row, as they end.

    jobs     rows at a time, each in a process of its own; None: one a GPU, or one on a CPU
    address  of a Ray cluster, or "local" for one on this machine, instead of processes
    seconds  no epoch is begun that would end later than this; a first one always is
    retry    try rows again that failed

    Stopped, killed or out of time, the same call goes on: finished rows are skipped, the others go on from their last
    checkpoint. A row that fails leaves a record of that and the others go on. Raises InvalidInputError or DataError
    before anything is trained; TrainingError for a damaged record in `out`.
    """
    out = Path(out)
    deadline = None
    if seconds is not None:
        between("time", seconds, 0, float("inf"), low_open=True)
        deadline = time.time() + seconds
    target = pick(device)
    at_a_time = local.slots(target, jobs)
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
    where = f"on Ray at {address!r}" if address else f"on {target.label}, {at_a_time} at a time"
    say(f"{plan.name}: {len(plan.rows)} rows, {len(states) - failed} finished{before}; {len(left)} to do, {where}")

    turn = threading.Lock()  # rows end on several threads

    def settled(job: Job, outcome: str) -> None:
        with turn:
            states[job.row.identifier] = outcome
            count = sum(state in (DONE, FAILED) for state in states.values())
            if outcome in (DONE, FAILED):
                say(f"{count} of {len(plan.rows)}  {_ended(job.row, out)}")

    if left and address is not None:
        cluster.run(left, address, settled)
    elif left:
        local.run(left, target, at_a_time, settled)
    finished, failed = (sum(state == wanted for state in states.values()) for wanted in (DONE, FAILED))
    report = Report(finished, failed, len(plan.rows) - finished - failed)
    more = "; the same command goes on with them" if report.left else ""
    say(f"{report.finished} finished, {report.failed} failed, {report.left} left{more}. Records: {out}")
    return report


def listing(plan: Plan, out: str | Path) -> Table:
    """The rows of a plan, what each costs in images, and how far it is; trains nothing."""
    try:
        sizes = _sizes(plan)
    except DataError:  # not prepared: the rows can be shown all the same
        sizes = {}
    rows, total = [], 0
    for row in plan.rows:
        images = sizes.get(_part(row), 0) * row.recipe.epochs
        total += images
        record = worker.result(row, Path(out))
        state = "to do" if record is None else "failed" if record.failure else "finished"
        if record is None and (Path(out) / "rows" / row.identifier / "checkpoint.pt").exists():
            state = "begun"
        cost = f"{images:,}" if sizes else "?"
        rows.append([row.short, row.title, row.recipe.seed, row.recipe.epochs, cost, state, row.identifier])
    cost = f"{total:,} training images in all epochs together" if sizes else "the data is not prepared, so not counted"
    caption = f"{plan.name}: {len(plan.rows)} rows; {cost}. {plan.question}".strip()
    columns = ["network", "setting", "seed", "epochs", "images", "state", "row"]
    return Table(columns, rows, caption)


def _sizes(plan: Plan) -> dict[tuple[object, ...], int]:
    """Training images of each part of the data that the plan uses; none is read."""
    return {_part(row): material.count(row) for row in {_part(row): row for row in plan.rows}.values()}


def _part(row: Row) -> tuple[object, ...]:
    return (row.data, row.classes, row.per_class, row.source, row.target, row.watch, row.watched)


def _ended(row: Row, out: Path) -> str:
    record = results.load(row.name, out)
    if record.failure:
        return f"{row}: failed: {record.failure}"
    scores = ", ".join(f"{name} {score.accuracy:.1%}" for name, score in record.scores.items())
    return f"{row}: {scores}; {record.clocks.training:.0f} s of training"
