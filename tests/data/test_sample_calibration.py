"""The generated sample teaches what it is meant to: pixels alone say little, and Model 1 overfits until it is helped.

Ten classes of fifty training images, ten to twelve passes over them by Model 1 with half of its filters: half a minute
of two CPU cores. What was measured (on 200 validation images) stands beside each bound; the bounds leave room for other
processors.
"""

from dataclasses import replace

import numpy as np
import pytest

from tinylab import models
from tinylab.data import load
from tinylab.data.dataset import Dataset
from tinylab.data.split import Split
from tinylab.training import train
from tinylab.training.history import History
from tinylab.training.recipe import RECIPES, Recipe

CLASSES, PER_CLASS, BATCH = 10, 50, 16


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load("sample", classes=CLASSES, per_class=PER_CLASS, cache=tmp_path_factory.mktemp("calibration"))


def standardised(split: Split, mean: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels as rows, float64 (N, 12288), and labels (N,): numpy only, apart from the package's own way."""
    images, labels = split.take(np.arange(len(split)))
    assert labels is not None
    return ((images - mean) / scale).reshape(len(images), -1), labels


@pytest.fixture(scope="module")
def pixels(data: Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    images = data.train.take(np.arange(len(data.train)))[0].astype(float)
    mean = images.mean(axis=0)
    scale = (images - mean).std(axis=(0, 1, 2))
    return *standardised(data.train, mean, scale), *standardised(data.validation, mean, scale)


def test_nearest_neighbours_on_pixels_stay_poor(pixels: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]) -> None:
    x, y, queries, truth = pixels
    distances = (x**2).sum(axis=1) - 2 * queries @ x.T  # up to a constant of each query
    for neighbours in (1, 5, 15):
        nearest = y[np.argsort(distances, axis=1)[:, :neighbours]]
        guesses = [np.bincount(votes, minlength=CLASSES).argmax() for votes in nearest]
        assert 0.10 < np.mean(guesses == truth) < 0.27  # measured: 0.21, 0.22, 0.20


def test_a_linear_classifier_on_pixels_stays_poor(
    pixels: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    x, y, queries, truth = pixels
    targets = np.eye(CLASSES)[y] - 1 / CLASSES
    for ridge in (1e3, 1e4, 1e5):
        weights = np.linalg.solve(x @ x.T + ridge * np.eye(len(x)), targets)  # dual form: images instead of pixels
        assert 0.12 < np.mean((queries @ x.T @ weights).argmax(axis=1) == truth) < 0.37  # measured: 0.29, 0.33, 0.31


def run(data: Dataset, recipe: Recipe) -> History:
    """Model 1 at half width with `recipe`, watched on 200 validation images."""
    few, line = data.part(watched=20), models.narrower("model_1", 2)
    return train(models.build(line, CLASSES, seed=0), few, recipe, eval_split="validation").finish()


def test_model_1_overfits_and_regularisation_recovers_it(data: Dataset) -> None:
    plain = run(data, replace(RECIPES["plain"], epochs=10, batch=BATCH))
    losses = plain.column("eval_loss")
    late = np.mean(plain.column("eval_accuracy")[-3:])
    assert plain.last.train_loss < 0.3  # measured: 0.04
    assert plain.last.train_accuracy > 0.9  # 0.99
    assert plain.best.epoch <= 7  # 3
    assert losses[-1] > 1.1 * min(losses)  # 1.57 against 1.31: it turned
    assert 0.35 < late < 0.65  # 0.56

    well = run(data, replace(RECIPES["well"], epochs=12, batch=BATCH, learning_rate=2e-3))
    assert well.last.eval_loss < 1.05 * well.best.eval_loss  # it did not
    assert well.last.eval_loss < 0.9 * min(losses)  # measured: 1.00 against 1.31
    assert well.last.eval_accuracy > late  # 0.62 against 0.56
