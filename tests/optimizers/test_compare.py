"""Differences between paired runs: hand numbers, and as many false alarms as promised."""

import math

import numpy as np
import pytest

from tinylab import optimizers
from tinylab.support.errors import InvalidInputError


def test_by_hand():
    """Pairs 1, 2, 3: mean 2, standard deviation 1, standard error 1/√3; 2 is less than 4.303 of those."""
    found = optimizers.difference([2, 4, 6], [1, 2, 3])
    assert (found.mean, found.error, found.seeds) == (2, pytest.approx(1 / math.sqrt(3)), 3)
    assert not found.clear
    assert str(found) == "+2.000 ± 0.577 (3 seeds)"
    assert found.says(+1) == found.says(-1) == "not decided by these runs"
    clear = optimizers.difference([2, 4, 6], [-1, 0, 1])  # 3, 4, 5: mean 4
    assert clear.clear
    assert (clear.says(+1), clear.says(-1)) == ("supported", "contradicted")
    assert optimizers.difference([-1, 0, 1], [2, 4, 6]).mean == -4


def test_what_the_seed_does_to_both_sides_cancels_out():
    seeds = np.array([0.0, 10.0, -20.0])
    assert optimizers.difference(seeds + np.array([1, 1.1, 0.9]), seeds).clear


def test_one_seed_decides_nothing():
    found = optimizers.difference([5.0], [1.0])
    assert (found.mean, found.clear) == (4, False)
    assert math.isnan(found.error)
    assert "1 seed)" in str(found)


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_chance_alone_is_called_clear_in_one_of_twenty(seeds):
    """2,000 races between equals: 5 % of 2,000 is 100, with a standard deviation of 10."""
    random = np.random.default_rng(seeds)
    first, second = random.normal(size=(2, 2000, seeds))
    alarms = sum(optimizers.difference(a, b).clear for a, b in zip(first, second, strict=True))
    assert 60 <= alarms <= 140


def test_of_ten_comparisons_one_set_in_twenty_has_a_false_alarm():
    """1,000 sets of ten races between equals: at most 5 % of 1,000, with a standard deviation of 7."""
    first, second = np.random.default_rng(0).normal(size=(2, 1000, 10, 4))
    alarms = sum(
        any(optimizers.difference(a, b, tests=10).clear for a, b in zip(*both, strict=True))
        for both in zip(first, second, strict=True)
    )
    assert 25 <= alarms <= 75
    with pytest.raises(InvalidInputError, match="tests 0"):
        optimizers.difference([1.0], [2.0], tests=0)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [([1.0], [1.0, 2.0], "1 runs and 2"), ([], [], "0 runs"), ([math.nan], [1.0], "without a finite result")],
)
def test_refusals(first, second, said):
    with pytest.raises(InvalidInputError, match=said):
        optimizers.difference(first, second)
