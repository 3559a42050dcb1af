"""What a plan's records answer so far: its settings side by side, then how near they come to the report."""

from pathlib import Path

from tinylab.course import results
from tinylab.tools.experiments.plans import Plan


def answer(plan: Plan, folder: str | Path) -> str:
    """What the records of `plan` in `folder` say so far: its settings side by side, then the fingerprints."""
    names = {row.name for row in plan.rows}
    found = [record for record in results.load_all(folder) if record.name in names]
    if not found:
        return f"{plan.name}: not yet run. {plan.question}".strip()
    rows = results.fingerprints(found)
    parts = [plan.question, results.plan_table(plan.name, found)]
    parts += [results.fingerprint_table(rows), "\n".join(results.conclusions(rows))] if rows else []
    missing = len(plan.rows) - len(found)
    parts += [f"{missing} of {len(plan.rows)} rows {'is' if missing == 1 else 'are'} not yet run."] if missing else []
    return "\n\n".join(str(part) for part in parts if str(part))
