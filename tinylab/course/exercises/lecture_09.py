"""Checks of lecture 09, the test set: luck, scores by file name, sorted names."""

from typing import Any

import numpy as np

from tinylab.course.exercises import counted, exercise, function, number


@exercise("09.2")
def right_by_luck(answer: Any) -> str | None:
    """Perfect answers, shuffled over 10,000 files of 200 equal classes: 50 are right on average."""
    if 0 < number(answer) < 1:
        return "That is a share. How many of the 10,000 is it?"
    hints = {
        0: "Some answers meet another file of their own class.",
        1: "So many keep their own place. But an answer is also right for any other file of its class.",
        200: "That is the number of classes. What is the chance that an answer meets its own class?",
        5000: "There are 200 classes, not two.",
    }
    return counted(answer, 50, hints, "Chance of each answer: 1 in the number of classes. Times how many answers?")


@exercise("09.3")
def score_by_name(answers_to_score: Any, random: np.random.Generator) -> str | None:
    """score(answers, true): share of the files of `true` whose answer is right; both are dictionaries."""
    score = function(answers_to_score)
    true = {"a_0": "cat", "a_1": "dog", "a_2": "cat", "a_10": "owl"}
    answers = {"a_10": "owl", "a_2": "dog", "a_1": "dog", "a_0": "cat"}  # three right, in another order
    result = number(score(dict(answers), dict(true)))
    if result == 3:
        return "So many are right. What share of the files is that?"
    if result == 0.25:
        return "That goes by position. Look each file of `true` up in `answers`."
    if result != 0.75:
        return f"Three of four answers are right in our trial, however they are ordered; it gives {result:g}."
    one_more = dict(answers, extra="cat")
    if number(score(one_more, dict(true))) != 0.75:
        return "An answer for a file that nobody asked about changes the score. Divide by the files of `true`."
    files = [f"b_{number}" for number in random.permutation(20)]
    true = {file: str(wnid) for file, wnid in zip(files, random.integers(0, 3, 20), strict=True)}
    answers = {file: str(random.integers(0, 3)) for file in random.permutation(files).tolist()}
    expected = sum(answers[file] == true[file] for file in files) / 20
    result = number(score(dict(answers), dict(true)))
    if not np.isclose(result, expected):
        return f"Of twenty other files {expected:.0%} are right; it gives {result:g}."
    return None


@exercise("09.4")
def unsorted(answer: Any, random: np.random.Generator) -> str | None:
    """by_file(files, predictions): predictions were made in the order of sorted(files)."""
    by_file = function(answer)
    files = [f"test_{number}.JPEG" for number in range(int(random.integers(12, 40)))]
    classes = random.permutation(len(files)).tolist()
    expected = dict(zip(sorted(files), classes, strict=True))
    result = by_file(list(files), [expected[file] for file in sorted(files)])
    if not isinstance(result, dict):
        return "Return a dictionary: {file: prediction}."
    if result == dict(zip(files, classes, strict=True)):
        return "That is the mistake itself: the k-th prediction belongs to the k-th of the *sorted* names."
    return (
        None
        if result == expected
        else "In which order did the network see the files? Pair that order with predictions."
    )
