"""The submission file: round trip, numeric order, whole or not at all; every kind of oddity named with its line."""

import os

import numpy as np
import pytest

from tests import tiny
from tinylab.evaluation import (
    Predictions,
    mix_files,
    predict,
    read_submission,
    score_submission,
    truth,
    write_submission,
)
from tinylab.support.errors import DataError, FileError, InvalidInputError

CLASSES = ("n03", "n01", "n02")
FILES = ("test_10.JPEG", "test_9.JPEG", "test_0.JPEG")


def predictions(files=FILES, classes=3, said=(0, 1, 2)):
    probabilities = np.eye(classes, dtype=np.float32)[list(said)]
    return Predictions(np.array(files), probabilities, None)


def test_the_file_is_in_numeric_order_and_says_the_wnid(tmp_path):
    path = write_submission(tmp_path / "new" / "p.txt", predictions(), CLASSES)
    assert path.read_text() == "test_0.JPEG n02\ntest_9.JPEG n01\ntest_10.JPEG n03\n"
    assert read_submission(path, CLASSES, FILES) == {"test_0.JPEG": "n02", "test_9.JPEG": "n01", "test_10.JPEG": "n03"}


def test_round_trip_of_a_network_keeps_its_accuracy_whatever_the_order_of_rows(tmp_path):
    data = tiny.dataset()
    found = predict(tiny.network(), data.validation, data.normalisation)
    rows = np.random.default_rng(0).permutation(len(found.files))
    shuffled = Predictions(found.files[rows], found.probabilities[rows], None)
    path = write_submission(tmp_path / "p.txt", shuffled, data.classes)
    true = truth(data.validation, data.classes)
    assert score_submission(read_submission(path, data.classes, true), true) == found.accuracy
    mixed = write_submission(tmp_path / "m.txt", mix_files(found, "shuffled"), data.classes)
    assert read_submission(mixed, data.classes) != read_submission(path, data.classes)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = write_submission(tmp_path / "p.txt", predictions(), CLASSES)
    before = path.read_bytes()

    def full(*names):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(FileError, match="No space left"):
        write_submission(path, predictions(said=(1, 1, 1)), CLASSES)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["p.txt"]


@pytest.mark.parametrize(
    ("files", "classes", "said"),
    [
        (("a b.JPEG", "b", "c"), CLASSES, "'a b.JPEG' has spaces"),
        (("a", "a", "c"), CLASSES, "file name 'a' occurs 2 times"),
        (FILES, ("n1", "n1", "n2"), "wnid 'n1' occurs 2 times"),
        (FILES, ("n1", "n2"), "2 classes do not fit predictions for 3"),
    ],
)
def test_writing_refuses(tmp_path, files, classes, said):
    with pytest.raises(InvalidInputError, match=said):
        write_submission(tmp_path / "p.txt", predictions(files), classes)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("test_0.JPEG n01\ntest_1.JPEG n04\n", r"p\.txt, line 2: class 'n04' is unknown, did you mean 'n0"),
        ("test_0.JPEG n01\ntest_0.JPEG n01\n", "line 2: test_0.JPEG was there already, in line 1"),
        ("test_0.JPEG\n", "line 1: 'test_0.JPEG' is not 'file wnid'"),
        ("test_0.JPEG n01\n", r"test_1\.JPEG has no line \(1 of 2 are missing\)"),
        ("test_1.JPEG n01\ntest_2.JPEG n01\n", r"line 2: no image is called test_2\.JPEG"),
    ],
)
def test_reading_is_strict(tmp_path, text, said):
    path = tmp_path / "p.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=said) as error:
        read_submission(path, CLASSES, ["test_0.JPEG", "test_1.JPEG"])
    assert "\n" not in str(error.value)


def test_reading_what_is_no_text_or_not_there(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(DataError, match="not a text in UTF-8"):
        read_submission(tmp_path / "x.jpg", CLASSES)
    with pytest.raises(DataError, match="No such file"):
        read_submission(tmp_path / "absent.txt", CLASSES)


def test_scores_go_by_file_name():
    true = {"a": "n1", "b": "n2", "c": "n2", "d": "n1"}
    assert score_submission({"d": "n1", "c": "n2", "b": "n1", "a": "n1"}, true) == 0.75
    with pytest.raises(DataError, match=r"c has no answer \(2 of 4"):
        score_submission({"a": "n1", "b": "n2"}, true)
    with pytest.raises(DataError, match="e has no label"):
        score_submission({**true, "e": "n1"}, true)
    with pytest.raises(DataError, match="no image to score"):
        score_submission({}, {})


def test_the_truth_of_an_unlabelled_split_is_unknown():
    data = tiny.dataset()
    with pytest.raises(InvalidInputError, match="'test' has no labels"):
        truth(data.test, data.classes)
