"""The knobs that no recipe turns: what each does to the next batch, held against torch or against plain arithmetic."""

import json

import pytest
import torch
from torch import nn

from tests.lab.live.made import DATA, RECIPE, advanced, facts, same, session
from tests.lab.live.test_steered import steered
from tinylab.data.batches import Batches
from tinylab.lab.live import script
from tinylab.lab.live.knobs import Change, Knobs, Planned, gathered
from tinylab.support.errors import InvalidInputError
from tinylab.training.recipe import Recipe


def turned(run: object, **values: object) -> None:
    run.turn(run.knobs.turned(values))


def weights(run: object) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in run.model.parameters()])


def test_the_batch_size_counts_from_the_next_batch_and_every_image_is_seen_once() -> None:
    run, seen = steered(), []
    make = run.batches._images
    run.batches._images = lambda rows, there: (seen.extend(rows.tolist()), make(rows, there))[1]
    advanced(run, 2)  # 40 of 90 images
    turned(run, batch=7)
    sizes = []
    while len(run.history.epochs) == 0:
        taken = advanced(run, 1)
        sizes.append(taken[0][2])
    assert sizes[:3] == [47, 54, 61]
    assert sizes[-1] == 90
    assert sorted(seen) == list(range(90))
    record = run.history.last
    assert record.running_loss > 0
    assert record.images_per_second > 0


def test_no_single_image_is_left_over_by_a_change_of_size() -> None:
    run = steered()
    advanced(run, 1)
    turned(run, batch=23)  # 70 images are left: 23, 23, 24
    assert [images for *_, images in advanced(run, 3)] == [43, 66, 90]


def test_augmentation_off_gives_the_images_as_they_are() -> None:
    run = steered()
    assert run.knobs.augment
    turned(run, augment=False)
    plain = Batches(
        DATA.train, DATA.normalisation, batch=RECIPE.batch, device=run.device, shuffle=True, seed=RECIPE.seed
    )
    for (x, y), (expected, labels) in zip(run.batches.epoch(1), plain.epoch(1), strict=True):
        assert torch.equal(x, expected)
        assert torch.equal(y, labels)


def test_augmentation_can_be_switched_on_where_the_recipe_has_none() -> None:
    run = steered(Recipe(epochs=2, batch=20))
    assert not run.knobs.augment
    before = [x for x, _ in run.batches.epoch(1)]
    turned(run, augment=True)
    assert not any(torch.equal(x, other) for (x, _), other in zip(run.batches.epoch(1), before, strict=True))


def test_a_clipped_gradient_moves_the_weights_no_further_than_asked() -> None:
    run = steered(Recipe(**{**vars(RECIPE), "optimizer": "sgd", "momentum": 0.0, "learning_rate": 0.5}))
    before = weights(run)
    advanced(run, 1)
    free = (weights(run) - before).norm().item()
    run = steered(Recipe(**{**vars(RECIPE), "optimizer": "sgd", "momentum": 0.0, "learning_rate": 0.5}))
    turned(run, clip=free / 0.5 / 10)
    advanced(run, 1)
    assert (weights(run) - before).norm().item() == pytest.approx(free / 10, rel=1e-3)


def test_a_frozen_layer_stands_still_until_it_is_let_go() -> None:
    run = steered()
    name = next(iter(run.layers))
    turned(run, frozen=name, l2=0.1)
    kept = run.model.get_submodule(name).weight.detach().clone()
    others = weights(run)
    advanced(run, 3)
    assert torch.equal(run.model.get_submodule(name).weight, kept)
    assert not torch.equal(weights(run), others)
    turned(run, frozen="")
    advanced(run, 1)
    assert not torch.equal(run.model.get_submodule(name).weight, kept)


def test_label_smoothing_is_torch_s() -> None:
    run, logits = steered(), []
    turned(run, label_smoothing=0.2)
    run.model.register_forward_hook(lambda module, given, out: logits.append(out.detach().float()))
    labels = next(iter(run.batches.epoch(1)))[1]
    [(loss, _, _)] = advanced(run, 1)
    assert loss == pytest.approx(nn.functional.cross_entropy(logits[0], labels, label_smoothing=0.2).item(), rel=1e-5)


TURNS = (
    {"batch": 7},
    {"clip": 0.5, "augment": False},
    {"frozen": "conv3-4"},
    {"label_smoothing": 0.1, "batch": 30},
    {"optimizer": "adamw", "weight_decay": 0.05},
    {"augment": True, "frozen": "", "clip": 0.0},
)


def test_all_of_them_are_on_the_story_and_replay_bit_for_bit() -> None:
    told = session()
    told.ask("knobs", {"augment": False, "clip": 2.0})  # before the first batch: no recipe holds them
    for values in TURNS:
        told.run_for(3)
        told.ask("knobs", values)
    told.run_for(4)
    line = told.status.script.line()
    assert [0, "augment", False] in json.loads(line)["changes"]
    other = session()
    other.ask("replay", script.read(line))
    other.run_for(told.status.step)
    assert "bit for bit" in other.status.note
    assert same(facts(other), facts(told))
    assert other.status.knobs == told.status.knobs


def test_going_back_into_an_epoch_of_changing_batches_is_the_run_that_was_never_left() -> None:
    plain, left = session(), session()
    for each in (plain, left):
        each.run_for(2)
        each.ask("knobs", {"batch": 7, "clip": 1.0})
        each.run_for(3)
    plain.run_for(4)
    left.run_for(2)
    left.ask("back", ("A", 5))  # in the middle of an epoch of two sizes
    left.run_for(4)
    assert left.status.branch == "B"
    assert left.branches.current.taken == plain.branches.current.taken
    assert same(facts(left), facts(plain))
    left.ask("back", ("A", 2))
    left.run_for(3)
    again = session()
    again.run_for(5)
    assert left.branches.current.taken == again.branches.current.taken


def test_there_and_back_is_no_mark() -> None:
    made = (
        Change(10, "learning_rate", 1e-3, 1e-2),
        Change(11, "dropout", 0.1, 0.2),
        Change(12, "learning_rate", 1e-2, 1e-3),
    )
    assert gathered(made, 5) == [(12, "dropout 0.1 → 0.2")]
    assert gathered((made[0], made[2]), 5) == []
    assert len(gathered((made[0], made[2]), 1)) == 2
    again = Change(13, "learning_rate", 1e-3, 2e-3)  # of three turns the first old value, and the last new one
    assert gathered((made[0], made[2], again), 5) == [(13, "learning rate 0.001 → 0.002")]


def test_a_planned_change_says_what_it_will_be() -> None:
    assert str(Planned(5, "learning_rate", times=0.1)) == "learning rate ÷ 10"
    assert str(Planned(5, "l2", times=2)) == "L2 × 2"
    assert str(Planned(5, "augment", False)) == "augmentation → off"
    assert Planned(5, "learning_rate", times=0.1).on(Knobs(learning_rate=3e-3)) == {"learning_rate": 3e-4}


@pytest.mark.parametrize(
    ("planned", "says"),
    [
        ((-1, "dropout", 0.1), "the epoch of a planned change -1"),
        ((1, "droput", 0.1), "did you mean 'dropout'"),
        ((1, "dropout", 1.5), "dropout 1.5 is not possible"),
        ((1, "augment", None, 2.0), "cannot be multiplied"),
        ((1, "dropout", None, 0.0), "the factor of a planned change"),
    ],
)
def test_an_impossible_plan_is_refused(planned: tuple, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        Planned(*planned)
