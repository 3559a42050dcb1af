"""The loop against a hand-written one with torch.optim, its promises one by one, and what it refuses."""

import copy
import json
from dataclasses import asdict, fields, replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from tests import tiny
from tinylab import optimizers, training
from tinylab.data.batches import Batches
from tinylab.device import Device, pick
from tinylab.errors import InvalidInputError, TrainingError
from tinylab.training import RECIPES, Epoch, History, Recipe, score, train

CPU = pick("cpu")
SHORT = Recipe(epochs=2, batch=32)  # 90 images: 32, 32 and 26
BUSY = Recipe(epochs=4, batch=32, flip=True, crop=2, l2=0.01, dropout=0.3, schedule="cosine")
TIMINGS = {"seconds", "images_per_second"}


@pytest.fixture(autouse=True)
def one_thread():
    """Networks this small only lose by sharing their work out."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data():
    return tiny.dataset()


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return copy.deepcopy(model.state_dict())


def assert_same(one: nn.Module, other: nn.Module) -> None:
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    assert all(torch.equal(a, b) for (_, a), (_, b) in pairs)


def untimed(history: History) -> list[dict[str, float]]:
    return [{k: v for k, v in asdict(e).items() if k not in TIMINGS} for e in history.epochs]


# ---- recipes


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"dropout": 1.5}, "dropout 1.5 .* 0 or more, and below 1"),
        ({"dropout": 1.0}, "below 1"),
        ({"dropout": -0.1}, "0 or more"),
        ({"dropout": True}, "a number"),
        ({"learning_rate": -1}, "learning_rate -1 .* above 0"),
        ({"learning_rate": 0}, "above 0"),
        ({"learning_rate": float("nan")}, "learning_rate nan"),
        ({"learning_rate": float("inf")}, "finite"),
        ({"learning_rate": "0.1"}, "a number"),
        ({"momentum": 1}, "below 1"),
        ({"l2": -0.01}, "l2 -0.01"),
        ({"weight_decay": float("nan"), "optimizer": "adamw"}, "weight_decay nan"),
        ({"label_smoothing": 1}, "label_smoothing 1"),
        ({"batch": 0}, "batch 0 .* whole number from 1"),
        ({"batch": 32.0}, "whole number"),
        ({"epochs": 0}, "epochs 0"),
        ({"seed": -1}, "seed -1"),
        ({"crop": -4}, "crop -4"),
        ({"flip": "yes"}, "flip 'yes'"),
        ({"optimizer": "adan"}, "did you mean 'adam'"),
        ({"schedule": "one cycle"}, "did you mean 'one-cycle'"),
        ({"optimizer": "adamw", "l2": 0.1}, "Use weight_decay"),
        ({"optimizer": "sgd", "weight_decay": 0.1}, "Use l2"),
    ],
)
def test_recipe_refuses(bad, said):
    with pytest.raises(InvalidInputError, match=said) as caught:
        Recipe(**bad)
    assert "\n" not in str(caught.value)
    with pytest.raises(InvalidInputError):
        replace(Recipe(), **bad)


def test_recipes():
    report = RECIPES["report"]
    assert (report.batch, report.l2, report.optimizer, report.epochs) == (128, 0.01, "adam", 200)
    assert (RECIPES["plain"].l2, RECIPES["plain"].dropout) == (0, 0)
    assert RECIPES["well"].flip
    assert RECIPES["well"].crop > 0
    assert replace(report, epochs=3) == Recipe(epochs=3, l2=0.01)


# ---- the loop against one written by hand


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
        assert (epoch.validation_loss, epoch.validation_accuracy) == pytest.approx(exact, rel=1e-5)
        exact = by_hand(model, run._few.split, data.normalisation)
        assert (epoch.train_loss, epoch.train_accuracy) == pytest.approx(exact, rel=1e-5)
        assert epoch.images_per_second == pytest.approx(90 / epoch.seconds)
    assert run.finished
    assert list(run) == []


def by_hand(model, split, normalisation) -> tuple[float, float]:
    images, labels = split.take(np.arange(len(split)))
    scaled = (images.astype(np.float64) - normalisation.mean) / normalisation.scale
    twin = copy.deepcopy(model).double().eval()
    logits = twin(torch.from_numpy(scaled.transpose(0, 3, 1, 2))).detach()
    target = torch.from_numpy(labels)
    return cross_entropy(logits, target).item(), (logits.argmax(1) == target).double().mean().item()


def test_it_learns(data):
    history = train(tiny.network(), data, Recipe(epochs=15, batch=16, learning_rate=3e-3), device=CPU).finish()
    assert history.last.train_accuracy > 0.9
    assert history.best.validation_loss < history.epochs[0].validation_loss
    assert history.best.validation_loss == min(history.column("validation_loss"))


def test_label_smoothing_reaches_the_loss(data):
    model = tiny.network().eval()  # no dropout
    x, y = next(Batches(data.train, data.normalisation, batch=32, device=CPU, shuffle=True).epoch(1))
    expected = cross_entropy(model(x), y, label_smoothing=0.2).item()
    run = train(model, data, replace(SHORT, dropout=0.0, label_smoothing=0.2), device=CPU)
    assert next(run.steps()).loss == pytest.approx(expected, rel=1e-5)


def test_fixed_subset_is_no_larger_than_the_watched_split(data, monkeypatch):
    few = train(tiny.network(), data, SHORT, device=CPU)._few
    assert few.count == 30
    again = train(tiny.network(), data, replace(SHORT, seed=9), device=CPU)._few
    assert few.split.index.tolist() == again.split.index.tolist()
    assert set(few.split.index) <= set(data.train.index)
    monkeypatch.setattr(training, "SUBSET", 7)
    assert train(tiny.network(), data, SHORT, device=CPU)._few.count == 7


# ---- score


@pytest.mark.parametrize("batch", [1, 7, 30, 64])
def test_score_weighs_images_not_batches(data, batch):
    model = tiny.network()
    batches = Batches(data.development, data.normalisation, batch=batch, device=CPU)
    exact = by_hand(model, data.development, data.normalisation)
    result = score(model, batches)
    assert (result.loss, result.accuracy) == pytest.approx(exact, rel=1e-5)
    assert result.count == 30


def test_score_restores_every_modules_mode(data):
    model = tiny.network()
    model.train()
    model[0].eval()  # someone froze one layer
    before = [module.training for module in model.modules()]
    score(model, Batches(data.development, data.normalisation, device=CPU))
    assert [module.training for module in model.modules()] == before
    assert not before[1]


def test_score_needs_labels(data):
    with pytest.raises(InvalidInputError, match="'test' has no labels"):
        score(tiny.network(), Batches(data.test, data.normalisation, device=CPU))


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
    before = weights(model)
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
    before = weights(model)
    assert next(steps).learning_rate == 1e-12
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=1e-10)


# ---- resuming


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


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda: {"recipe": replace(BUSY, dropout=0.1)}, "dropout was 0.3, now it is 0.1"),
        (lambda: {"recipe": replace(BUSY, epochs=9)}, "epochs was 4, now it is 9"),
        (lambda: {"model": tiny.network(line="conv3-6 - relu - softmax")}, "conv3-6 - relu - softmax"),
        (lambda: {"watch": "validation"}, "watched split was 'development'"),
        (lambda: {"data": tiny.dataset(seed=4)}, "mean training image"),
    ],
)
def test_resume_refuses_another_run_and_leaves_the_model_alone(data, tmp_path, change, said):
    path = tmp_path / "run.ckpt"
    next(iter(train(tiny.network(), data, BUSY, device=CPU, checkpoint=path)))
    given = {"model": tiny.network(), "data": data, "recipe": BUSY, "watch": "development"} | change()
    before = weights(given["model"])
    with pytest.raises(TrainingError, match=said) as caught:
        train(**given, device=CPU, checkpoint=path, resume=True)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(before[name], now) for name, now in given["model"].state_dict().items())


# ---- what goes wrong


def test_nan_in_the_loss_stops_before_the_update(data):
    model = tiny.network()
    run = train(model, data, SHORT, device=CPU)
    steps = run.steps()
    for _ in range(4):
        next(steps)
    with torch.no_grad():
        model[-1].bias[0] = float("nan")
    before, optimizer = weights(model), copy.deepcopy(run.optimizer.state_dict())
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

    def fail(module, args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    hook = broken[0].register_forward_pre_hook(fail)
    with pytest.raises(TrainingError, match=r"with 32 images a batch.*Recipe\(batch=16\)") as caught:
        run.finish()
    assert caught.value.__context__ is None  # a traceback would keep the tensors alive
    hook.remove()
    run.finish()
    assert_same(straight, broken)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"watch": "validaton"}, "did you mean 'validation'"),
        ({"watch": "test"}, "'test' has no labels"),
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
    assert history.last.validation_loss == pytest.approx(plain.last.validation_loss, rel=0.1)
    assert history.last.validation_loss != plain.last.validation_loss


def test_progress_bar(data, capsys):
    train(tiny.network(), data, SHORT, device=CPU, progress=True).finish()
    said = capsys.readouterr().err
    assert "epoch 2/2" in said
    assert "180/180" in said
    assert "loss=" in said
    assert "images/s" in said
    train(tiny.network(), data, SHORT, device=CPU).finish()
    assert capsys.readouterr() == ("", "")


# ---- history


def test_history_survives_json(data, tmp_path):
    history = train(tiny.network(), data, replace(BUSY, epochs=2), device=CPU).finish()
    path = tmp_path / "deep" / "history.json"
    history.save(path)
    assert History.load(path) == history
    plain = json.loads(path.read_text(encoding="utf-8"))
    assert plain["line"] == "conv3-4 - relu - max pool - fc(8) - relu - dropout(0.3) - softmax"
    assert plain["recipe"]["l2"] == 0.01
    assert [set(epoch) for epoch in plain["epochs"]] == [{part.name for part in fields(Epoch)}] * 2
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '"text"',
        '{"kind": "something else", "version": 1}',
        '{"kind": "tinylab history", "version": 99}',
        '{"kind": "tinylab history", "version": 1, "recipe": {}}',
        '{"kind": "tinylab history", "version": 1, "recipe": {"batch": 0}, "line": "", "data": "", "watch": "", '
        '"classes": [], "epochs": []}',
        '{"kind": "tinylab history", "version": 1, "recipe": {}, "line": "", "data": "", "watch": "", '
        '"classes": [], "epochs": [{"epoch": 1}]}',
    ],
)
def test_foreign_json_is_refused(tmp_path, content):
    path = tmp_path / "history.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(TrainingError, match=r"history\.json") as caught:
        History.load(path)
    assert "\n" not in str(caught.value)


def test_missing_history_and_unknown_column(tmp_path):
    with pytest.raises(TrainingError, match="nowhere"):
        History.load(tmp_path / "nowhere.json")
    with pytest.raises(InvalidInputError, match="did you mean 'validation_loss'"):
        History(Recipe(), "", "", "", ()).column("validation_los")
