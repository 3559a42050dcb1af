"""The loop against a hand-written one with torch.optim, and its promises one by one."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from tests import tiny
from tests.training.made import BUSY, CPU, SHORT, assert_same, by_hand, copied, untimed
from tinylab import optimizers
from tinylab.data.batches import Batches
from tinylab.support.errors import InvalidInputError, TrainingError
from tinylab.training import Recipe, state, train
from tinylab.training.scoring import scaled, score


@pytest.mark.parametrize("recipe", [SHORT, replace(SHORT, optimizer="sgd", l2=0.05, schedule="one-cycle")])
def test_equals_a_loop_written_by_hand(data, recipe):
    """Without dropout: the same batches, torch.optim unfused, l2·Σw² in the loss, sums over images."""
    recipe = replace(recipe, dropout=0.0)
    model = tiny.network()
    twin = copy.deepcopy(model).eval()  # no dropout
    history = train(model, data, recipe, device=CPU).finish()
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(twin.parameters(), lr=1, momentum=0.9)
    else:
        optimizer = torch.optim.Adam(twin.parameters())
    kernels = [m.weight for m in twin.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    batches = Batches(data.train, data.normalisation, batch=32, device=CPU, shuffle=True)
    step = 0
    for record in history.epochs:
        losses, right = [], []
        for x, y in batches.epoch(record.epoch):
            rate = recipe.learning_rate * optimizers.factor(recipe.schedule, step, 6)
            optimizer.param_groups[0]["lr"] = rate
            logits = twin(x)
            losses += cross_entropy(logits, y, reduction="none").tolist()
            right += (logits.argmax(1) == y).tolist()
            loss = cross_entropy(logits, y) + recipe.l2 * sum((w**2).sum() for w in kernels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
        assert len(losses) == 90
        assert record.running_loss == pytest.approx(np.mean(losses), rel=1e-4)
        assert record.running_accuracy == pytest.approx(np.mean(right))
        assert record.learning_rate == pytest.approx(rate)
        squares = sum((w.detach() ** 2).sum().item() for w in kernels)
        assert record.penalty == pytest.approx(recipe.l2 * squares, rel=1e-4)
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_the_record_measures_the_model_as_it_is_after_the_epoch(data):
    model = tiny.network()
    run = train(model, data, SHORT, device=CPU)
    for epoch in run:
        exact = by_hand(model, data.development, data.normalisation)
        assert (epoch.eval_loss, epoch.eval_accuracy) == pytest.approx(exact, rel=1e-5)
        exact = by_hand(model, run._few.split, data.normalisation)
        assert (epoch.train_loss, epoch.train_accuracy) == pytest.approx(exact, rel=1e-5)
        assert epoch.images_per_second == pytest.approx(90 / epoch.seconds)
    assert run.finished
    assert list(run) == []


def test_it_learns(data):
    history = train(tiny.network(), data, Recipe(epochs=15, batch=16, learning_rate=3e-3), device=CPU).finish()
    assert history.last.train_accuracy > 0.9
    assert history.best.eval_loss < history.epochs[0].eval_loss
    assert history.best.eval_loss == min(history.column("eval_loss"))


def test_a_step_tells_loss_with_smoothed_labels_and_accuracy(data):
    model = tiny.network().eval()  # no dropout
    x, y = next(Batches(data.train, data.normalisation, batch=32, device=CPU, shuffle=True).epoch(1))
    expected = cross_entropy(model(x), y, label_smoothing=0.2).item()
    right = [int(answer) == int(label) for answer, label in zip(model(x).argmax(1), y, strict=True)]
    run = train(model, data, replace(SHORT, dropout=0.0, label_smoothing=0.2), device=CPU)
    step = next(run.steps())
    assert step.loss == pytest.approx(expected, rel=1e-5)
    assert step.accuracy == pytest.approx(sum(right) / 32)
    assert 0 < step.accuracy < 1


def test_fixed_subset_is_no_larger_than_the_watched_split(data, monkeypatch):
    few = train(tiny.network(), data, SHORT, device=CPU)._few
    assert few.count == 30
    again = train(tiny.network(), data, replace(SHORT, seed=9), device=CPU)._few
    assert few.split.index.tolist() == again.split.index.tolist()
    assert set(few.split.index) <= set(data.train.index)
    monkeypatch.setattr(state, "SUBSET", 7)
    assert train(tiny.network(), data, SHORT, device=CPU)._few.count == 7


# ---- iterating


def test_steps_epochs_and_finish_train_the_same(data):
    models = [tiny.network() for _ in range(3)]
    runs = [train(model, data, BUSY, device=CPU) for model in models]
    steps = list(runs[0].steps())
    epochs = list(runs[1])
    history = runs[2].finish()
    assert_same(models[0], models[1])
    assert_same(models[0], models[2])
    assert [(s.epoch, s.step) for s in steps] == [(e, s) for e in range(1, 5) for s in range(1, 4)]
    assert [e.epoch for e in epochs] == [1, 2, 3, 4]
    assert untimed(runs[0].history) == untimed(runs[1].history) == untimed(history)
    weighted = sum(s.loss * n for s, n in zip(steps[:3], (32, 32, 26), strict=True)) / 90
    assert epochs[0].running_loss == pytest.approx(weighted)


def test_nothing_happens_before_iterating(data):
    model = tiny.network()
    before = copied(model)
    run = train(model, data, SHORT, device=CPU)
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())
    with pytest.raises(TrainingError, match="no epoch yet"):
        _ = run.history.last


def test_leaving_in_the_middle_and_going_on(data):
    straight, stopped = tiny.network(), tiny.network()
    history = train(straight, data, BUSY, device=CPU).finish()
    run = train(stopped, data, BUSY, device=CPU)
    for step in run.steps():
        if (step.epoch, step.step) == (2, 2):
            break
    assert len(run.history.epochs) == 1
    assert next(iter(run)).epoch == 2
    assert untimed(run.finish()) == untimed(history)
    assert_same(straight, stopped)


def test_the_callers_random_numbers_are_untouched(data):
    model = tiny.network()
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    expected = torch.rand(4), np.random.rand(4)  # noqa: NPY002
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    for _ in train(model, data, BUSY, device=CPU).steps():
        assert torch.initial_seed() == 3
    assert torch.equal(torch.rand(4), expected[0])
    assert (np.random.rand(4) == expected[1]).all()  # noqa: NPY002


def test_somebody_elses_random_numbers_do_not_matter(data):
    one, other = tiny.network(), tiny.network()
    train(one, data, BUSY, device=CPU).finish()
    for _ in train(other, data, BUSY, device=CPU).steps():
        torch.manual_seed(99)
    assert_same(one, other)


def test_seed_and_dropout_change_the_run(data):
    results = []
    for recipe in (BUSY, replace(BUSY, seed=1), replace(BUSY, dropout=0.0), replace(BUSY, crop=0)):
        model = tiny.network()
        train(model, data, recipe, device=CPU).finish()
        results.append(model[0].weight.detach().clone())
    assert all(not torch.equal(results[0], other) for other in results[1:])


def test_knobs_turned_between_batches_count_from_the_next(data):
    model = tiny.network()
    run = train(model, data, replace(SHORT, dropout=0.0), device=CPU)
    steps = run.steps()
    assert next(steps).learning_rate == 1e-3
    for group in run.optimizer.param_groups:
        group["initial_lr"] = 1e-12
    before = copied(model)
    assert next(steps).learning_rate == 1e-12
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=1e-10)


def test_images_grow_in_three_stages(data):
    """Ten epochs of 3 batches: 12 of 8 pixels (40 %), 11 of 12 (up to 75 %, 22.5 batches), the rest as they are."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    run = train(model, data, Recipe(epochs=10, batch=32, start_size=8), device=CPU)
    learned, measured = [], []
    model[0].register_forward_pre_hook(lambda layer, x: (learned if layer.training else measured).append(x[0].shape[2]))
    run.finish()
    assert learned == [8] * 12 + [12] * 11 + [16] * 7
    assert measured == [8] * 8 + [12] * 6 + [16] * 6  # both splits after each epoch, in the size of its last batch
    assert run.history.last.eval_loss == score(model, run.for_evaluation(data.development)).loss
    small = score(model, run.for_evaluation(data.development), size=8)
    assert small.count == len(data.development)
    assert small.loss != run.history.last.eval_loss
    x = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(scaled(x, 8, CPU).mean(dim=(2, 3)), x.mean(dim=(2, 3)), atol=0.05, rtol=0)  # not cropped
    assert scaled(x, 16, CPU) is x


def test_a_network_that_takes_one_size_only_is_told_before_it_starts(data):
    with pytest.raises(InvalidInputError, match="cannot take an image of 3×8×8"):
        train(tiny.network(), data, Recipe(epochs=1, start_size=8), device=CPU)
