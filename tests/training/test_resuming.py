"""Resumed runs: bit-identical, or refused."""

from dataclasses import replace

import pytest
import torch

from tests import tiny
from tests.training.made import BUSY, CPU, SHORT, assert_same, copied, untimed
from tinylab import models
from tinylab.support.errors import InvalidInputError, TrainingError
from tinylab.training import Recipe, train


def test_resume_is_bit_identical(data, tmp_path):
    """Dropout, shuffle, augmentation, schedule, momentum: stopped after two epochs, in another run's hands."""
    straight = tiny.network()
    history = train(straight, data, BUSY, device=CPU).finish()
    path = tmp_path / "run.ckpt"
    first = train(tiny.network(), data, BUSY, device=CPU, checkpoint=path)
    for epoch in first:
        if epoch.epoch == 2:
            break
    resumed = tiny.network(seed=5)  # other weights: they come from the file
    run = train(resumed, data, BUSY, device=CPU, checkpoint=path, resume=True)
    assert len(run.history.epochs) == 2
    assert untimed(run.finish()) == untimed(history)
    assert_same(straight, resumed)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_resume_in_the_middle_of_an_epoch_goes_back_to_its_start(data, tmp_path, optimizer):
    recipe = Recipe(epochs=3, batch=32, optimizer=optimizer, schedule="one-cycle")
    line = "conv3-4 - batch norm - relu - max pool - dropout - fc(8) - relu - dropout - softmax"
    straight, resumed = tiny.network(line=line), tiny.network(line=line)
    history = train(straight, data, recipe, device=CPU).finish()
    path = tmp_path / "run.ckpt"
    steps = train(resumed, data, recipe, device=CPU, checkpoint=path).steps()
    for _ in range(5):
        next(steps)
    run = train(resumed, data, recipe, device=CPU, checkpoint=path, resume=True)
    assert untimed(run.finish()) == untimed(history)
    assert_same(straight, resumed)


def test_resume_without_a_file_starts(data, tmp_path):
    run = train(tiny.network(), data, SHORT, device=CPU, checkpoint=tmp_path / "new" / "a.ckpt", resume=True)
    assert run.finish().last.epoch == 2
    assert (tmp_path / "new" / "a.ckpt").exists()
    with pytest.raises(InvalidInputError, match="needs a checkpoint"):
        train(tiny.network(), data, SHORT, resume=True)


def test_a_longer_run_goes_on_from_a_shorter_one(data, tmp_path):
    straight, resumed = tiny.network(), tiny.network()
    train(straight, data, replace(SHORT, epochs=3), device=CPU).finish()
    path = tmp_path / "run.ckpt"
    train(resumed, data, SHORT, device=CPU, checkpoint=path).finish()
    train(resumed, data, replace(SHORT, epochs=3), device=CPU, checkpoint=path, resume=True).finish()
    assert_same(straight, resumed)


def test_a_longer_run_whose_images_grow_is_another_run(data, tmp_path):
    """When they grow depends on the number of epochs, even at a constant rate."""
    model, path = models.build("modern-small", 3), tmp_path / "run.ckpt"
    growing = replace(SHORT, start_size=8)
    next(iter(train(model, data, growing, device=CPU, checkpoint=path)))
    with pytest.raises(TrainingError, match="epochs was 2, now it is 3"):
        train(model, data, replace(growing, epochs=3), device=CPU, checkpoint=path, resume=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda: {"recipe": replace(BUSY, dropout=0.1)}, "dropout was 0.3, now it is 0.1"),
        (lambda: {"recipe": replace(BUSY, epochs=9)}, "epochs was 4, now it is 9"),
        (lambda: {"model": tiny.network(line="conv3-6 - relu - softmax")}, "conv3-6 - relu - softmax"),
        (lambda: {"eval_split": "validation"}, "watched split was 'development'"),
        (lambda: {"data": tiny.dataset(seed=4)}, "mean training image"),
        (lambda: {"data": tiny.dataset(classes=5), "model": tiny.network(classes=5)}, "its classes was"),
    ],
)
def test_resume_refuses_another_run_and_leaves_the_model_alone(data, tmp_path, change, said):
    path = tmp_path / "run.ckpt"
    next(iter(train(tiny.network(), data, BUSY, device=CPU, checkpoint=path)))
    given = {"model": tiny.network(), "data": data, "recipe": BUSY, "eval_split": "development"} | change()
    before = copied(given["model"])
    with pytest.raises(TrainingError, match=said) as caught:
        train(**given, device=CPU, checkpoint=path, resume=True)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(before[name], now) for name, now in given["model"].state_dict().items())
