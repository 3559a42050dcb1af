"""Sweeps: a plan of many trainings, run by one command, resumable at any instant, with a record of each.

plans    a small TOML file becomes rows: networks × settings × seeds; strict, nothing in it is executed
rows     what a row is, and its identifier
material images, network and run of a row; pre-trained networks that rows begin with
worker   one row, from its last checkpoint on, until it ends or the time is up; its record
cluster  rows on several machines, through Ray
pace     how fast this machine trains a network
running  what is done and what is left, one row after the other; the listing of a plan with its cost
answers  which settings leave the report's accuracies and the shape of Figure 2

    plan = experiments.load("reproduction-10")
    experiments.run(plan, "runs/reproduction-10", seconds=600)  # again and again, until none is left
    print(experiments.answer(plan, "runs/reproduction-10"))
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
