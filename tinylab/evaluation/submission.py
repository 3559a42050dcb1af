"""The challenge's file of predictions, one line an image: `test_0.JPEG n01443537`.

An image is known by its file name and a class by its wnid, so neither an order of files nor one of classes can come
between writing and scoring. Reading back is strict: whatever is odd is named with its line.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tinylab.data.layout import natural
from tinylab.evaluation.scores import Predictions
from tinylab.support.errors import DataError, InvalidInputError, nearest
from tinylab.support.files import atomic_write

if TYPE_CHECKING:
    from tinylab.data.split import Split


def write_submission(path: str | Path, predictions: Predictions, classes: Sequence[str]) -> Path:
    """Write the predicted class of every image to `path`, in numeric order of the file names; gives the path.

    classes: wnids in the order of the network's outputs. The file appears under its name only when it is whole.
    Raises InvalidInputError for what the format cannot hold, FileError if it cannot be written.
    """
    predictions.check_classes(classes)
    check_names(predictions.files.tolist(), classes)
    said = predictions.by_file()
    lines = [f"{name} {classes[said[name]]}\n" for name in sorted(said, key=natural)]
    atomic_write(path, "".join(lines).encode())
    return Path(path)


def check_names(files: Sequence[str], classes: Sequence[str]) -> None:
    """Raises InvalidInputError for file names or wnids that the format cannot hold: repeated, or with spaces."""
    for kind, names in (("file name", files), ("wnid", classes)):
        for name, count in Counter(names).items():
            if count > 1:
                raise InvalidInputError(f"{kind} {name!r} occurs {count} times. Each may have only one line")
            if name.split() != [name]:
                raise InvalidInputError(f"the name {name!r} has spaces, which separate the columns. Rename it")


def read_submission(path: str | Path, classes: Iterable[str], files: Iterable[str] | None = None) -> dict[str, str]:
    """The wnid for each file name, in the order of the lines.

    classes: the wnids that may occur; files: exactly the file names that should, None: not checked.
    Raises DataError that names the line, and what is wrong with it.
    """
    path, allowed = Path(path), list(classes)
    known = set(allowed)
    answers: dict[str, str] = {}
    line_of: dict[str, int] = {}
    for number, line in enumerate(_lines(path), start=1):
        parts = line.split()
        if len(parts) != 2:
            example = f"test_0.JPEG {allowed[0]}"
            raise DataError(f"{path}, line {number}: {line[:80]!r} is not 'file wnid', such as {example!r}")
        file, wnid = parts
        if wnid not in known:
            what = nearest(wnid, allowed) if len(allowed) <= 20 else f". Allowed: the {len(allowed)} of wnids.txt"
            raise DataError(f"{path}, line {number}: class {wnid!r} is unknown{what}")
        if file in answers:
            raise DataError(f"{path}, line {number}: {file} was there already, in line {line_of[file]}")
        answers[file], line_of[file] = wnid, number
    if files is not None:
        expected = set(files)
        if strange := [file for file in answers if file not in expected]:
            raise DataError(f"{path}, line {line_of[strange[0]]}: no image is called {strange[0]}")
        if missing := sorted(expected - answers.keys(), key=natural):
            raise DataError(f"{path}: {missing[0]} has no line ({len(missing):,} of {len(expected):,} are missing)")
    return answers


def score_submission(answers: Mapping[str, str], true: Mapping[str, str]) -> float:
    """Share of the images of `true` whose wnid is right in `answers`, both by file name, 0..1.

    Raises DataError unless the two name exactly the same files, and at least one.
    """
    if not true:
        raise DataError("there is no image to score. Give the wnid of at least one file")
    for what, here, there in (("no answer", true, answers), ("no label", answers, true)):
        if lacking := sorted(here.keys() - there.keys(), key=natural):
            raise DataError(f"{lacking[0]} has {what} ({len(lacking):,} of {len(here):,} have none)")
    return sum(answers[file] == wnid for file, wnid in true.items()) / len(true)


def truth(split: "Split", classes: Sequence[str]) -> dict[str, str]:
    """The true wnid for each file name of a labelled split; InvalidInputError for one without labels."""
    targets = split.targets
    if targets is None:
        raise InvalidInputError(f"split {split.name!r} has no labels, so nobody here knows the truth. Take another")
    return {file: classes[label] for file, label in zip(split.names.tolist(), targets.tolist(), strict=True)}


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise DataError(f"{path} is not a text in UTF-8, so it holds no predictions") from None
    except OSError as error:
        raise DataError(f"{path}: the predictions cannot be read ({error.strerror}). Check the path") from None
