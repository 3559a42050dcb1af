"""NaN, memory that runs out, and what does not fit together: what the user sees."""

import copy
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests import tiny
from tests.training.made import CPU, SHORT, assert_same, copied
from tinylab.support.device import Device
from tinylab.support.errors import InvalidInputError, TrainingError
from tinylab.training import Recipe, train


def test_nan_in_the_loss_stops_before_the_update(data):
    model = tiny.network()
    run = train(model, data, SHORT, device=CPU)
    steps = run.steps()
    for _ in range(4):
        next(steps)
    with torch.no_grad():
        model[-1].bias[0] = float("nan")
    before, optimizer = copied(model), copy.deepcopy(run.optimizer.state_dict())
    with pytest.raises(TrainingError, match=r"loss is nan in epoch 2, step 2, at learning rate 0\.001"):
        next(steps)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0, equal_nan=True)
    after = run.optimizer.state_dict()["state"]
    assert all(torch.equal(optimizer["state"][k]["step"], after[k]["step"]) for k in after)


def test_an_absurd_learning_rate_is_named(data):
    recipe = Recipe(epochs=3, batch=16, optimizer="sgd", learning_rate=1e20)
    with pytest.raises(TrainingError, match=r"epoch 1, step \d, at learning rate 1e\+20; .*Lower"):
        train(tiny.network(), data, recipe, device=CPU).finish()


def test_out_of_memory_names_the_batch_and_the_run_can_go_on(data):
    straight, broken = tiny.network(), tiny.network()
    train(straight, data, SHORT, device=CPU).finish()
    run = train(broken, data, SHORT, device=CPU)
    held = []

    def fail(module, args):
        activation = torch.zeros(1)
        held.append(weakref.ref(activation))
        raise torch.OutOfMemoryError("CUDA out of memory")

    hook = broken[0].register_forward_pre_hook(fail)
    with pytest.raises(TrainingError, match=r"with 32 images a batch.*Recipe\(batch=16\)") as caught:
        run.finish()
    assert caught.value.__traceback__ is not None  # the error is still there,
    assert held[0]() is None  # but no tensor of the network's own frames
    hook.remove()
    run.finish()
    assert_same(straight, broken)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"eval_split": "validaton"}, "did you mean 'validation'"),
        ({"eval_split": "test"}, "'test' has no labels"),
        ({"model": tiny.network(classes=5)}, "5 outputs, the data has 3 classes"),
    ],
)
def test_what_does_not_fit_together(data, given, said):
    with pytest.raises(InvalidInputError, match=said):
        train(**({"model": tiny.network(), "data": data, "recipe": SHORT} | given))


def test_an_empty_split_cannot_be_watched(data):
    empty = replace(data, development=replace(data.development, index=np.zeros(0, np.int64)))
    with pytest.raises(InvalidInputError, match="'development' has no images"):
        train(tiny.network(), empty, SHORT)


def test_autocast_keeps_the_loss_in_float32(data):
    half = Device(torch.device("cpu"), "CPU in bfloat16", torch.bfloat16)
    history = train(tiny.network(), data, SHORT, device=half).finish()
    plain = train(tiny.network(), data, SHORT, device=CPU).finish()
    assert history.last.eval_loss == pytest.approx(plain.last.eval_loss, rel=0.1)
    assert history.last.eval_loss != plain.last.eval_loss


def test_progress_bar(data, capsys, monkeypatch):
    for name, value in (("COLUMNS", "160"), ("LINES", "40")):  # a bar is cut off where the terminal ends
        monkeypatch.setenv(name, value)
    train(tiny.network(), data, SHORT, device=CPU, progress=True).finish()
    said = capsys.readouterr().err
    assert "epoch 2/2" in said
    assert "180/180" in said
    assert "loss=" in said
    assert "images/s" in said
    train(tiny.network(), data, SHORT, device=CPU).finish()
    assert capsys.readouterr() == ("", "")


def test_what_cannot_be_trained_is_named(data):
    frozen = tiny.network().requires_grad_(False)
    for model, given, said in (
        ("model_1", data, "'model_1' is not a network. Allowed: a torch.nn.Module"),
        (frozen, data, "no parameter that learns"),
        (tiny.network(), np.zeros((4, 64, 64, 3)), "data of type ndarray cannot be learned from. Allowed: a Dataset"),
    ):
        with pytest.raises(InvalidInputError, match=said):
            train(model, given, SHORT, device=CPU)
