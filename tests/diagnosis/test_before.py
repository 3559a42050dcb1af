"""Each check before training fires on a broken network and stays silent on a sound one, and leaves no trace."""

import math
import re
from collections.abc import Callable

import pytest
import torch
from torch import nn

from tests import tiny
from tests.diagnosis import made
from tinylab import diagnosis, models, optimizers
from tinylab.diagnosis import Card
from tinylab.support.errors import InvalidInputError

X, Y = made.batch()
RAW = (X * 60 + 110).clamp(0, 255)  # as before normalisation


class MixesTheBatch(nn.Module):
    """A reshape over the wrong dimension: the slip that the check is for."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.transpose(0, 1).reshape(x.shape)


def sound() -> nn.Sequential:
    return tiny.network()


def confident() -> nn.Sequential:
    """The last layer a hundred times too large."""
    model = tiny.network()
    with torch.no_grad():
        list(model.modules())[-1].weight.mul_(100)
    return model


def dead() -> nn.Sequential:
    """Biases far below zero: nothing passes the first relu, in either direction."""
    model = tiny.network()
    with torch.no_grad():
        model[0].bias.fill_(-100.0)
    return model


def mixing() -> nn.Sequential:
    *layers, last = tiny.network()
    return nn.Sequential(*layers, MixesTheBatch(), last)


def batch_statistics() -> nn.Sequential:
    first, *layers = tiny.network()
    return nn.Sequential(first, nn.BatchNorm2d(4, track_running_stats=False), *layers)


def frozen() -> nn.Sequential:
    model = tiny.network()
    model[0].weight.requires_grad_(False)
    return model


def same_image() -> tuple[torch.Tensor, torch.Tensor]:
    """One image under three labels: no network can tell them apart."""
    return X[:1].expand_as(X).contiguous(), Y


BROKEN: dict[str, tuple[Callable[[], Card], str]] = {
    "initial loss": (lambda: diagnosis.initial_loss(confident(), X, Y), r"ln 3 = 1\.10"),
    "overfit a tiny batch": (lambda: diagnosis.tiny_batch(sound(), *same_image()), "On 20 images"),
    "blank input": (lambda: diagnosis.blank_input(dead(), X, Y), "blank ones"),
    "blank input, wiped out": (lambda: diagnosis.blank_input(sound(), X * 1e-9, Y), "blank ones"),
    "leakage across the batch": (lambda: diagnosis.leakage(mixing(), X), "image 1"),
    "leakage across the batch, norm": (lambda: diagnosis.leakage(batch_statistics(), X), "of image"),
    "frozen parameter": (lambda: diagnosis.frozen_parameters(frozen(), X, Y), r"1 of 6 .*: conv3-4\.weight"),
    "frozen parameter, dead": (lambda: diagnosis.frozen_parameters(dead(), X, Y), r"conv3-4\.bias"),
    "input scale": (lambda: diagnosis.input_scale(RAW), "mean 1"),
    "input scale, 0 to 1": (lambda: diagnosis.input_scale(RAW / 255), r"deviation 0\.[12]"),
}

SOUND: dict[str, Callable[[], Card]] = {
    "initial loss": lambda: diagnosis.initial_loss(sound(), X, Y),
    "overfit a tiny batch": lambda: diagnosis.tiny_batch(sound(), X, Y),
    "blank input": lambda: diagnosis.blank_input(sound(), X, Y),
    "leakage across the batch": lambda: diagnosis.leakage(sound(), X),
    "frozen parameter": lambda: diagnosis.frozen_parameters(sound(), X, Y),
    "input scale": lambda: diagnosis.input_scale(X),
}


@pytest.mark.parametrize("name", BROKEN)
def test_fires_on_the_broken(name: str) -> None:
    run, says = BROKEN[name]
    card = run()
    assert card.fired is True, card
    assert card.check == name.partition(",")[0]
    assert card.cause
    assert card.remedy
    assert card.source
    assert re.search(says, card.evidence), card.evidence


@pytest.mark.parametrize("name", SOUND)
def test_silent_on_the_sound(name: str) -> None:
    card = SOUND[name]()
    assert card.fired is False, card
    assert card.check == name
    assert any(character.isdigit() for character in card.evidence)


def test_batch_norm_that_keeps_its_statistics_does_not_leak() -> None:
    model = tiny.network(line="conv3-4 - batch norm - relu - max pool - fc(8) - relu - softmax")
    assert not diagnosis.leakage(model.train(), X).fired


def test_probabilities_that_leak_are_found_though_they_sum_to_one() -> None:
    assert diagnosis.leakage(nn.Sequential(mixing(), nn.Softmax(dim=1)), X).fired


def test_initial_loss_is_the_cross_entropy() -> None:
    model = sound().eval()
    expected = nn.CrossEntropyLoss()(model(X), Y).item()
    assert (
        f"is {expected:.2f}; guessing 3 classes gives ln 3 = {math.log(3):.2f}"
        in diagnosis.initial_loss(model, X, Y).evidence
    )


def test_he_everywhere_starts_too_confident_on_many_classes() -> None:
    """The report's initialisation to the letter, and the one of models.build, on 200 classes."""
    letter = tiny.network(classes=200)
    models.initialise(letter, "he everywhere", seed=0)
    assert diagnosis.initial_loss(letter, X * 3, Y).fired
    assert not diagnosis.initial_loss(tiny.network(classes=200), X, Y).fired


