"""Surfaces: gradients against autograd and differences, minima where they are said to be; paths by hand."""

import numpy as np
import pytest
import torch

from tinylab import optimizers
from tinylab.optimizers import SURFACES
from tinylab.support.errors import InvalidInputError

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("name", SURFACES)
def test_gradients_equal_autograd(name):
    surface = SURFACES[name]
    x0, x1, y0, y1 = surface.window
    x, y = RANDOM.uniform(x0, x1, 50), RANDOM.uniform(y0, y1, 50)
    at = [torch.tensor(part, requires_grad=True) for part in (x, y)]
    expected = torch.autograd.grad(surface.value(*at).sum(), at)  # the formulas take tensors as they are
    for ours, theirs in zip(surface.gradient(x, y), expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", SURFACES)
def test_minima_are_flat_zero_and_lowest_in_the_window(name):
    surface = SURFACES[name]
    x0, x1, y0, y1 = surface.window
    grid = np.meshgrid(np.linspace(x0, x1, 301), np.linspace(y0, y1, 301))
    for x, y in surface.minima:
        assert surface.gradient(np.array(x), np.array(y)) == pytest.approx((0, 0), abs=1e-12)
        assert float(surface.value(np.array(x), np.array(y))) == pytest.approx(0, abs=1e-12)
        assert x0 < x < x1
        assert y0 < y < y1
    assert surface.value(*grid).min() >= 0
    assert x0 < surface.start[0] < x1
    assert y0 < surface.start[1] < y1


def test_the_saddle_has_a_point_without_gradient_that_is_no_minimum():
    saddle = SURFACES["saddle"]
    assert saddle.gradient(np.array(0.0), np.array(0.0)) == (0, 0)
    assert saddle.value(np.array(0.0), np.array(0.1)) < saddle.value(np.array(0.0), np.array(0.0))
    assert saddle.value(np.array(0.1), np.array(0.0)) > saddle.value(np.array(0.0), np.array(0.0))


def test_plain_descent_on_the_ravine_by_hand():
    """x shrinks by 1 - η and y by 1 - 30η, each step."""
    path = optimizers.path("ravine", "SGD", learning_rate=0.05, steps=7)
    steps = np.arange(8)
    np.testing.assert_allclose(path.positions, np.stack([-3.5 * 0.95**steps, (-0.5) ** steps], axis=1))
    np.testing.assert_allclose(path.heights, (path.positions[:, 0] ** 2 + 30 * path.positions[:, 1] ** 2) / 2)
    assert not path.diverged


@pytest.mark.parametrize(
    ("walker", "make"),
    [
        ("SGD with momentum", lambda w: torch.optim.SGD(w, lr=0.01, momentum=0.7)),
        ("Adam", lambda w: torch.optim.Adam(w, lr=0.01, betas=(0.7, 0.999))),
    ],
)
def test_paths_equal_torchs_on_beale(walker, make):
    path = optimizers.path("Beale", walker, learning_rate=0.01, momentum=0.7, steps=60)
    x, y = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in SURFACES["Beale"].start)
    optimizer = make([x, y])
    for _ in range(60):
        optimizer.zero_grad()
        SURFACES["Beale"].value(x, y).backward()
        optimizer.step()
    assert len(path.positions) == 61
    assert path.positions[-1] == pytest.approx([x.item(), y.item()], rel=1e-9)


def test_a_rate_too_high_diverges_and_stops():
    """On the ravine SGD overshoots once 30η > 2."""
    assert not optimizers.path("ravine", "SGD", learning_rate=0.066, steps=200).diverged
    wild = optimizers.path("ravine", "SGD", learning_rate=0.068, steps=2000)
    assert wild.diverged
    assert len(wild.positions) < 2000
    assert np.isfinite(wild.positions).all()
    assert optimizers.path("Rosenbrock", "SGD", learning_rate=1e200, steps=5).diverged


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"surface": "Bale"}, "surface 'Bale' is unknown, did you mean 'Beale'"),
        ({"walker": "Adm"}, "did you mean 'Adam'"),
        ({"learning_rate": 0.0}, "learning_rate 0.0 is not possible"),
        ({"momentum": 1.0}, "momentum 1.0"),
        ({"steps": 0}, "steps 0"),
    ],
)
def test_refusals(arguments, said):
    with pytest.raises(InvalidInputError, match=said):
        optimizers.path(**({"surface": "ravine", "walker": "Adam", "learning_rate": 0.1} | arguments))
