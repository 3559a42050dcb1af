"""What luck explains, against exact fractions and brute force."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import binomtest

from tinylab.evaluation import binomial_tail, dependence, images_needed, paired_test
from tinylab.support.errors import InvalidInputError


def test_binomial_tail_equals_exact_fractions():
    for hits, trials, chance in ((3, 10, 0.25), (10, 10, 0.5), (1, 60, 0.005), (45, 150, 0.1)):
        p = Fraction(chance)
        exact = sum(math.comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in range(hits, trials + 1))
        assert binomial_tail(hits, trials, chance) == pytest.approx(float(exact), rel=1e-9)


def test_binomial_tail_at_its_ends():
    assert binomial_tail(0, 10, 0.3) == 1.0
    assert binomial_tail(11, 10, 0.3) == 0.0
    assert binomial_tail(1, 10, 0.0) == 0.0
    assert binomial_tail(100, 100, 0.01) == pytest.approx(1e-200, rel=1e-6)
    with pytest.raises(InvalidInputError, match="chance 1"):
        binomial_tail(1, 2, 1)


@pytest.mark.parametrize(("won", "lost"), [(4, 13), (13, 4), (5, 5), (1, 0)])
def test_of_right_and_wrong_all_sign_flips_are_counted(won, lost):
    """As scipy's binomial test does it."""
    before, after = np.zeros(60, bool), np.zeros(60, bool)
    after[:won], before[won : won + lost] = True, True
    assert paired_test(before, after) == pytest.approx(binomtest(won, won + lost, alternative="greater").pvalue)
    both = paired_test(before, after, two_sided=True)
    assert both == pytest.approx(binomtest(won, won + lost).pvalue)


def test_paired_test_is_near_all_sign_flips():
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(2, 14)) + np.array([[0.0], [0.7]])
    gain = after - before
    flips = np.array(list(itertools.product([-1, 1], repeat=14)))
    exact = (flips @ gain >= gain.sum() - 1e-12).mean()
    assert exact < 0.2  # or there would be nothing to tell
    assert paired_test(before, after) == pytest.approx(exact, abs=0.02)
    assert paired_test(after, before) == pytest.approx(1 - paired_test(before, after))
    assert paired_test(before, before) == paired_test(before, before, two_sided=True) == 1.0
    both = paired_test(before, after, two_sided=True)
    assert both == paired_test(after, before, two_sided=True)
    assert both == pytest.approx((np.abs(flips @ gain) >= abs(gain.sum()) - 1e-12).mean(), abs=0.03)
    with pytest.raises(InvalidInputError, match="do not pair up"):
        paired_test(before, after[:3])


def test_dependence_of_a_copy_and_of_noise():
    labels = np.arange(400) % 4
    copy = dependence(labels, (labels + 1) % 4, 4)  # never right, and yet it tells everything
    assert copy.information == pytest.approx(math.log(4))
    assert copy.p == 1 / 200
    noise = [dependence(labels, np.random.default_rng(s).integers(0, 4, 400), 4).p for s in range(30)]
    assert 0.2 < np.mean(noise) < 0.8


def test_images_needed_is_the_smallest_number_that_will_do():
    images, hits = images_needed(0.24, 0.005)
    chance_of = lambda n, k, p: sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))  # noqa: E731
    assert chance_of(images, hits, 0.005) <= 0.001
    assert 1 - chance_of(images, hits, 0.24) <= 0.001
    for n in range(1, images):
        k = next(k for k in range(n + 2) if chance_of(n, k, 0.005) <= 0.001)
        assert 1 - chance_of(n, k, 0.24) > 0.001, n


@pytest.mark.parametrize(
    ("accuracy", "chance", "said"), [(0.1, 0.1, "accuracy"), (0.2, 0, "chance"), (0.1001, 0.1, "too close")]
)
def test_images_needed_refuses(accuracy, chance, said):
    with pytest.raises(InvalidInputError, match=said):
        images_needed(accuracy, chance)
