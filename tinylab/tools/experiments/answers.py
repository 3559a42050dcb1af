"""What a plan's records answer so far: its settings side by side, then how near they come to the report."""

from collections.abc import Sequence
from pathlib import Path

from tinylab.course import results
from tinylab.course.results import Record
from tinylab.tools.experiments.plans import Plan


def answer(plan: Plan, folder: str | Path) -> str:
    """What the records of `plan` in `folder` say so far, and how many rows are missing."""
    names = {row.name for row in plan.rows}
    found = [record for record in results.load_all(folder) if record.name in names]
    if not found:
        return f"{plan.name}: not yet run. {plan.question}".strip()
    missing = len(plan.rows) - len(found)
    parts = [plan.question, summary(plan.name, found)]
    parts += [f"{missing} of {len(plan.rows)} rows {'is' if missing == 1 else 'are'} not yet run."] if missing else []
    return "\n\n".join(filter(None, parts))


def summary(plan: str, records: Sequence[Record]) -> str:
    """What those of `records` that are of the plan say: its settings side by side, then the fingerprints.

    Raises InvalidInputError if none is.
    """
    parts = [str(results.plan_table(plan, records))]
    if rows := results.fingerprints([record for record in records if record.plan == plan]):
        parts += [str(results.fingerprint_table(rows)), "\n".join(results.conclusions(rows))]
    return "\n\n".join(parts)
