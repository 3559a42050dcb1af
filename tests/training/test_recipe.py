"""Recipes: what is refused, and the three that the lectures compare."""

from dataclasses import asdict, replace

import pytest

from tinylab.support.errors import InvalidInputError
from tinylab.training import RECIPES, Recipe


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"dropout": 1.5}, "dropout 1.5 .* 0 or more, and below 1"),
        ({"dropout": 1.0}, "below 1"),
        ({"dropout": -0.1}, "0 or more"),
        ({"dropout": True}, "a number"),
        ({"learning_rate": -1}, "learning_rate -1 .* above 0"),
        ({"learning_rate": 0}, "above 0"),
        ({"learning_rate": float("nan")}, "learning_rate nan"),
        ({"learning_rate": float("inf")}, "finite"),
        ({"learning_rate": "0.1"}, "a number"),
        ({"momentum": 1}, "below 1"),
        ({"l2": -0.01}, "l2 -0.01"),
        ({"weight_decay": float("nan"), "optimizer": "adamw"}, "weight_decay nan"),
        ({"label_smoothing": 1}, "label_smoothing 1"),
        ({"ema_decay": 1.0}, "ema_decay 1.0 .* below 1"),
        ({"ema_decay": -0.9}, "ema_decay -0.9"),
        ({"ema_decay": True}, "ema_decay True"),
        ({"batch": 0}, "batch 0 .* whole number from 1"),
        ({"batch": 32.0}, "whole number"),
        ({"epochs": 0}, "epochs 0"),
        ({"seed": -1}, "seed -1"),
        ({"crop": -4}, "crop -4"),
        ({"flip": "yes"}, "flip 'yes'"),
        ({"optimizer": "adan"}, "did you mean 'adam'"),
        ({"schedule": "one cycle"}, "did you mean 'one-cycle'"),
        ({"optimizer": "adamw", "l2": 0.1}, "Use weight_decay"),
        ({"optimizer": "sgd", "weight_decay": 0.1}, "Use l2"),
    ],
)
def test_recipe_refuses(bad, said):
    with pytest.raises(InvalidInputError, match=said) as caught:
        Recipe(**bad)
    assert "\n" not in str(caught.value)
    with pytest.raises(InvalidInputError):
        replace(Recipe(), **bad)


LEFT_OUT = {"teacher_weight": 0.0, "temperature": 4.0, "mixup": 0.0, "cutmix": 0.0, "erase": 0.0}  # unused


def test_a_recipe_from_before_something_was_left_out():
    old = asdict(Recipe(epochs=3)) | LEFT_OUT
    assert Recipe.from_dict(old) == Recipe(epochs=3)


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_recipe_that_used_what_was_left_out(name):
    with pytest.raises(InvalidInputError, match=rf"{name} 0\.9 is no longer possible") as caught:
        Recipe.from_dict(asdict(Recipe()) | LEFT_OUT | {name: 0.9})
    assert "\n" not in str(caught.value)


def test_recipes():
    report = RECIPES["report"]
    assert (report.batch, report.l2, report.optimizer, report.epochs) == (128, 0.01, "adam", 200)
    assert (RECIPES["plain"].l2, RECIPES["plain"].dropout) == (0, 0)
    assert RECIPES["well"].flip
    assert RECIPES["well"].crop > 0
    assert replace(report, epochs=3) == Recipe(epochs=3, l2=0.01)
