"""A run that is steered: the same as `training.Run` when it is left alone, and from any snapshot on, bit for bit."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tests.lab.live.made import DATA, LINE, RECIPE, advanced, facts, same
from tinylab import models, training
from tinylab.lab.live.knobs import Knobs
from tinylab.lab.live.steered import Steered, build
from tinylab.models import build as build_model
from tinylab.models import notation
from tinylab.support.device import pick
from tinylab.support.errors import InvalidInputError, TrainingError
from tinylab.training.recipe import Recipe

CPU = pick("cpu")


def steered(recipe: Recipe = RECIPE) -> Steered:
    return Steered(LINE, DATA, recipe, "development", CPU)


@pytest.mark.parametrize("line", ["model_3", "conv3-4 - relu - batch norm - max pool - dropout - fc(5) - softmax"])
def test_build_is_models_build_without_touching_the_global_stream(line: str) -> None:
    before = torch.get_rng_state()
    ours, theirs = build(line, 5, 64, 3), build_model(line, classes=5, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in ours.state_dict().items())
    assert notation.format(ours) == notation.format(theirs)


def test_build_refuses_what_would_fill_the_memory() -> None:
    with pytest.raises(InvalidInputError, match="weights is too large"):
        build("fc(40000) - relu - softmax", 5, 64, 0)
    with pytest.raises(InvalidInputError, match="network 'model_l' is unknown"):
        build("model_l", 5, 64, 0)


@pytest.mark.parametrize("changes", [{}, {"optimizer": "sgd", "l2": 0.01}, {"schedule": "one-cycle", "dropout": 0.4}])
def test_left_alone_it_is_a_run(changes: dict[str, object]) -> None:
    recipe = Recipe(**{**vars(RECIPE), **changes, "epochs": 2})
    run = steered(recipe)
    advanced(run, 10)
    model = notation.parse(LINE, classes=3, size=16)

    models.initialise(model, seed=recipe.seed)
    other = training.train(model, DATA, recipe, device=CPU)
    other.finish()
    assert run.finished
    assert same(facts(run), facts(other))


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("at", [0, 3, 5])  # the beginning, in the middle of an epoch, its end
def test_from_a_snapshot_on_it_is_the_run_that_was_never_left(optimizer: str, at: int) -> None:
    recipe = Recipe(**{**vars(RECIPE), "optimizer": optimizer})
    plain = steered(recipe)
    expected = advanced(plain, 7)
    run = steered(recipe)
    taken = advanced(run, at)
    snapshot = run.keep(taken, run.knobs, ())
    torch.rand(3)
    run.turn(run.knobs.turned({"learning_rate": 0.5, "dropout": 0.9, "momentum": 0.1, "optimizer": "sgd"}))
    advanced(run, 2)  # elsewhere
    for _ in range(2):  # a snapshot is not used up
        run.go_back(snapshot)
        assert advanced(run, 7 - at) == expected[at:]
        assert same(facts(run), facts(plain))


def test_knobs_reach_the_optimizer_and_the_layers() -> None:
    run = steered()
    run.turn(Knobs(0.02, 0.4, 0.003, 0.7, "adam"))
    weights, rest = run.optimizer.param_groups
    assert (weights["initial_lr"], rest["initial_lr"]) == (0.02, 0.02)
    assert (weights["weight_decay"], rest["weight_decay"]) == (0.006, 0.0)  # the gradient of l2·Σw²
    assert weights["betas"] == (0.7, 0.999)
    assert [layer.p for layer in run.model if isinstance(layer, nn.Dropout)] == [0.4, 0.4]
    run.turn(Knobs(0.02, None, 0.003, 0.6, "sgd"))
    assert [layer.p for layer in run.model if isinstance(layer, nn.Dropout)] == [0.25, 0.5]
    assert isinstance(run.optimizer, torch.optim.SGD)
    assert run.optimizer.param_groups[0]["momentum"] == 0.6
    run.turn(Knobs(0.02, None, 0.003, 0.6, "adamw"))
    assert run.optimizer.param_groups[0]["weight_decay"] == 0.003  # apart from the gradient
    assert run.advance().learning_rate == 0.02


def test_a_new_schedule_counts_from_the_next_batch() -> None:
    run = steered()
    advanced(run, 15)
    run.turn(run.knobs.turned({"schedule": "cosine"}))
    assert run.advance().learning_rate == pytest.approx(0.01 * 0.5, rel=1e-12)  # half way along the cosine


def test_a_loss_that_is_not_finite_changes_no_weight() -> None:
    run = steered()
    advanced(run, 2)
    run.turn(run.knobs.turned({"optimizer": "sgd", "learning_rate": 1e30}))
    advanced(run, 1)
    before = facts(run)
    with pytest.raises(TrainingError, match="the update was not applied"):
        run.advance()
    assert same(facts(run), before)


def test_an_epoch_in_two_parts_took_what_both_took(monkeypatch: pytest.MonkeyPatch) -> None:
    run, clock = steered(), iter(range(1000))
    for module in ("lab.live.steered", "training.loop"):
        ticking = SimpleNamespace(perf_counter=lambda: float(next(clock)))
        monkeypatch.setattr(f"tinylab.{module}.time", ticking)
    taken = advanced(run, 3)
    snapshot = run.keep(taken, run.knobs, ())
    run.go_back(snapshot)
    advanced(run, 2)
    assert run.history.last.seconds == 5.0  # one tick a step, of which there are five
    assert run.history.last.images_per_second == 90 / 5.0
