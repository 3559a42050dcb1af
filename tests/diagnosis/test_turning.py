"""The turning point: where it is known, it is found, through noise and single odd epochs; where there is none, not."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.diagnosis import made
from tinylab.diagnosis import flattening, turning_point
from tinylab.diagnosis.turning import smoothed
from tinylab.support.errors import InvalidInputError


def bowl(epochs: int = 200, turn: int = 20, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """A loss as in Figure 2: falls until epoch `turn`, then rises steadily."""
    e = np.arange(1, epochs + 1)
    fall, rise = 1.5 * np.exp(-4 * e / turn), 0.012 * np.maximum(e - turn, 0)
    return 3.6 + fall + rise + noise * np.random.default_rng(seed).normal(size=epochs)


def test_figure_2_is_read_as_the_report_reads_it() -> None:
    """The report: validation turns around epoch 20, training plateaus around epoch 100, not yet below 1."""
    training = 1.3 + 4 * np.exp(-np.arange(1, 201) / 33)
    history = made.history(bowl().tolist(), train_loss=training.tolist())
    turn, flat = turning_point(history), flattening(history)
    assert turn.turned is True
    assert turn.epoch == 20
    assert turn.eval_split == "development"
    assert "turns at epoch 20" in turn.evidence
    assert flat.epoch is not None
    assert 90 <= flat.epoch <= 110
    assert "near epoch" in flat.evidence


def test_noise_moves_it_little_and_is_admitted() -> None:
    for seed in range(8):
        found = turning_point(bowl(60, 20, noise=0.03, seed=seed))
        assert found.turned
        assert 13 <= found.epoch <= 25
        assert found.between[0] <= found.epoch <= found.between[1]


def test_one_lucky_epoch_is_not_the_turning_point() -> None:
    losses = bowl(40, 20)
    losses[5] = 1.0  # raw argmin: epoch 6
    assert turning_point(losses).epoch == 20
    losses = bowl(40, 60)  # still falling ...
    losses[30] = 3.0
    assert not turning_point(losses).turned


def test_one_bad_epoch_at_the_end_is_no_turn() -> None:
    falling = [3.0, 2.5, 2.2, 2.0, 1.9, 1.8, 1.7, 3.0]
    assert not turning_point(falling).turned
    assert turning_point([*falling, 3.0, 3.1]).turned
    assert turning_point([*falling, 3.0, 3.1]).epoch == 7
    assert turning_point([3.0, 3.0, 3.0, 1.6, 1.8, 1.7, 1.9, 2.0, 2.2]).epoch == 4  # the median is lowest at 5


@pytest.mark.parametrize(
    ("losses", "says"),
    [
        ([2.0, 1.9], "2 epochs of validation loss so far; a turn cannot be seen before 4"),
        ([2.0], "1 epoch of"),
        ([5.0, 4.0, 3.0, 2.0, 1.0, 0.9], "lowest at the end"),
        ([3.0, 2.0, 2.0, 2.0, 2.01, 2.0, 2.01], "has not turned: lowest at epoch"),
    ],
)
def test_no_turn_says_why(losses: list[float], says: str) -> None:
    found = turning_point(losses)
    assert not found.turned
    assert says in found.evidence


@given(st.lists(st.floats(0.5, 5.0), min_size=1, max_size=30), st.floats(0.1, 10.0))
def test_scaling_a_loss_moves_nothing(losses: list[float], factor: float) -> None:
    one, other = turning_point(losses), turning_point([2.0 ** round(math.log2(factor)) * loss for loss in losses])
    assert (one.epoch, one.turned, one.between) == (other.epoch, other.turned, other.between)


@given(st.lists(st.floats(0.1, 5.0), min_size=1, max_size=30))
def test_what_is_found_is_the_lowest(losses: list[float]) -> None:
    found, smooth = turning_point(losses), smoothed(losses)
    assert found.lowest == smooth.min()
    assert smooth.min() in smooth[max(0, found.epoch - 2) : found.epoch + 1]
    assert 1 <= found.between[0] <= found.epoch <= found.between[1] <= len(losses)
    if found.turned:
        assert all(loss > found.lowest for loss in losses[-3:])


def test_smoothed_by_hand() -> None:
    assert smoothed([1.0, 9.0, 2.0, 3.0]).tolist() == [5.0, 2.0, 3.0, 2.5]


def test_flattening() -> None:
    assert flattening(np.linspace(5, 1, 50)).epoch is None
    assert "still falling" in flattening(np.linspace(5, 1, 50)).evidence
    assert flattening([5.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]).epoch == 2
    assert flattening([2.0] * 6).epoch == 1
    assert flattening([2.0]).epoch is None


@pytest.mark.parametrize(
    ("bad", "says"), [([], "no epoch"), ([1.0, math.nan], "nan"), ([math.inf], "inf"), (["x"], "'x'"), ("abc", "abc")]
)
def test_bad_losses_are_explained(bad: object, says: str) -> None:
    for find in (turning_point, flattening):
        with pytest.raises(InvalidInputError, match=says):
            find(bad)  # type: ignore[arg-type]
