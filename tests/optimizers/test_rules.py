"""The rules written out against torch.optim, step for step in float64, and against hand numbers."""

import copy

import pytest
import torch
from torch import Tensor, nn

from tinylab import optimizers
from tinylab.support.errors import InvalidInputError

STEPS = 120


def parameters() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(s, generator=generator, dtype=torch.float64)) for s in ((3, 4), (4,), (2, 3, 2))]


def gradient(step: int, number: int, w: Tensor) -> Tensor:
    """A gradient with noise, of very different size from parameter to parameter."""
    generator = torch.Generator().manual_seed(1000 * number + step)
    return 10.0 ** (1 - 3 * number) * (w.detach() + torch.randn(w.shape, generator=generator, dtype=torch.float64))


def train(optimizer: torch.optim.Optimizer, moving: list[nn.Parameter], first: int = 0, last: int = STEPS) -> None:
    for step in range(first, last):
        for number, w in enumerate(moving):
            w.grad = gradient(step, number, w)
        if step % 7 == 3:
            moving[1].grad = None  # left alone this time
        if step == 40:  # as a schedule and a slider do
            for group in optimizer.param_groups:
                group["lr"] *= 0.5
        if step == 60:
            for group in optimizer.param_groups:
                group["weight_decay"] = 0.03
        optimizer.step()


def equal(ours: list[nn.Parameter], theirs: list[nn.Parameter]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


PAIRS = {
    "sgd": (optimizers.SGD, torch.optim.SGD, {"lr": 0.01}),
    "sgd, momentum": (optimizers.SGD, torch.optim.SGD, {"lr": 0.01, "momentum": 0.9}),
    "sgd, L2": (optimizers.SGD, torch.optim.SGD, {"lr": 0.02, "momentum": 0.5, "weight_decay": 0.1}),
    "adam": (optimizers.Adam, torch.optim.Adam, {"lr": 0.01}),
    "adam, betas": (optimizers.Adam, torch.optim.Adam, {"lr": 0.05, "betas": (0.5, 0.9), "eps": 1e-4}),
    "adam, no momentum": (optimizers.Adam, torch.optim.Adam, {"lr": 0.01, "betas": (0.0, 0.99)}),
    "adam, L2": (optimizers.Adam, torch.optim.Adam, {"lr": 0.01, "weight_decay": 0.1}),
    "adamw": (optimizers.AdamW, torch.optim.AdamW, {"lr": 0.01}),
    "adamw, strong": (optimizers.AdamW, torch.optim.AdamW, {"lr": 0.01, "betas": (0.8, 0.99), "weight_decay": 0.5}),
}


@pytest.mark.parametrize("name", PAIRS)
def test_each_rule_equals_torch_step_for_step(name):
    rule, reference, settings = PAIRS[name]
    ours, theirs = parameters(), parameters()
    mine, torchs = rule(ours, **settings), reference(theirs, **settings)
    for step in range(STEPS):
        train(mine, ours, step, step + 1)
        train(torchs, theirs, step, step + 1)
        equal(ours, theirs)
    assert (ours[0] - parameters()[0]).abs().max() > 0.1  # something happened


@pytest.mark.parametrize("name", ["sgd, momentum", "adam", "adamw"])
def test_several_groups_each_have_their_own_settings(name):
    rule, reference, settings = PAIRS[name]
    ours, theirs = parameters(), parameters()
    built = []
    for moving, make in ((ours, rule), (theirs, reference)):
        decayed = {"params": moving[::2], "weight_decay": 0.2}
        free = {"params": moving[1:2], "weight_decay": 0.0, "lr": 0.001, "initial_lr": 0.001}
        built.append(make([decayed, free], **settings))
        train(built[-1], moving)
    equal(ours, theirs)
    assert built[0].param_groups[1]["initial_lr"] == 0.001


@pytest.mark.parametrize("name", PAIRS)
def test_a_run_resumed_from_its_state_is_the_same_bit_for_bit(name):
    rule, _, settings = PAIRS[name]
    whole, parts = parameters(), parameters()
    train(rule(whole, **settings), whole)
    before = rule(parts, **settings)
    train(before, parts, last=50)
    state = copy.deepcopy(before.state_dict())
    after = rule(parts, lr=123.0)  # the state's settings win
    after.load_state_dict(state)
    train(after, parts, first=50)
    assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True))


@pytest.mark.parametrize("name", ["sgd, momentum", "adam, L2", "adamw"])
def test_the_state_of_torchs_optimizer_can_be_taken_over(name):
    rule, reference, settings = PAIRS[name]
    ours, theirs = parameters(), parameters()
    torchs = reference(theirs, **settings)
    train(torchs, theirs, last=50)
    mine = rule(ours, **settings)
    with torch.no_grad():
        for a, b in zip(ours, theirs, strict=True):
            a.copy_(b)
    mine.load_state_dict(copy.deepcopy(torchs.state_dict()))
    train(torchs, theirs, first=50)
    train(mine, ours, first=50)
    equal(ours, theirs)


def test_first_steps_by_hand():
    """Gradient 2, learning rate 0.1: SGD moves by 0.2, then by 0.1·(0.9·2 + 2); Adam by 0.1, whatever the size."""
    for rule, moves in ((optimizers.SGD, (0.2, 0.38)), (optimizers.Adam, (0.1, 0.1))):
        w = torch.tensor([1.0], dtype=torch.float64)
        made = rule([w], lr=0.1, momentum=0.9) if rule is optimizers.SGD else rule([w], lr=0.1)
        for moved in moves:
            before, w.grad = w.clone(), torch.tensor([2.0], dtype=torch.float64)
            made.step()
            assert float(before - w) == pytest.approx(moved, rel=1e-6)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda w: optimizers.SGD(w, lr=0.0), "lr 0.0 is not possible. Allowed: a number above 0"),
        (lambda w: optimizers.SGD(w, momentum=1.0), "momentum 1.0 is not possible"),
        (lambda w: optimizers.Adam(w, betas=(0.9, 1.0)), "beta_2 1.0 is not possible"),
        (lambda w: optimizers.Adam(w, eps=0.0), "eps 0.0"),
        (lambda w: optimizers.AdamW(w, weight_decay=-0.1), "weight_decay -0.1"),
    ],
)
def test_refusals(make, said):
    with pytest.raises(InvalidInputError, match=said):
        make(parameters())
