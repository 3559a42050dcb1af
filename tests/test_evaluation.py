"""Predictions, confusion and the neighbours' baseline against brute force in numpy."""

import copy

import numpy as np
import pytest
import torch

from tests import tiny
from tinylab import evaluation
from tinylab.errors import InvalidInputError
from tinylab.evaluation import Predictions, confusion, nearest_neighbours, predict, worst_pairs


@pytest.fixture(scope="module")
def data():
    return tiny.dataset()


def test_predictions_equal_one_image_at_a_time_in_float64(data):
    model = tiny.network()
    model.train()
    result = predict(model, data.validation, data.normalisation)
    assert model.training
    exact = copy.deepcopy(model).double().eval()
    images, labels = data.validation.take(np.arange(30))
    for row, image in enumerate(images):
        x = (image.astype(np.float64) - data.normalisation.mean) / data.normalisation.scale
        p = exact(torch.from_numpy(x.transpose(2, 0, 1))[None]).softmax(dim=1)[0].detach().numpy()
        np.testing.assert_allclose(result.probabilities[row], p, rtol=1e-4)
        assert result.by_file()[result.files[row]] == p.argmax()
    assert result.probabilities.dtype == np.float32
    assert result.files.tolist() == data.validation.names.tolist()
    assert result.accuracy == (result.classes == labels).mean()


def test_several_chunks_keep_their_order(data, monkeypatch):
    whole = predict(tiny.network(), data.validation, data.normalisation)
    monkeypatch.setattr(evaluation, "EVALUATION_BATCH", 7)
    parts = predict(tiny.network(), data.validation, data.normalisation)
    np.testing.assert_allclose(parts.probabilities, whole.probabilities, rtol=1e-4)


def test_unlabelled_images_are_predicted_but_not_scored(data):
    result = predict(tiny.network(), data.test, data.normalisation)
    assert result.labels is None
    assert set(result.by_file()) == set(data.test.names)
    with pytest.raises(InvalidInputError, match="no labels"):
        _ = result.accuracy


def test_accuracy_by_hand():
    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], np.float32)
    assert Predictions(np.array(["a", "b", "c"]), p, np.array([0, 1, 1])).accuracy == pytest.approx(2 / 3)


# ---- confusion


def test_confusion_by_hand():
    matrix = confusion(np.array([0, 0, 1, 2, 2, 2]), np.array([0, 1, 1, 0, 0, 2]), 4)
    assert matrix.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [2, 0, 1, 0], [0, 0, 0, 0]]
    assert matrix.dtype == np.int64


def test_confusion_equals_counting():
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 9, (2, 500))
    expected = np.zeros((9, 9), int)
    for true, called in zip(labels, predicted, strict=True):
        expected[true, called] += 1
    np.testing.assert_array_equal(confusion(labels, predicted, 9), expected)


@pytest.mark.parametrize(
    ("labels", "predicted", "said"),
    [
        ([0, -1], [0, 0], "label -1 is no class"),
        ([0, 1], [0, 3], "prediction 3 is no class. Allowed: 0 to 2"),
        ([0, 1], [0], "do not pair up"),
    ],
)
def test_confusion_refuses(labels, predicted, said):
    with pytest.raises(InvalidInputError, match=said):
        confusion(np.array(labels), np.array(predicted), 3)


def test_worst_pairs_by_hand():
    matrix = np.array([[8, 2, 0], [5, 4, 1], [0, 0, 10]])
    table = worst_pairs(matrix, ["cat", "dog", "eel"], 3)
    expected = [["dog", "cat", "5", "50.0 %"], ["cat", "dog", "2", "20.0 %"], ["dog", "eel", "1", "10.0 %"]]
    assert table.rows == expected
    assert worst_pairs(matrix, ["cat", "dog", "eel"], 1).rows == expected[:1]
    assert worst_pairs(np.eye(3, dtype=int), ["cat", "dog", "eel"]).rows == []
    with pytest.raises(InvalidInputError, match="does not fit 2 names"):
        worst_pairs(matrix, ["cat", "dog"])


# ---- nearest neighbours


def brute_force(train_x, train_y, query_x, k):
    train, query = (x.reshape(len(x), -1).astype(np.int64) for x in (train_x, query_x))
    answers = []
    for q in query:
        order = np.argsort(((train - q) ** 2).sum(axis=1), kind="stable")[:k]
        near = train_y[order].tolist()
        votes = {label: near.count(label) for label in near}  # insertion order: nearest first
        answers.append(max(votes, key=votes.get))  # the first of those with most votes
    return answers


@pytest.mark.parametrize("k", [1, 2, 3, 5, 50])
@pytest.mark.parametrize("levels", [256, 2])  # 2: many images at equal distance
def test_neighbours_equal_brute_force(k, levels, monkeypatch):
    monkeypatch.setattr(evaluation, "_TRAIN_CHUNK", 16)
    monkeypatch.setattr(evaluation, "_QUERY_CHUNK", 7)
    rng = np.random.default_rng(k)
    train_x = rng.integers(0, levels, (50, 2, 2, 3), dtype=np.uint8)
    query_x = rng.integers(0, levels, (20, 2, 2, 3), dtype=np.uint8)
    train_y = rng.integers(0, 4, 50)
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
        ({"k": 0}, "k 0 .* 1 to 4"),
        ({"k": 5}, "k 5 .* 1 to 4"),
        ({"train_y": np.arange(3)}, "3 labels"),
        ({"query_x": np.zeros((2, 4), np.uint8)}, r"queries \(2, 4\)"),
    ],
)
def test_neighbours_refuse(change, said):
    x = np.zeros((4, 3), np.uint8)
    with pytest.raises(InvalidInputError, match=said):
        nearest_neighbours(**({"train_x": x, "train_y": np.arange(4), "query_x": x} | change))
