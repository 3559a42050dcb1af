"""The best permutation of classes finds what was exchanged, and nothing where there is nothing."""

import itertools

import numpy as np

from tests.evaluation import simulated
from tinylab.evaluation import mix_classes
from tinylab.evaluation.relabelling import crossfitted, log_score, matching


def test_matching_equals_trying_all():
    rng = np.random.default_rng(0)
    for _ in range(30):
        p, labels = rng.dirichlet(np.ones(4), 12), rng.integers(0, 4, 12)

        def score(order, p=p, labels=labels):
            return log_score(p)[np.arange(12), np.asarray(order)[labels]].sum()

        found = matching(p, labels)
        assert sorted(found) == [0, 1, 2, 3]
        assert np.isclose(score(found), max(map(score, itertools.permutations(range(4)))))


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
