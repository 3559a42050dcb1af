"""Diagnosis: checks before, during and after training, the turning point of a loss, what one factor changes.

cards      what a check says: `Card` with evidence, cause, remedy and source; `show` lists several
before     on a network and a batch: initial loss, tiny batch, blank input, leakage, frozen parameters, input scale
during     on a network and a batch in the middle of a run: update / weight ratio, divergence, dead units
after      on a history, cheap enough to be called after every epoch: overfitting, underfitting, suspicious
           validation, stopped too early or too late
turning    where the validation loss turns, and where the training loss flattens
ablations  variations of one factor, and accuracies as skills

No check leaves a trace: weights, modes, gradients, optimizer and random state are afterwards what they were before.
Thresholds are named constants in the file of their check. Those marked † are this course's own, calibrated on small
runs; what was measured stands beside them.
"""

from tinylab.diagnosis.ablations import (
    Outcome,
    Setting,
    effect,
    one_factor,
    outcome,
    skill,
    skills,
    table,
    with_batch_norm,
)
from tinylab.diagnosis.after import (
    after,
    overfitting,
    stopped_too_early,
    stopped_too_late,
    suspicious_validation,
    underfitting,
)
from tinylab.diagnosis.before import blank_input, frozen_parameters, initial_loss, input_scale, leakage, tiny_batch
from tinylab.diagnosis.cards import Card, Cards, show
from tinylab.diagnosis.during import dead_units, divergence, update_ratio
from tinylab.diagnosis.turning import Flattening, Turning, flattening, turning_point

__all__ = [
    "Card",
    "Cards",
    "Flattening",
    "Outcome",
    "Setting",
    "Turning",
    "after",
    "blank_input",
    "dead_units",
    "divergence",
    "effect",
    "flattening",
    "frozen_parameters",
    "initial_loss",
    "input_scale",
    "leakage",
    "one_factor",
    "outcome",
    "overfitting",
    "show",
    "skill",
    "skills",
    "stopped_too_early",
    "stopped_too_late",
    "suspicious_validation",
    "table",
    "tiny_batch",
    "turning_point",
    "underfitting",
    "update_ratio",
    "with_batch_norm",
]
