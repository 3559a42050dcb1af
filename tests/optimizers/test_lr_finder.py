"""The range test leaves no trace, stops when it must and says what it saw; the choice warns at the edge."""

import copy
import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

from tests import tiny
from tinylab import optimizers
from tinylab.data.batches import Batches
from tinylab.optimizers import lr_finder
from tinylab.support.device import pick
from tinylab.support.errors import InvalidInputError

DATA = tiny.dataset()
LINE = "conv3-4 - batch norm - relu - max pool - fc(8) - relu - dropout - softmax"


def batches(seed: int = 0) -> Batches:
    return Batches(DATA.train, DATA.normalisation, batch=16, device=pick("cpu"), shuffle=True, seed=seed)


def used(name: str = "adam") -> tuple[nn.Sequential, torch.optim.Optimizer]:
    """A network with batch norm and dropout that has been trained a little, modes mixed, gradients left over."""
    model = tiny.network(line=LINE)
    optimizer = optimizers.build(name, model, learning_rate=0.002)
    for x, y in batches().epoch(1):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    model[1].eval()
    return model, optimizer


def everything(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[object]:
    return copy.deepcopy(
        [
            list(model.state_dict().items()),
            [p.grad for p in model.parameters()],
            [module.training for module in model.modules()],
            optimizer.state_dict(),
            torch.get_rng_state(),
            np.random.get_state()[1],  # noqa: NPY002
        ]
    )


def same(a: object, b: object) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    return bool(np.array_equal(a, b))


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_it_leaves_no_trace(name):
    model, optimizer = used(name)
    groups, before = optimizer.param_groups, everything(model, optimizer)
    optimizers.range_test(model, optimizer, batches(), steps=12)
    assert same(before, everything(model, optimizer))
    assert optimizer.param_groups is groups
    assert {id(p) for group in groups for p in group["params"]} == {id(p) for p in model.parameters()}


def test_it_leaves_no_trace_when_it_fails():
    class Fails(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.training and torch.rand(()) < 0.5:
                raise RuntimeError("in the middle")
            return x

    model, _ = used()
    model.append(Fails())
    optimizer = optimizers.build("adam", model)
    before = everything(model, optimizer)
    with pytest.raises(RuntimeError, match="in the middle"):
        optimizers.range_test(model, optimizer, batches(), steps=40)
    assert same(before, everything(model, optimizer))


def test_rates_grow_in_equal_ratios_and_the_losses_are_those_of_training():
    model, optimizer = used("sgd")
    seen = optimizers.range_test(model, optimizer, batches(), lowest=1e-4, highest=1e-2, steps=10)
    assert seen.rates == pytest.approx(np.geomspace(1e-4, 1e-2, 10))
    with torch.random.fork_rng(devices=[]):  # the same by hand, on the originals
        torch.manual_seed(0)
        by_hand = []
        pairs = [pair for epoch in (1, 2) for pair in batches().epoch(epoch)]
        for rate, (x, y) in zip(seen.rates, pairs, strict=False):
            for group in optimizer.param_groups:
                group["lr"] = rate
            model.train()
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            by_hand.append(loss.item())
    assert seen.losses == tuple(by_hand)
    weights = 0.7 ** np.arange(9, -1, -1)
    assert seen.smoothed[-1] == pytest.approx((weights * by_hand).sum() / weights.sum())


def test_the_same_call_gives_the_same_result_and_the_result_is_frozen():
    model, optimizer = used()
    first, second = (optimizers.range_test(model, optimizer, batches(), steps=12) for _ in range(2))
    assert first == second
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.suggestion = 1.0


def test_it_stops_when_the_loss_explodes():
    model = tiny.network()
    optimizer = optimizers.build("sgd", model)
    seen = optimizers.range_test(model, optimizer, batches(), lowest=1e-3, highest=1e6, steps=80)
    assert seen.diverged
    assert len(seen.rates) == len(seen.losses) == len(seen.smoothed) < 80
    assert seen.suggestion is not None
    assert seen.suggestion < seen.rates[-1]
    assert "diverged at" in seen.reason


def test_a_loss_that_is_no_number_from_the_first_is_told():
    model = tiny.network()
    with torch.no_grad():
        model[-1].bias[0] = math.nan
    seen = optimizers.range_test(model, optimizers.build("sgd", model), batches(), steps=10)
    assert (len(seen.losses), seen.diverged, seen.suggestion) == (1, True, None)
    assert seen.reason == "the loss was nan before the first update"
    assert seen.warning.startswith("check the images and the network")


def test_an_infinite_first_loss_is_no_best_to_begin_from(monkeypatch):
    monkeypatch.setattr(lr_finder, "_update", lambda *_: math.inf)
    seen = optimizers.range_test(*used(), batches(), steps=10)
    assert (len(seen.losses), seen.diverged, seen.suggestion) == (1, True, None)
    assert seen.reason == "the loss was inf before the first update"


def test_a_frozen_network_gets_no_suggestion():
    model = tiny.network()
    optimizer = optimizers.build("sgd", model)
    seen = optimizers.range_test(model, optimizer, batches(), lowest=1e-12, highest=1e-10, steps=10)
    assert seen.suggestion is None
    assert "no further than batches differ" in seen.reason
    assert "raise `highest`; if that does not help" in seen.warning


RATES = tuple(10.0 ** (i / 4 - 5) for i in range(21))  # 1e-5 to 1


def read(values: list[float], diverged: bool = False) -> tuple[float | None, str, str]:
    """Without noise: each loss is the smoothed one."""
    return lr_finder._read(RATES[: len(values)], values, values, diverged)


def valley(lowest_at: float) -> list[float]:
    """A loss from 3 down to 1 at the rate `lowest_at`, and up again."""
    return [1 + 2 * (1 - math.exp(-(math.log10(rate / lowest_at) ** 2))) for rate in RATES]


def test_the_suggestion_is_a_tenth_of_the_rate_with_the_lowest_loss():
    suggestion, reason, warning = read(valley(1e-2))
    assert suggestion == pytest.approx(1e-3)
    assert reason == "a tenth of 0.01, where the smoothed loss was lowest"
    assert warning == ""
    suggestion, reason, _ = read([*valley(1e-2)[:16], 90.0], diverged=True)
    assert suggestion == pytest.approx(1e-3)
    assert reason.endswith("; it diverged at 0.1")


@pytest.mark.parametrize(
    ("values", "diverged", "suggests", "warns"),
    [
        (valley(1.0), False, True, "raise `highest`"),
        (valley(3e-5), False, True, "lower `lowest`"),
        ([3.0] * 21, False, False, "raise `highest`; if"),
        ([3.0] * 5 + [50.0], True, False, "lower `lowest`"),
        ([3.0] * 5 + [math.nan], True, False, "lower `lowest`"),
    ],
)
def test_the_warning_names_the_edge(values, diverged, suggests, warns):
    suggestion, _, warning = read(values, diverged)
    assert (suggestion is not None) == suggests
    assert warns in warning


def test_a_fall_within_the_noise_is_no_fall():
    noisy = [3 + 0.2 * (-1) ** i for i in range(21)]
    falls = [3 - 0.02 * i for i in range(21)]
    assert lr_finder._read(RATES, noisy, falls, False)[0] is None
    assert lr_finder._read(RATES, [v + 0.05 * (-1) ** i for i, v in enumerate(falls)], falls, False)[0] is not None


@pytest.mark.parametrize(
    ("losses", "rate", "warning"),
    [
        ({0.001: 1.5, 0.01: 1.0, 0.1: 2.0}, 0.01, ""),
        ({0.001: 1.5, 0.01: 1.0, 0.1: math.nan}, 0.01, ""),
        ({0.001: 0.5, 0.01: 1.0, 0.1: 2.0}, 0.001, "0.001 is the lowest rate tried: the best may be lower still"),
        ({0.001: 2.0, 0.01: 1.0}, 0.01, "0.01 is the highest rate tried: the best may be higher still"),
    ],
)
def test_the_choice_and_its_warning(losses, rate, warning):
    choice = optimizers.choose(losses)
    assert (choice.rate, choice.loss, choice.warning) == (rate, losses[rate], warning)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m, o, b: optimizers.range_test(m, o, b, lowest=0.0), "lowest 0.0 is not possible"),
        (lambda m, o, b: optimizers.range_test(m, o, b, lowest=0.1, highest=0.1), "highest 0.1 is not possible"),
        (lambda m, o, b: optimizers.range_test(m, o, b, steps=9), "steps 9 is not possible"),
        (lambda m, o, b: optimizers.choose({0.1: math.nan}), "none of 1 learning rates has a finite loss"),
        (lambda m, o, b: optimizers.choose({}), "none of 0"),
    ],
)
def test_refusals(call, said):
    with pytest.raises(InvalidInputError, match=said):
        call(*used(), batches())


def test_images_without_labels_are_refused():
    unlabelled = Batches(DATA.test, DATA.normalisation, device=pick("cpu"))
    with pytest.raises(InvalidInputError, match="no labels"):
        optimizers.range_test(*used(), unlabelled)