def test_a_parameter_that_the_optimizer_was_never_given_is_frozen() -> None:
    model = sound()
    optimizer = torch.optim.SGD(model[0].parameters(), lr=0.1)
    card = diagnosis.frozen_parameters(model, X, Y, optimizer=optimizer)
    assert card.fired
    assert "4 of 6" in card.evidence
    assert not diagnosis.frozen_parameters(model, X, Y, optimizer=optimizers.build("sgd", model)).fired


@pytest.mark.parametrize("name", SOUND)
def test_leaves_no_trace(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.network(line="conv3-4 - batch norm - relu - max pool - fc(8) - relu - dropout - softmax")
    model.train()
    model[1].eval()  # a mixture, to be found again as it was
    nn.functional.cross_entropy(model(X), Y).backward()
    monkeypatch.setitem(globals(), "sound", lambda: model)
    before, images = made.state(model), X.clone()
    SOUND[name]()
    assert made.same(made.state(model), before)
    assert torch.equal(X, images)
    assert X.grad is None
    assert not X.requires_grad


def test_leaves_no_trace_when_the_network_fails() -> None:
    model = nn.Sequential(nn.Dropout(0.3), nn.Linear(7, 3)).train()
    before = made.state(model)
    for check in (diagnosis.initial_loss, diagnosis.tiny_batch, diagnosis.blank_input, diagnosis.frozen_parameters):
        with pytest.raises(RuntimeError):
            check(model, X, Y)
    with pytest.raises(RuntimeError):
        diagnosis.leakage(model, X)
    assert made.same(made.state(model), before)


def test_hooks_of_the_owner_are_not_called_by_copies() -> None:
    model, seen = sound(), []
    model[0].register_forward_hook(lambda *_: seen.append(1))
    diagnosis.blank_input(model, X, Y, steps=2)
    assert seen == []


BAD: dict[str, tuple[Callable[[], object], str]] = {
    "bytes": (lambda: diagnosis.input_scale(X.to(torch.uint8)), "uint8.*Allowed: float"),
    "no tensor": (lambda: diagnosis.initial_loss(sound(), [1], Y), "a list"),  # type: ignore[arg-type]
    "one image": (lambda: diagnosis.leakage(sound(), X[:1]), "from 2"),
    "too few labels": (lambda: diagnosis.tiny_batch(sound(), X, Y[:3]), r"\(3,\) do not fit 20"),
    "labels as float": (lambda: diagnosis.blank_input(sound(), X, Y.float()), "float32"),
    "no steps": (lambda: diagnosis.blank_input(sound(), X, Y, steps=0), "steps 0 is not possible"),
    "nothing to train": (
        lambda: diagnosis.frozen_parameters(sound().requires_grad_(False), X, Y),
        "no parameter of the network",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_explained(name: str) -> None:
    run, says = BAD[name]
    with pytest.raises(InvalidInputError, match=says):
        run()
