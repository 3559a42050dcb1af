"""Optimizers by name: their L2 against autograd of the explicit sum, their kernels against the rules written out."""

import copy

import pytest
import torch
from torch import nn

from tinylab import optimizers
from tinylab.support.errors import InvalidInputError


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 5)
    return nn.Sequential(*layers).double().to(memory_format=torch.channels_last)


def by_hand(name: str, model: nn.Module, l2: float, steps: int) -> None:
    """Plain torch.optim, no decay; l2·Σw² written into the loss and left to autograd."""
    plain = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.8),
        "adam": lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.8, 0.999)),
    }[name](model.parameters())
    for x, y in batches(steps):
        weights = [m.weight for m in model if isinstance(m, nn.Conv2d | nn.Linear)]
        loss = nn.functional.cross_entropy(model(x), y) + l2 * sum((w**2).sum() for w in weights)
        plain.zero_grad()
        loss.backward()
        plain.step()


def batches(steps: int):
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        x = torch.randn(6, 3, 8, 8, generator=generator).double().contiguous(memory_format=torch.channels_last)
        yield x, torch.randint(5, (6,), generator=generator)


@pytest.mark.parametrize("name", ["sgd", "adam"])
@pytest.mark.parametrize("l2", [0.0, 0.05])
def test_l2_equals_the_sum_written_into_the_loss(name, l2):
    ours, theirs = network(), network()
    optimizer = optimizers.build(name, ours, learning_rate=0.01, momentum=0.8, l2=l2)
    for x, y in batches(5):
        optimizer.zero_grad()
        nn.functional.cross_entropy(ours(x), y).backward()
        optimizer.step()
    by_hand(name, theirs, l2, 5)
    for (label, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12, msg=lambda m, label=label: f"{label}: {m}")


@pytest.mark.parametrize(
    ("name", "rule"), [("sgd", optimizers.SGD), ("adam", optimizers.Adam), ("adamw", optimizers.AdamW)]
)
def test_what_is_built_follows_the_rule_written_out(name, rule):
    ours, theirs = network(), network()
    decay = {"weight_decay": 0.1} if name == "adamw" else {"l2": 0.05}
    built = optimizers.build(name, theirs, learning_rate=0.01, momentum=0.8, **decay)
    weights = [[p for p in ours.parameters() if p.ndim > 1], [p for p in ours.parameters() if p.ndim == 1]]
    groups = [{"params": part, "weight_decay": 0.1 * (not i)} for i, part in enumerate(weights)]
    settings = {"momentum": 0.8} if name == "sgd" else {"betas": (0.8, 0.999)}
    reference = rule(groups, lr=0.01, **settings)
    for x, y in batches(100):
        for model, optimizer in ((ours, reference), (theirs, built)):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(optimizers.penalty(reference), optimizers.penalty(built), rtol=1e-6, atol=1e-9)


def test_adamw_shrinks_weights_apart_from_the_gradient():
    """Without a gradient a decoupled step is w·(1 - lr·decay), on weights only."""
    model = network()
    start = copy.deepcopy(model)
    optimizer = optimizers.build("adamw", model, learning_rate=0.1, weight_decay=0.5)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for (name, now), before in zip(model.named_parameters(), start.parameters(), strict=True):
        share = 0.95 if now.ndim > 1 else 1.0
        torch.testing.assert_close(now, before * share, msg=lambda m, name=name: f"{name}: {m}")


def test_penalty_is_the_sum_of_squared_weights():
    model = network()
    weights = [model[0].weight, model[4].weight]
    by_hand = 0.03 * sum(w.detach().double().square().sum().item() for w in weights)
    for name in ("sgd", "adam"):
        assert optimizers.penalty(optimizers.build(name, model, l2=0.03)).item() == pytest.approx(by_hand)
        assert optimizers.penalty(optimizers.build(name, model)).item() == 0
    assert optimizers.penalty(optimizers.build("adamw", model, weight_decay=0.1)).item() == 0


def test_frozen_parameters_are_left_out():
    model = network()
    model[0].requires_grad_(False)
    groups = optimizers.build("adam", model).param_groups
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters())) - 2


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m: optimizers.build("adm", m), "'adm' is unknown, did you mean 'adam'"),
        (lambda m: optimizers.build("adamw", m, l2=0.01), "Use weight_decay"),
        (lambda m: optimizers.build("sgd", m, weight_decay=0.01), "Use l2"),
    ],
)
def test_refusals(call, said):
    with pytest.raises(InvalidInputError, match=said):
        call(network())
