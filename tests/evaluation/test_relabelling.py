"""The best exchange of classes against trying every permutation."""

import itertools

import numpy as np
import pytest

from tests.evaluation import simulated
from tinylab.evaluation import best_relabelling, matching, mix_classes
from tinylab.evaluation.relabelling import crossfitted
from tinylab.support.errors import InvalidInputError


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6])
def test_assignment_equals_trying_all(size):
    rng = np.random.default_rng(size)
    rows = np.arange(size)
    for _ in range(30):
        gains = rng.normal(size=(size, size)) if rng.random() < 0.7 else rng.integers(-2, 3, (size, size)).astype(float)
        found = best_relabelling(gains)
        assert sorted(found) == list(range(size))
        best = max(gains[rows, list(order)].sum() for order in itertools.permutations(range(size)))
        assert gains[rows, found].sum() == pytest.approx(best)


def test_a_large_permutation_is_found_again():
    order = np.random.default_rng(0).permutation(200)
    gains = np.random.default_rng(1).random((200, 200))
    gains[np.arange(200), order] += 1
    np.testing.assert_array_equal(best_relabelling(gains), order)


@pytest.mark.parametrize("gains", [np.zeros((2, 3)), np.full((2, 2), np.nan)])
def test_assignment_refuses(gains):
    with pytest.raises(InvalidInputError, match="Allowed: finite numbers"):
        best_relabelling(gains)


def test_matching_undoes_a_mix_of_classes():
    honest = simulated.predictions(10, 50, accuracy=0.6)
    mixed = mix_classes(honest, simulated.wnids(10), "shuffled", seed=3)
    restored = mixed.probabilities[:, matching(mixed.probabilities, mixed.labels)]
    np.testing.assert_array_equal(restored, honest.probabilities)


def test_crossfitting_finds_nothing_where_there_is_nothing():
    """Fitted and judged on the same images, noise would be right more often than chance."""
    rng = np.random.default_rng(0)
    noise, labels = rng.dirichlet(np.ones(20), 200).astype(np.float32), np.arange(200) % 20
    fitted = (noise[:, matching(noise, labels)].argmax(axis=1) == labels).mean()
    fair = (crossfitted(noise, labels).argmax(axis=1) == labels).mean()
    assert fitted > 0.1  # 5 % is chance
    assert fair < 0.08
