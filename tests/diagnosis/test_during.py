"""Each check during training fires on a run that breaks, stays silent on a sound one, and leaves no trace."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from tests import tiny
from tests.diagnosis import made
from tinylab import diagnosis, optimizers, training
from tinylab.diagnosis.during import update_ratios
from tinylab.support.errors import InvalidInputError, TrainingError
from tinylab.training import Recipe

X, Y = made.batch()


def trained(learning_rate: float = 1e-2, epochs: int = 3, optimizer: str = "adam") -> training.Run:
    run = training.train(
        tiny.network(),
        tiny.dataset(),
        Recipe(epochs=epochs, batch=16, learning_rate=learning_rate, optimizer=optimizer),
    )
    run.finish()
    return run


# ---------------------------------------------------------------- update / weight ratio


@pytest.mark.parametrize("epochs", [0, 3])
def test_update_ratio(epochs: int) -> None:
    """At the start, where Adam's updates are largest, and later on."""
    model = tiny.network()
    run = training.train(model, tiny.dataset(), Recipe(epochs=max(epochs, 1), batch=16))
    if epochs:
        run.finish()
    for rate, fired, remedy in ((1e-3, False, ""), (1e-6, True, "ten times larger"), (0.5, True, "ten times smaller")):
        for group in run.optimizer.param_groups:
            group["lr"] = rate
        card = diagnosis.update_ratio(model, X, Y, run.optimizer)
        assert card.fired is fired, card
        assert remedy in card.remedy


def test_update_ratios_of_plain_sgd_by_hand() -> None:
    """Without momentum the update is the learning rate times the gradient."""
    model = tiny.network(line="conv3-4 - relu - max pool - softmax")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    ratios = update_ratios(model, X, Y, optimizer)
    nn.functional.cross_entropy(model(X), Y).backward()
    for name, p in model.named_parameters():
        if p.ndim > 1:
            assert p.grad is not None
            assert ratios[name] == pytest.approx((0.01 * p.grad.norm() / p.detach().norm()).item(), rel=1e-4)
    assert len(ratios) == 2


def test_update_ratio_sees_the_optimizers_memory_and_leaves_it_alone() -> None:
    run = trained()
    before, memory = made.state(run.model), copy.deepcopy(run.optimizer.state_dict())
    first = update_ratios(run.model, X, Y, run.optimizer)
    assert made.same(made.state(run.model), before)
    assert made.same(run.optimizer.state_dict(), memory)
    assert update_ratios(run.model, X, Y, run.optimizer) == first
    # what the copy did is what a real step does
    weights = {name: p.detach().clone() for name, p in run.model.named_parameters()}
    run.model.train()
    run.optimizer.zero_grad()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        nn.functional.cross_entropy(run.model(X), Y).backward()
    run.optimizer.step()
    for name, ratio in first.items():
        moved = (dict(run.model.named_parameters())[name] - weights[name]).norm() / weights[name].norm()
        assert moved.item() == pytest.approx(ratio, rel=1e-5)


def test_update_ratio_refuses_another_networks_optimizer() -> None:
    with pytest.raises(InvalidInputError, match="none of this network's parameters"):
        diagnosis.update_ratio(tiny.network(), X, Y, optimizers.build("adam", tiny.network()))


# ---------------------------------------------------------------- divergence


def losses_of(learning_rate: float) -> list[float]:
    """The losses of a real run with plain SGD, up to the point where the loop stops it."""
    run = training.train(
        tiny.network(),
        tiny.dataset(),
        Recipe(epochs=6, batch=16, learning_rate=learning_rate, optimizer="sgd", dropout=0.0),
    )
    losses = []
    try:
        losses.extend(step.loss for step in run.steps())
    except TrainingError:
        losses.append(math.nan)
    return losses


def test_a_run_with_a_huge_learning_rate_diverges_and_a_usual_one_does_not() -> None:
    wild, calm = losses_of(30.0), losses_of(0.01)
    assert diagnosis.divergence(wild).fired
    assert not diagnosis.divergence(calm).fired


@pytest.mark.parametrize(
    ("losses", "fired"),
    [
        ([], False),
        ([2.3, 2.0, math.nan], True),
        ([2.3, 2.0, np.float64(1.5)], False),
        ([1.0] * 30 + [9.0], False),  # a single bad batch
        ([1.0] * 30 + [9.0] * 10, True),
        ([1.0] * 30 + [0.001] * 60 + [0.05] * 60, False),  # 50 times next to nothing
    ],
)
def test_divergence_of_step_losses(losses: list[float], fired: bool) -> None:
    assert diagnosis.divergence(losses).fired is fired, diagnosis.divergence(losses)


def test_divergence_says_where() -> None:
    assert "nan at step 3" in diagnosis.divergence([1.0, 1.0, math.nan, 2.0]).evidence


def test_divergence_refuses() -> None:
    for bad in ("12", [None], [True]):
        with pytest.raises(InvalidInputError, match="Allowed: one number per step"):
            diagnosis.divergence(bad)  # type: ignore[arg-type]


# ---------------------------------------------------------------- dead units


def test_a_far_too_large_learning_rate_kills_units_and_a_usual_one_does_not() -> None:
    alive = diagnosis.dead_units(trained(1e-3).model, X)
    assert not alive.fired, alive
    dead = diagnosis.dead_units(trained(1.0).model, X)
    assert dead.fired, dead


def test_dead_units_are_counted_by_hand() -> None:
    """Four units behind the first relu, of which three never react; the second relu lets all pass."""
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2), nn.ReLU())
    with torch.no_grad():
        model[0].weight.fill_(1.0)
        model[0].bias.copy_(torch.tensor([-100.0, -100.0, -100.0, 100.0]))
        model[2].bias.fill_(1000.0)
    card = diagnosis.dead_units(model, torch.ones(5, 3))
    assert "Behind 1," in card.evidence
    assert "3 of 4 units react to none of 5 images, and 75%" in card.evidence
    assert not card.fired


def test_sparse_maps_are_not_dead() -> None:
    """Each unit reacts somewhere, though nearly everywhere there is nothing."""
    x = torch.zeros(4, 2, 16, 16)
    x[:, :, 3, 5] = 1.0
    card = diagnosis.dead_units(nn.Sequential(nn.ReLU()), x)
    assert "0 of 2 units" in card.evidence
    assert not card.fired


def test_dead_units_leaves_no_trace_even_on_failure() -> None:
    model = tiny.network().train()
    before = made.state(model)
    diagnosis.dead_units(model, X)
    assert made.same(made.state(model), before)
    with pytest.raises(RuntimeError):
        diagnosis.dead_units(model, torch.zeros(2, 5, 16, 16))
    assert made.same(made.state(model), before)


def test_dead_units_needs_a_relu() -> None:
    with pytest.raises(InvalidInputError, match="no ReLU"):
        diagnosis.dead_units(nn.Linear(3, 3), torch.ones(2, 3))
