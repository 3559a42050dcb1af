"""The race on a surface: sliders move the paths, a still without a kernel, bad values named."""

import numpy as np
import pytest

from tinylab import lab, optimizers
from tinylab.support.errors import InvalidInputError
from tinylab.support.notebook import VARIABLE

WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(autouse=True)
def _live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "0")


def test_the_paths_are_those_of_the_sliders() -> None:
    explorer = lab.surface_explorer("Beale", sgd=0.01, adam=0.1)
    explorer.walkers["SGD with momentum"].value = False
    explorer.steps.value = 20
    assert set(explorer.paths()) == {"SGD", "Adam"}
    expected = optimizers.path("Beale", "Adam", learning_rate=0.1, steps=20)
    np.testing.assert_allclose(explorer.paths()["Adam"].positions, expected.positions)
    explorer.adam.value = 0.2
    explorer.momentum.value = 0.5
    expected = optimizers.path("Beale", "Adam", learning_rate=0.2, momentum=0.5, steps=20)
    np.testing.assert_allclose(explorer.paths()["Adam"].positions, expected.positions)


def test_each_control_redraws_picture_and_text() -> None:
    explorer = lab.surface_explorer()
    moves = (
        lambda: setattr(explorer.choice, "value", "Rosenbrock"),
        lambda: setattr(explorer.walkers["SGD"], "value", False),
        lambda: setattr(explorer.sgd, "value", 0.0005),
        lambda: setattr(explorer.adam, "value", 0.05),
        lambda: setattr(explorer.momentum, "value", 0.5),
        lambda: setattr(explorer.steps, "value", 20),
    )
    for move in moves:
        image, text = explorer.image.value, explorer.text.value
        move()
        assert explorer.image.value != image
        assert explorer.text.value != text
        assert explorer.image.tooltip == explorer.picture.alt
    assert "SGD diverged" not in explorer.picture.alt
    assert "SGD with momentum ended" in explorer.picture.alt


def test_nobody_has_to_run() -> None:
    explorer = lab.surface_explorer()
    for box in explorer.walkers.values():
        box.value = False
    assert "No optimizer is chosen" in explorer.picture.alt
    assert explorer.message.value == ""


def test_headless_it_is_a_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "1")
    data, metadata = lab.surface_explorer()._repr_mimebundle_()
    assert WIDGET not in data
    assert metadata["image/png"]["alt"] == data["text/plain"]
    monkeypatch.setenv(VARIABLE, "0")
    data, _ = lab.surface_explorer()._repr_mimebundle_()
    assert WIDGET in data


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"surface": "Bale"}, "did you mean 'Beale'"),
        ({"adam": -1.0}, "learning_rate -1.0 is not possible"),
    ],
)
def test_refusals(arguments: dict, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        lab.surface_explorer(**arguments)
