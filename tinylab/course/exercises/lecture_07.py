"""Checks of lecture 07, overfitting: the turning point, skills across numbers of classes, a check of one's own."""

from typing import Any

import numpy as np

from tinylab import diagnosis
from tinylab.course.exercises import counted, exercise, function


@exercise("07.2")
def turning_epoch(answer: Any) -> str | None:
    """1.90, 1.10, 1.60, 1.40, 1.30, 1.32, 1.45, 1.52, 1.60 turns at epoch 5; epoch 2 was luck."""
    hints = {
        2: "That is the lowest number. Do the epochs before and after it agree?",
        4: "Epochs count from 1; or is the next one lower?",
        6: "Close: of the two neighbours in the valley, which is lower?",
        9: "That is the last epoch. Where is the valley?",
    }
    return counted(answer, 5, hints, "Cross out the epoch that its neighbours contradict, then take the lowest.")


@exercise("07.3")
def same_skill_on_five_classes(answer: Any) -> str | None:
    """The accuracy on 5 classes with the skill of 0.2435 on 200: 0.2 + 0.8 · (0.2435 - 0.005) / 0.995."""
    skill = (0.2435 - 1 / 200) / (1 - 1 / 200)
    right = 0.2 + 0.8 * skill
    hints = {
        0.2435: "On five classes guessing alone gives 20 %. How much of the rest, up to 100 %, is learned?",
        0.2435 * 40: "An accuracy above 1? Skill is not a multiple of guessing, but a share of what guessing leaves.",
        skill: "That is the skill. Which accuracy on five classes has it?",
        100 * right: "In percent that is right. Give it as a share, between 0 and 1.",
    }
    walk = "First the skill: (accuracy - 1/C) / (1 - 1/C) with C = 200. Then solve for the accuracy with C = 5."
    return counted(answer, right, hints, walk, relative=1e-3)


def _overfits(validation: list[float], train: list[float]) -> bool:
    """The rule of the exercise."""
    turn = diagnosis.turning_point(validation)
    return turn.turned and train[-1] < train[turn.epoch - 1]


@exercise("07.4")
def own_check(answer: Any, random: np.random.Generator) -> str | None:
    """overfits(validation, train): the validation loss turns by the lecture's rule while the training loss falls."""
    overfits = function(answer)
    falls = [2.0, 1.6, 1.2, 0.9, 0.6, 0.4, 0.3, 0.2]
    cases = [
        ([2.0, 1.5, 1.4, 1.3, 1.35, 1.5, 1.6, 1.7], falls, "a validation loss that rises for three epochs"),
        ([2.0, 1.5, 1.4, 1.3, 1.25, 1.2, 1.1, 1.0], falls, "a validation loss that falls to the end"),
        ([2.0, 1.5, 1.4, 1.3, 1.2, 1.2, 1.2, 1.7], falls, "a single bad epoch at the end"),
        ([2.0, 1.5, 1.4, 1.3, 1.3, 1.31, 1.31, 1.32], falls, "a rise of less than 2 % in two of the three"),
        ([2.0, 0.9, 1.6, 1.5, 1.4, 1.3, 1.2, 1.1], falls, "a lucky epoch that its neighbours contradict"),
        ([2.0, 1.4, 1.2, 1.4, 1.6, 1.5, 1.6, 1.55], falls, "a best epoch that lies far back"),
    ]
    rises = [2.0, 1.6, 1.2, 0.9, 1.2, 1.5, 1.8, 1.9]
    cases.append((cases[0][0], rises, "a training loss that rises, too"))
    for end in (0.0, 0.0, 0.8, 0.8):
        valley = 1.2 + np.abs(np.linspace(-0.8, end, 10)) + random.uniform(0, 0.05, 10)
        drawn = np.insert(valley, 2, random.uniform(0.5, 0.8))  # a lucky epoch
        falling = np.sort(random.uniform(0.2, 2, 11))[::-1]
        cases.append((drawn.round(3).tolist(), falling.round(3).tolist(), "another run"))
    for validation, train, what in cases:
        given = overfits(list(validation), list(train))
        if not isinstance(given, bool) and not type(given).__name__.startswith("bool"):
            return f"Return True or False; {given!r} came."
        expected = _overfits(validation, train)
        if bool(given) != expected:
            return f"Try it with {what}: {validation}, training {train}. Your answer there is {bool(given)}."
    return None
