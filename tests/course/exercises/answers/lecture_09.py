"""Lecture 09: what is right, and the hint for each typical mistake."""

from tests.course.exercises.answers import PROSE


def share(answers, true):
    return sum(answers[file] == wnid for file, wnid in true.items()) / len(true)


RIGHT = [
    ("09.1", " Files "),
    ("09.2", 50),
    ("09.3", share),
    ("09.4", lambda files, predictions: dict(zip(sorted(files), predictions, strict=True))),
    ("09.5", PROSE + " Names of files and classes are written down; preprocessing acts before."),
]

WRONG = [
    ("09.1", "classes", "stay connected"),
    ("09.1", "dropout", "same ones, to other questions"),
    ("09.1", "preprocessing", "same ones, to other questions"),
    ("09.1", "luck", "one of the four"),
    ("09.2", 0.005, "a share"),
    ("09.2", 0, "of their own class"),
    ("09.2", 1, "keep their own place"),
    ("09.2", 200, "number of classes"),
    ("09.2", 5000, "not two"),
    ("09.2", 49, "1 in the number of classes"),
    ("09.3", lambda answers, true: sum(answers[f] == true[f] for f in true), "What share"),
    (
        "09.3",
        lambda answers, true: sum(a == t for a, t in zip(answers.values(), true.values(), strict=False)) / 4,
        "by pos",
    ),
    ("09.3", lambda answers, true: 1.0, "it gives 1"),
    (
        "09.3",
        lambda answers, true: sum(true.get(f) == answers[f] for f in answers) / len(answers),
        "Divide by the files",
    ),
    ("09.3", lambda answers: 1, "TypeError"),
    ("09.4", lambda files, predictions: dict(zip(files, predictions, strict=True)), "the mistake itself"),
    ("09.4", lambda files, predictions: predictions, "a dictionary"),
    ("09.4", lambda files, predictions: dict.fromkeys(files, 0), "In which order"),
    ("09.5", "Too short.", "at least 15 words"),
    ("09.5", PROSE, "about the image"),
    ("09.5", PROSE + " The file is named.", "about the class"),
    ("09.5", PROSE + " File and class are named.", "before there is any answer"),
]
