"""The running mean of the weights: against one written out in float64, and through every way a run is left."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from tests import tiny
from tests.lab.live.made import advanced
from tests.training.made import BUSY, CPU, DATA, NORMED, by_hand, copied, same, untimed
from tinylab.lab.live.steered import Steered
from tinylab.support.errors import TrainingError
from tinylab.training import Recipe, checkpoints, train
from tinylab.training.ema import averaged

MEAN = replace(BUSY, ema_decay=0.6)


def test_the_mean_equals_one_written_out_in_float64():
    """Decay min(0.6, (1 + n) / (10 + n)): 0.1, 0.18, … reaches 0.6 with the 14th of 15 updates."""
    model = tiny.network(line=NORMED)
    expected = {name: value.double() for name, value in copied(model).items()}
    run = train(model, DATA, replace(MEAN, epochs=5), device=CPU)
    counted = 0
    for number, step in enumerate(run.steps()):
        decay = min(0.6, (1 + number) / (10 + number))
        for name, value in model.state_dict().items():  # while an epoch goes on, the weights that learn
            expected[name] = decay * expected[name] + (1 - decay) * value.double()
        counted = step.epoch * 3
    for name, value in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            assert value == counted == 15
        else:
            mean = run.measured.state_dict()[name].double()
            torch.testing.assert_close(mean, expected[name], rtol=1e-5, atol=1e-6)
    assert same(run.state().raw, copied(model))


def test_averaging_does_not_touch_what_is_learnt():
    plain = train(tiny.network(), DATA, BUSY, device=CPU)
    run = train(tiny.network(), DATA, MEAN, device=CPU)
    assert list(plain.steps()) == list(run.steps())
    assert same(run.state().raw, copied(plain.model))
    ours, theirs = untimed(run.history), untimed(plain.history)
    assert [epoch["running_loss"] for epoch in ours] == [epoch["running_loss"] for epoch in theirs]
    assert all(a["eval_loss"] != b["eval_loss"] for a, b in zip(ours, theirs, strict=True))


def test_measured_is_what_was_measured():
    run = train(tiny.network(line=NORMED), DATA, MEAN, device=CPU)
    for epoch in run:
        exact = by_hand(run.measured, DATA.development, DATA.normalisation)
        assert (epoch.eval_loss, epoch.eval_accuracy) == pytest.approx(exact, rel=1e-5)
        squares = sum((w.detach() ** 2).sum().item() for w in run.model.parameters() if w.ndim > 1)
        assert epoch.penalty == pytest.approx(0.01 * squares, rel=1e-4)


def test_left_in_the_middle_of_an_epoch_and_gone_on():
    straight, stopped = (train(tiny.network(line=NORMED), DATA, MEAN, device=CPU) for _ in range(2))
    straight.finish()
    for step in stopped.steps():
        if (step.epoch, step.step) == (2, 2):
            break
    state = stopped.state()
    assert same(state.raw, dict(stopped.model.state_dict()))
    assert not same(state.model, state.raw)
    stopped.finish()
    assert untimed(stopped.history) == untimed(straight.history)
    assert same(copied(stopped.model), copied(straight.model))
    assert same(stopped.state().raw, straight.state().raw)


@pytest.mark.parametrize("line", [tiny.LINE, NORMED])
def test_resume_is_bit_identical(tmp_path, line):
    straight = train(tiny.network(line=line), DATA, MEAN, device=CPU)
    straight.finish()
    path = tmp_path / "run.pt"
    for epoch in train(tiny.network(line=line), DATA, MEAN, device=CPU, checkpoint=path):
        if epoch.epoch == 2:
            break
    run = train(tiny.network(line=line, seed=5), DATA, MEAN, device=CPU, checkpoint=path, resume=True)
    run.finish()
    assert untimed(run.history) == untimed(straight.history)
    assert same(copied(run.model), copied(straight.model))
    assert same(run.state().raw, straight.state().raw)
    network = checkpoints.load(path).network()  # what is handed on is the mean
    assert same(copied(network), copied(straight.measured))


def test_a_longer_run_goes_on_from_a_shorter_one(tmp_path):
    short = Recipe(epochs=2, batch=32, ema_decay=0.9)
    straight, resumed = tiny.network(), tiny.network()
    train(straight, DATA, replace(short, epochs=3), device=CPU).finish()
    path = tmp_path / "run.pt"
    train(resumed, DATA, short, device=CPU, checkpoint=path).finish()
    train(resumed, DATA, replace(short, epochs=3), device=CPU, checkpoint=path, resume=True).finish()
    assert same(copied(straight), copied(resumed))


def test_a_checkpoint_from_before_there_was_averaging_goes_on(tmp_path):
    """Its recipe, its history and the file itself know nothing of it."""
    path = tmp_path / "run.pt"
    straight = train(tiny.network(), DATA, BUSY, device=CPU)
    straight.finish()
    next(iter(train(tiny.network(), DATA, BUSY, device=CPU, checkpoint=path)))
    old = checkpoints.load(path)
    for recipe in (old.recipe, old.history["recipe"]):
        del recipe["ema_decay"]
        recipe.update(mixup=0.0, cutmix=0.0, erase=0.0)  # which there were for a while
    checkpoints.save(path, old)
    run = train(tiny.network(seed=3), DATA, BUSY, device=CPU, checkpoint=path, resume=True)
    assert untimed(run.finish()) == untimed(straight.history)
    assert same(copied(run.model), copied(straight.model))


def test_a_checkpoint_without_the_weights_that_learn_is_refused(tmp_path):
    path = tmp_path / "run.pt"
    next(iter(train(tiny.network(), DATA, MEAN, device=CPU, checkpoint=path)))
    checkpoints.save(path, replace(checkpoints.load(path), raw=None))
    model = tiny.network()
    before = copied(model)
    with pytest.raises(TrainingError, match=r"run\.pt: holds no run to go on with") as caught:
        train(model, DATA, MEAN, device=CPU, checkpoint=path, resume=True)
    assert "\n" not in str(caught.value)
    assert same(copied(model), before)


def test_weights_that_two_layers_share_stay_shared():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    following, before = averaged(model, 0.5), model[0].weight.detach().clone()
    with torch.no_grad():
        model[0].weight.zero_()
    following.update_parameters(model)
    assert following.module[1].weight is following.module[0].weight
    torch.testing.assert_close(following.module[0].weight.detach(), 0.1 * before)  # (1 + 0) / (10 + 0)


@pytest.mark.parametrize("at", [0, 2, 3, 4])  # the beginning, in the middle of an epoch, its end, after it
def test_a_laboratory_goes_back_to_mean_and_learning_weights(at):
    def steered() -> Steered:
        return Steered(NORMED, DATA, MEAN, "development", CPU)

    plain, run = steered(), steered()
    expected, taken = advanced(plain, 9), advanced(run, at)
    snapshot = run.keep(taken, run.knobs, ())
    advanced(run, 5)  # elsewhere
    for _ in range(2):  # a snapshot is not used up
        run.go_back(snapshot)
        assert advanced(run, 9 - at) == expected[at:]
        assert same(copied(run.model), copied(plain.model))
        assert same(run.state().raw, plain.state().raw)
        assert untimed(run.history) == untimed(plain.history)
