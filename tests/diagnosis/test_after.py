"""Each check on a history fires on the history that it is for and on no healthy one; two of them on real runs, too."""

import re

import pytest

from tests import tiny
from tests.diagnosis import made
from tinylab import diagnosis, training
from tinylab.data.dataset import Dataset
from tinylab.support.errors import InvalidInputError
from tinylab.training import History, Recipe

FALLING = [5.0, 4.0, 3.8, 3.75, 3.73, 3.72, 3.715, 3.714]
TURNED = [5.0, 4.5, 4.0, 3.8, 3.9, 4.0, 4.2, 4.4]
HALF = [0.1, 0.2, 0.25, 0.3, 0.3, 0.3, 0.3, 0.3]

HEALTHY = made.history(FALLING, train=[v + 0.08 for v in HALF], validation=HALF)

BROKEN: dict[str, tuple[History, str]] = {
    "overfitting": (made.history(TURNED), r"\+5% to \+16% from its best before, 3\.80 at epoch 4"),
    "underfitting": (
        made.history(
            [5.0] * 8, train_loss=[5.1, 4.4, 4.3, 4.21, 4.2, 4.2, 4.19, 4.2], train=[0.187] * 8, validation=[0.18] * 8
        ),
        r"18\.7% and 18\.0% \(\+1 points\)",
    ),  # Model 2 as the report gives it
    "suspicious validation": (made.history(FALLING, train=HALF, validation=[v + 0.09 for v in HALF]), r"\+9 points"),
    "stopped too early": (made.history([5.0, 4.5, 4.1, 3.7, 3.4, 3.1, 2.9, 2.7]), "best epoch is 8 of 8"),
    "stopped too late": (made.history([5.0, 3.9, 3.8, *[3.81] * 9]), "epoch 3 of 12; 9 epochs followed"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_fires_on_its_broken_history(name: str) -> None:
    history, says = BROKEN[name]
    (card,) = (card for card in diagnosis.after(history) if card.check == name)
    assert card.fired is True, card
    assert card.cause
    assert card.remedy
    assert card.source
    assert re.search(says, card.evidence), card.evidence


def test_silent_on_the_healthy_history() -> None:
    assert {card.check: card.fired for card in diagnosis.after(HEALTHY)} == dict.fromkeys(BROKEN, False)


def test_short_histories_are_no_error_and_say_what_they_lack() -> None:
    for epochs in range(9):
        cards = diagnosis.after(made.history(FALLING[:epochs]))
        assert len(cards) == len(BROKEN)
        if epochs < 3:
            assert diagnosis.show(cards).fired == ()
            assert any("so far; this check needs" in card.evidence for card in cards)


def test_a_single_bad_epoch_is_not_overfitting() -> None:
    assert not diagnosis.overfitting(made.history([*FALLING, 5.0])).fired
    assert not diagnosis.overfitting(made.history([*FALLING, 5.0, 3.72, 5.0])).fired


def test_a_rise_after_which_a_new_best_comes_is_not_overfitting() -> None:
    assert not diagnosis.overfitting(made.history([*TURNED, 3.7, 3.6, 3.5])).fired


def test_rising_training_loss_is_divergence_not_overfitting() -> None:
    assert not diagnosis.overfitting(made.history(TURNED, train_loss=[3, 2, 1, 1, 2, 3, 4, 5])).fired


def test_poor_and_alike_but_still_falling_is_not_underfitting_yet() -> None:
    falling = made.history(
        [5.0] * 8, train_loss=[5.2 - 0.2 * i for i in range(8)], train=[0.1] * 8, validation=[0.1] * 8
    )
    assert not diagnosis.underfitting(falling).fired


def test_flat_with_a_gap_is_no_underfitting() -> None:
    gap = made.history([5.0] * 8, train_loss=[4.2] * 8, train=[0.3] * 8, validation=[0.1] * 8)
    assert not diagnosis.underfitting(gap).fired


def test_a_few_epochs_without_a_new_best_are_not_too_late() -> None:
    assert not diagnosis.stopped_too_late(made.history([5.0, 4.0, 3.8, 3.75, 3.73, 3.72, 3.73, 3.74])).fired
    assert not diagnosis.stopped_too_late(made.history([*[5.0 - 0.1 * i for i in range(30)], *[2.2] * 7])).fired


def test_validation_above_95_percent_at_once_is_suspicious() -> None:
    high = made.history(FALLING, train=[0.97] * 8, validation=[0.96] * 8)
    assert diagnosis.suspicious_validation(high).fired


def test_one_epoch_ahead_is_not_suspicious() -> None:
    assert not diagnosis.suspicious_validation(made.history(FALLING, train=HALF, validation=[*HALF[:-1], 0.42])).fired


def test_an_overfitted_run_was_stopped_too_late_but_not_too_early() -> None:
    long = made.history([*TURNED, 4.6, 4.8])
    assert diagnosis.stopped_too_late(long).fired
    assert not diagnosis.stopped_too_early(long).fired


# ---------------------------------------------------------------- real runs


def noise(train: int) -> Dataset:
    """A set whose training images have other labels than they should: only learning by heart helps."""
    data = tiny.dataset(train=train)
    assert data.train.labels is not None
    data.train.labels[:train] = (data.train.labels[:train] * 7 + data.train.labels[1 : train + 1]) // 2 % 3
    return data


def run(data: Dataset, **changes: object) -> History:
    recipe = Recipe(epochs=12, batch=10, dropout=0.0, **changes)  # type: ignore[arg-type]
    return training.train(tiny.network(), data, recipe).finish()


def test_a_real_run_that_learns_by_heart_overfits_and_the_honest_one_does_not() -> None:
    honest = run(tiny.dataset(train=90), learning_rate=3e-3)
    by_heart = run(noise(20), learning_rate=1e-2)
    assert diagnosis.overfitting(by_heart).fired, by_heart.column("eval_loss")
    assert diagnosis.turning_point(by_heart).turned
    assert not diagnosis.overfitting(honest).fired
    assert not diagnosis.underfitting(honest).fired


def test_a_real_run_under_a_huge_penalty_underfits() -> None:
    held = run(tiny.dataset(), l2=1.0)
    assert diagnosis.underfitting(held).fired, (held.column("train_loss"), held.column("train_accuracy"))
    assert not diagnosis.overfitting(held).fired


def test_what_is_no_history_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="list is no history"):
        diagnosis.after([1.0, 2.0])  # type: ignore[arg-type]
