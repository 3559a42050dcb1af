"""Lecture 06: what is right, and the hint for each typical mistake."""

import torch

from tests.course.exercises.answers import PROSE


def step(sign: float = -1.0, share: float = 1.0, use: str = "new"):
    """momentum_step with a slip: the sign, the gradient's share, which velocity moves the weight."""

    def momentum_step(w, g, v, learning_rate, momentum):
        new = momentum * v + share * g
        return w + sign * learning_rate * {"new": new, "old": v, "none": g}[use], new

    return momentum_step


RIGHT = [
    ("06.1", 0.001),
    ("06.2", 10),
    ("06.3", step()),
    ("06.3", lambda w, g, v, rate, mu: [w - rate * (mu * v + g), mu * v + g]),
    ("06.4", " Lower "),
    ("06.5", PROSE + " The rate means different steps, so each gets its own."),
]

WRONG = [
    ("06.1", 0.05, "SGD's step"),
    ("06.1", 0.0001, "too small at first"),
    ("06.1", 50, "m̂ is the first gradient"),
    ("06.2", 9, "newest gradient count"),
    ("06.2", 1, "before this one"),
    ("06.2", 2, "newest two"),
    ("06.2", 90, "Solve for v"),
    ("06.3", step(sign=1.0), "slip of the report"),
    ("06.3", lambda w, g, v, rate, mu: (w, mu * v + (1 - mu) * g), "Adam's running mean"),
    ("06.3", step(share=-1.0), "The velocity first"),
    ("06.3", step(use="none"), "not used"),
    ("06.3", step(use="old"), "not the old one"),
    ("06.3", step(sign=-2.0), "one learning rate times"),
    ("06.3", lambda w, g, v, rate, mu: w, "two things"),
    ("06.3", lambda w, g, v, rate, mu: (torch.zeros(1), v), "keep their shape"),
    ("06.4", "stop", "not tried"),
    ("06.4", "higher", "which end"),
    ("06.4", "left", "Answer"),
    ("06.5", "Because.", "at least 15"),
    ("06.5", PROSE, "Which knob"),
    ("06.5", PROSE + " At this rate.", "be fair"),
    ("06.5", PROSE + " Adam is better at the same rate.", "be fair"),
]
