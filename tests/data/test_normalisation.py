"""A normalisation that is kept equals the fitted one, and is never that of other images."""

import dataclasses
import os

import numpy as np
import pytest

from tests import tiny
from tinylab.data import normalisation
from tinylab.data.normalisation import Normalisation
from tinylab.data.split import Split


@pytest.fixture
def split(tmp_path, monkeypatch) -> Split:
    """The training images of a small data set, in a file as a cache has them."""
    monkeypatch.setattr(normalisation, "KEPT_FROM", 10)
    made = tiny.dataset().train
    np.save(tmp_path / "train_images.npy", made.images)
    return dataclasses.replace(made, images=np.load(tmp_path / "train_images.npy", mmap_mode="c"))


def _kept(tmp_path):
    return sorted(tmp_path.glob("*normalisation*"))


def _same(one: Normalisation, other: Normalisation) -> bool:
    return np.array_equal(one.mean, other.mean) and np.array_equal(one.scale, other.scale)


def test_the_second_time_nothing_is_fitted(split, tmp_path, monkeypatch):
    first = normalisation.fitted(split)
    assert _same(first, Normalisation.fit(split))
    assert len(_kept(tmp_path)) == 1
    monkeypatch.setattr(Normalisation, "fit", lambda split: pytest.fail("fitted again"))
    assert _same(normalisation.fitted(split), first)


def test_other_images_of_the_same_file_have_their_own(split, tmp_path):
    normalisation.fitted(split)
    fewer = dataclasses.replace(split, index=split.index[:-20])
    assert _same(normalisation.fitted(fewer), Normalisation.fit(fewer))
    assert len(_kept(tmp_path)) == 2


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half a file", "cut", "other shape", "not finite", "a pickle"])
def test_a_damaged_file_is_fitted_and_written_anew(split, tmp_path, content):
    right = normalisation.fitted(split)
    [path] = _kept(tmp_path)
    if content == "cut":
        content = path.read_bytes()[:-300]
    elif content in ("other shape", "not finite", "a pickle"):
        wrong = {"other shape": np.ones((2, 2, 3)), "not finite": right.mean * np.nan, "a pickle": np.array([{}])}
        np.savez(path, mean=wrong[content], scale=right.scale)
    if isinstance(content, bytes):
        path.write_bytes(content)
    assert _same(normalisation.fitted(split), right)
    assert _same(normalisation._read(path, split.images.shape[1:]), right)


def test_a_folder_that_cannot_be_written_is_no_obstacle(split, tmp_path, monkeypatch):
    def refuses(*arguments: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(os, "replace", refuses)
    assert _same(normalisation.fitted(split), Normalisation.fit(split))
    assert list(tmp_path.iterdir()) == [tmp_path / "train_images.npy"]


def test_few_images_and_images_from_nowhere_leave_no_file(split, tmp_path, monkeypatch):
    normalisation.fitted(tiny.dataset().train)
    monkeypatch.setattr(normalisation, "KEPT_FROM", 10_000)
    normalisation.fitted(split)
    assert _kept(tmp_path) == []
