"""Sweeps: a plan of many trainings, run by one command, resumable at any instant, with a record of each.

plans    a small TOML file becomes rows: networks × settings × seeds; strict, nothing in it is executed
rows     what a row is, and its identifier
teaching rows that learn from other rows' networks: which from which, and whose turn it is
material images, network and run of a row; networks that others start from or learn from
worker   one row in a process of its own: checkpoint, deadline, record
local    rows on this machine, one process a device
cluster  rows on several machines, through Ray
running  what is done and what is left; the listing of a plan with its cost
answers  which settings leave the report's accuracies and the shape of Figure 2

    plan = sweeps.load("reproduction-10")
    sweeps.run(plan, "runs/reproduction-10", seconds=600)  # again and again, until none is left
    print(sweeps.answer(plan, "runs/reproduction-10"))
"""

from tinylab.tools.experiments.answers import answer
from tinylab.tools.experiments.plans import Plan, load, names, parse
from tinylab.tools.experiments.rows import Row
from tinylab.tools.experiments.running import Report, listing, run

__all__ = [
    "Plan",
    "Report",
    "Row",
    "answer",
    "listing",
    "load",
    "names",
    "parse",
    "run",
]
