"""Variations differ in one factor; outcomes, effects and skills against numbers worked out by hand."""

import math
from dataclasses import asdict

import numpy as np
import pytest

from tests import tiny
from tests.diagnosis import made
from tinylab import diagnosis, models
from tinylab.models import notation
from tinylab.support.errors import InvalidInputError, TrainingError
from tinylab.training import Recipe

LINE = models.ARCHITECTURES["model_1"]


def test_each_setting_changes_one_factor() -> None:
    base, *others = diagnosis.one_factor(LINE, Recipe(epochs=4, l2=0.3, flip=True, dropout=0.2, label_smoothing=0.1))
    assert (base.recipe.dropout, base.recipe.l2, base.recipe.flip, base.recipe.label_smoothing) == (
        0.0,
        0.0,
        False,
        0.0,
    )
    changed = {}
    for other in others:
        different = {k for k, v in asdict(other).items() if k != "name" and v != asdict(base)[k]}
        recipe = {k for k, v in asdict(other.recipe).items() if v != asdict(base.recipe)[k]}
        changed[other.name] = (different - {"recipe"}) | recipe
    assert changed == {
        "dropout": {"dropout"},
        "L2 0.01": {"l2"},
        "augmentation": {"flip", "crop"},
        "batch norm": {"architecture"},
        "half the images": {"images", "epochs"},  # twice the passes over half the images: the same updates
    }


def test_the_amount_of_data_changes_with_as_many_updates() -> None:
    named = {s.name: s for s in diagnosis.one_factor(LINE, Recipe(epochs=6), images=0.4)}
    assert [(s.images, s.recipe.epochs) for s in named.values() if "images" in s.name] == [(0.2, 12), (0.8, 3)]
    assert [s.images * s.recipe.epochs for s in named.values()] == pytest.approx([2.4] * len(named))
    assert "twice the images" not in {s.name for s in diagnosis.one_factor(LINE, Recipe(), images=0.6)}


def test_half_the_images_of_each_class() -> None:
    data = tiny.dataset()
    half = next(s for s in diagnosis.one_factor(tiny.LINE, Recipe()) if s.images == 0.5).part(data)
    assert np.bincount(half.train.targets).tolist() == [15, 15, 15]
    assert diagnosis.Setting("all", tiny.LINE, Recipe()).part(data) is data
    with pytest.raises(InvalidInputError, match="images 0"):
        diagnosis.Setting("none", tiny.LINE, Recipe(), images=0).part(data)


def test_batch_norm_stands_before_every_relu() -> None:
    for name, line in models.ARCHITECTURES.items():
        layers = diagnosis.with_batch_norm(name).split(" - ")
        assert all(layers[i - 1] == "batch norm" for i, layer in enumerate(layers) if layer == "relu")
        assert [layer for layer in layers if layer != "batch norm"] == line.split(" - ")
        notation.parse(" - ".join(layers))


# ---------------------------------------------------------------- outcomes

TURNED = made.history(
    [5.0, 4.0, 3.0, 3.1, 3.3, 3.5, 3.6], train=[0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.6], validation=[0.1] * 6 + [0.2]
)
CALM = made.history([5.0, 4.0, 3.1, 3.0, 2.9, 2.8])


def test_outcome_at_the_end_and_where_early_stopping_would() -> None:
    end, stopped = diagnosis.outcome("base", TURNED), diagnosis.outcome("early stopping", TURNED, stopped=True)
    assert (end.epoch, end.train, end.validation, end.eval_loss) == (7, 0.6, 0.2, 3.6)
    assert end.gap == pytest.approx(0.4)
    assert (stopped.epoch, stopped.train, stopped.eval_loss, stopped.best_loss) == (3, 0.3, 3.0, 3.0)
    assert end.turning.turned


def test_outcome_needs_an_epoch() -> None:
    with pytest.raises(TrainingError, match="no epoch"):
        diagnosis.outcome("base", made.history([]))


def test_table_has_a_row_for_each_with_its_gap() -> None:
    shown = str(diagnosis.table([diagnosis.outcome("base", TURNED), diagnosis.outcome("calm", CALM)]))
    assert "60.0%" in shown
    assert "development" in shown
    assert " 40 " in shown
    assert "3 of 7" in shown
    assert "no turn" in shown


@pytest.mark.parametrize(
    ("losses", "says"),
    [
        ([5.0, 4.0, 2.8, 2.7, 2.6, 2.5], "reaches a lower loss"),
        ([5.0, 4.5, 4.0, 3.5, 3.2, 3.1], "holds the rise back"),
        ([5.0, 4.0, 3.3, 3.6, 3.9, 4.2], "makes it worse"),
        ([5.0, 4.0, 3.01, 3.2, 3.4, 3.59], "changes next to nothing"),
        ([5.0, 4.5, 4.0, 3.9, 3.8, 3.6], "slows it down"),
    ],
)
def test_effect(losses: list[float], says: str) -> None:
    base, other = diagnosis.outcome("base", TURNED), diagnosis.outcome("this", made.history(losses))
    assert f"this {says}" in diagnosis.effect(base, other)


def test_effect_says_where_it_turned_and_when_it_cannot_tell() -> None:
    base, calm = diagnosis.outcome("base", TURNED), diagnosis.outcome("calm", CALM)
    assert "no turn by epoch 6" in diagnosis.effect(base, calm)
    assert "turns at epoch 3 of 7" in diagnosis.effect(calm, base)
    assert "best +0.0%" in diagnosis.effect(base, base)
    assert "so few epochs" in diagnosis.effect(base, diagnosis.outcome("short", made.history([2.0, 1.0])))


# ---------------------------------------------------------------- skills


def test_skill() -> None:
    for accuracy, classes, expected in ((0.2, 5, 0), (1.0, 5, 1), (0.6, 5, 0.5), (0.005, 200, 0), (0.0, 2, -1)):
        assert diagnosis.skill(accuracy, classes) == pytest.approx(expected, abs=1e-12)
    for accuracy in (-0.1, 1.1, math.nan):
        with pytest.raises(InvalidInputError, match="accuracy"):
            diagnosis.skill(accuracy, 5)
