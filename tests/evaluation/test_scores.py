"""Predictions against float64, one image at a time; confusion and class profiles against counting."""

import copy

import numpy as np
import pytest
import torch

from tests import tiny
from tinylab.evaluation import Predictions, class_accuracy, class_shares, confusion, predict, scores
from tinylab.support.errors import InvalidInputError


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
    monkeypatch.setattr(scores, "EVALUATION_BATCH", 7)
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


# ---- profiles


def test_profiles_by_hand():
    matrix = np.array([[3, 1, 0, 0], [0, 0, 0, 0], [2, 0, 2, 0], [0, 0, 0, 2]])
    np.testing.assert_array_equal(class_accuracy(matrix), [0.75, np.nan, 0.5, 1.0])
    np.testing.assert_array_equal(class_shares(matrix), [0.5, 0.1, 0.2, 0.2])
    for profile in (class_accuracy, class_shares):
        with pytest.raises(InvalidInputError, match=r"\(2, 3\) is no confusion matrix"):
            profile(np.zeros((2, 3), int))
