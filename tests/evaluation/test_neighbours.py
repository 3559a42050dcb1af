"""The neighbours' baseline against brute force in numpy."""

import numpy as np
import pytest
import torch

from tests import tiny
from tinylab.evaluation import baseline, nearest_neighbours, neighbours
from tinylab.support.errors import InvalidInputError


def brute_force(train_x, train_y, query_x, k):
    train, query = (x.reshape(len(x), -1).astype(np.int64) for x in (train_x, query_x))
    answers = []
    for q in query:
        order = np.argsort(((train - q) ** 2).sum(axis=1), kind="stable")[:k]
        near = train_y[order].tolist()
        votes = {label: near.count(label) for label in near}  # insertion order: nearest first
        answers.append(max(votes, key=votes.get))  # the first of those with most votes
    return answers


@pytest.mark.parametrize("levels", [256, 2])  # 2: many images at equal distance
def test_neighbours_equal_brute_force(levels, monkeypatch):
    monkeypatch.setattr(neighbours, "_TRAIN_CHUNK", 16)
    monkeypatch.setattr(neighbours, "_QUERY_CHUNK", 7)
    rng = np.random.default_rng(0)
    train_x = rng.integers(0, levels, (50, 2, 2, 3), dtype=np.uint8)
    query_x = rng.integers(0, levels, (20, 2, 2, 3), dtype=np.uint8)
    train_y = rng.integers(0, 4, 50)
    for k in (1, 2, 3, 5, 50):
        found = nearest_neighbours(train_x, train_y, query_x, k)
        assert found.tolist() == brute_force(train_x, train_y, query_x, k)
        assert found.dtype == np.int64


def test_neighbours_are_exact_where_float32_is_not():
    """Two bright images whose squared distances differ by 1 in 800 million."""
    query = np.zeros((1, 64, 64, 3), np.uint8)
    train = np.full((2, 64, 64, 3), 255, np.uint8)
    train[:, 0, 0, 0] = 1, 0
    assert nearest_neighbours(train, np.array([0, 1]), query).tolist() == [1]
    assert nearest_neighbours(train[::-1], np.array([0, 1]), query).tolist() == [0]


def test_neighbours_take_tensors_and_no_queries():
    x = np.arange(12, dtype=np.uint8).reshape(4, 3)
    assert nearest_neighbours(torch.from_numpy(x), np.arange(4), torch.from_numpy(x)).tolist() == [0, 1, 2, 3]
    assert nearest_neighbours(x, np.arange(4), x[:0]).tolist() == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"k": 5}, "k 5 .* 1 to 4"),
        ({"train_y": np.arange(3)}, "3 labels"),
        ({"query_x": np.zeros((2, 4), np.uint8)}, r"queries \(2, 4\)"),
    ],
)
def test_neighbours_refuse(change, said):
    x = np.zeros((4, 3), np.uint8)
    with pytest.raises(InvalidInputError, match=said):
        nearest_neighbours(**({"train_x": x, "train_y": np.arange(4), "query_x": x} | change))


def test_the_baseline_chooses_k_on_development_and_measures_on_validation(monkeypatch):
    monkeypatch.setattr(neighbours, "KS", (1, 3, 7, 1000))
    data = tiny.dataset()
    (x, y), (asked, right), (held, truth) = (
        split.take(np.arange(len(split))) for split in (data.train, data.development, data.validation)
    )
    found = baseline(data)
    each = {k: np.mean(brute_force(x, y, asked, k) == right) for k in (1, 3, 7)}
    assert found.development == pytest.approx(each)
    assert each[found.k] == max(each.values())
    assert found.accuracy == pytest.approx(np.mean(brute_force(x, y, held, found.k) == truth))
    assert found.count == 30
    assert found.level == ("k-NN", found.accuracy)
    monkeypatch.setattr(neighbours, "MOST", 10)
    assert baseline(data).count == 10
