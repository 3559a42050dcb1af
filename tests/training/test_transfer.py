"""Transfer: classes that do not overlap, weights that go over, layers that stay, and a comparison that is fair."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import ttest_rel
from torch import nn

from tests.tiny import LINE, SIZE, dataset, network
from tinylab import models, training
from tinylab.data.batches import Batches
from tinylab.data.normalisation import Normalisation
from tinylab.support.errors import InvalidInputError
from tinylab.training import transfer

DATA = dataset(train=120, other=40, classes=6)
PARTS = transfer.split(DATA, 4, 2)
RECIPE = training.Recipe(batch=4, learning_rate=0.01, dropout=0.0)


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


# ---------------------------------------------------------------- classes


def test_split_shares_no_class_and_loses_no_image() -> None:
    for seed in range(5):
        parts = transfer.split(DATA, 4, 2, seed=seed)
        assert set(parts.source.classes) | set(parts.target.classes) == set(DATA.classes)
        assert not set(parts.source.classes) & set(parts.target.classes)
        for name in ("train", "development", "validation"):
            whole, mine = getattr(DATA, name), [getattr(part, name) for part in (parts.source, parts.target)]
            assert sorted(np.concatenate([part.names for part in mine])) == sorted(whole.names)
            truth = dict(zip(whole.names, whole.targets, strict=True))
            for part, split in zip((parts.source, parts.target), mine, strict=True):
                said = [part.classes[label] for label in split.targets]
                assert said == [DATA.classes[truth[file]] for file in split.names]
    drawn = {transfer.split(DATA, 4, 2, seed=seed).target.classes for seed in range(5)}
    assert len(drawn) > 1


def test_which_classes_a_seed_draws() -> None:
    """Records rest on it: the first of a permutation are the source, the next ones the target, each in data order."""
    order = np.random.default_rng(3).permutation(6)
    parts = transfer.split(DATA, 2, 3, seed=3)
    for part, drawn in ((parts.source, sorted(order[:2])), (parts.target, sorted(order[2:5]))):
        assert part.classes == tuple(DATA.classes[i] for i in drawn)
        assert part.words == tuple(DATA.words[i] for i in drawn)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((5, 2), "source classes of 6: 5 is not possible. Allowed: a whole number from 2 to 4"),
        ((3, 4), "target classes of 6: 4 is not possible. Allowed: a whole number from 2 to 3"),
        ((4, 1), "target classes of 6: 1"),
        ((True, 2), "True is not possible"),
        ((4, 2, -1), "seed -1"),
    ],
)
def test_impossible_splits(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as caught:
        transfer.split(DATA, *arguments)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- from one network to another

NORMED = "conv3-4 - batch norm - relu - max pool - fc(8) - relu - dropout - softmax"


@pytest.mark.parametrize("line", [LINE, NORMED, "conv3-4 - relu - max pool - fc(200) - softmax"])
def test_transplant_copies_all_but_the_last_layer(line: str) -> None:
    pretrained, model = network(4, line, seed=1), network(2, line, seed=2)
    with torch.no_grad():
        for tensor in pretrained.state_dict().values():
            tensor.add_(1)  # running means, too
    before, given = weights(model), weights(pretrained)
    done = transfer.copy_weights(pretrained, model)
    after = weights(model)
    for name in done.carried:
        assert torch.equal(after[name], given[name]), name
    assert len(done.fresh) == 2
    for name in done.fresh:
        assert torch.equal(after[name], before[name])
        assert after[name].shape[0] == 2
    assert {*done.carried, *done.fresh} == set(after)
    assert done.carried_numbers + done.fresh_numbers == sum(tensor.numel() for tensor in after.values())
    assert all(torch.equal(given[name], value) for name, value in pretrained.state_dict().items())
    with torch.no_grad():  # independent copies: training one leaves the other
        model[0].weight.zero_()
    assert pretrained[0].weight.any()
    assert f"{done.carried_numbers:,}" in str(done.table())


def test_transplant_of_the_modern_network() -> None:
    pretrained, model = (models.modern("modern-small", classes) for classes in (5, 3))
    done = transfer.copy_weights(pretrained, model)
    assert set(done.fresh) == {"fc(3).weight", "fc(3).bias"}
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(pretrained[:-1].eval()(x), model[:-1].eval()(x))


def test_transplant_refuses_another_network_and_copies_nothing() -> None:
    pretrained, model = network(4), network(2, LINE.replace("fc(8)", "fc(9)"))
    before = weights(model)
    with pytest.raises(InvalidInputError, match="differ before their last layer"):
        transfer.copy_weights(pretrained, model)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    with pytest.raises(InvalidInputError, match="no fully connected layer"):
        transfer.copy_weights(nn.Sequential(nn.Conv2d(3, 4, 3)), model)


def test_a_frozen_network_learns_in_its_last_layer_only() -> None:
    model = network(3, NORMED)
    probe = transfer.probe(model)
    before = weights(model)
    training.train(probe, dataset(), training.Recipe(epochs=2, batch=16, learning_rate=0.05)).finish()
    after = weights(model)  # the probe shares its layers
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"softmax: fc(3).weight", "softmax: fc(3).bias"}  # not even a running mean
    assert sum(p.numel() for p in probe.parameters() if p.requires_grad) == 8 * 3 + 3
    probe.train()
    x = torch.randn(5, 3, SIZE, SIZE)
    assert torch.equal(probe(x), probe(x))  # no dropout
    assert torch.equal(probe(x), model.eval()(x))
    with pytest.raises(InvalidInputError, match="last layer 'relu' is a ReLU"):
        transfer.probe(model[:3])


# ---------------------------------------------------------------- the experiment


@pytest.mark.parametrize("way", transfer.WAYS)
def test_an_attempt_is_what_it_says(way: str) -> None:
    pretrained = network(4, seed=9)
    given = weights(pretrained)
    done = transfer.attempt(way, pretrained, PARTS, LINE, RECIPE, per_class=3, updates=7, seed=2, factor=3)
    assert all(torch.equal(given[name], value) for name, value in pretrained.state_dict().items())
    epochs = 4 * (3 if way == "more epochs" else 1)  # 6 images in batches of 4: 2 updates an epoch, 7 take 4 epochs
    assert done.updates == 2 * epochs

    few = PARTS.target.part(3, 2)
    model = network(2, seed=2)
    if way in ("fine-tuned", "frozen"):
        for name in ("conv3-4", "fc(8)"):
            model.get_submodule(name).load_state_dict(pretrained.get_submodule(name).state_dict())
    oracle(model, few, epochs, only_last=way == "frozen")
    validation = training.score(model, Batches(few.validation, PARTS.source.normalisation))
    assert (done.validation, done.eval_loss) == pytest.approx((validation.accuracy, validation.loss), abs=1e-4)
    assert validation.count == len(PARTS.target.validation)
    own = training.score(model, Batches(few.train, PARTS.source.normalisation))
    assert done.train == pytest.approx(own.accuracy)
    assert done.way == way


def oracle(model: nn.Module, few: object, epochs: int, only_last: bool) -> None:
    """The same training by PyTorch's own pieces."""
    models.set_dropout(model, 0.0)
    learning = list(model.parameters())[-2:] if only_last else list(model.parameters())
    optimizer = torch.optim.Adam(learning, lr=RECIPE.learning_rate)
    batches = Batches(few.train, PARTS.source.normalisation, batch=4, shuffle=True, seed=2)
    for number in range(1, epochs + 1):
        for x, y in batches.epoch(number):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()


def test_all_ways_see_the_same_images_normalised_by_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    train = transfer.train

    def spy(model: nn.Module, data: object, recipe: training.Recipe, **rest: object) -> training.Run:
        seen.append((data.train.names.tolist(), data.normalisation, recipe, set(data.development.names)))
        return train(model, data, recipe, **rest)

    monkeypatch.setattr(transfer, "train", spy)
    transfer.compare([network(4)], PARTS, LINE, RECIPE, per_class=(2,), updates=1, seeds=2, factor=1)
    for seed in (0, 1):
        mine = seen[seed::2]
        assert len(mine) == len(transfer.WAYS)
        assert all(files == mine[0][0] for files, *_ in mine)
        assert all(recipe == mine[0][2] for _, _, recipe, _ in mine)
    assert seen[0][0] != seen[1][0]  # another seed, other images
    wanted = Normalisation.fit(PARTS.source.train)
    held = set(PARTS.target.validation.names)
    for files, normalisation, _, watched in seen:
        assert np.array_equal(normalisation.mean, wanted.mean)
        assert not held & {*files, *watched}  # the official validation images are opened at the end only


def test_seeds_take_the_pretrained_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    several, used = [network(4, seed=seed) for seed in (1, 2)], []
    carry = transfer.copy_weights
    monkeypatch.setattr(transfer, "copy_weights", lambda given, model: used.append(given) or carry(given, model))
    transfer.compare(several, PARTS, LINE, RECIPE, per_class=(1,), updates=1, seeds=3, factor=1)
    assert [several.index(pretrained) for pretrained in used] == [0, 1, 0] * 2  # fine-tuned, then frozen


def results(**accuracies: list[float]) -> transfer.Results:
    """Made-up attempts with 5 images per class: way (underscores for spaces), then a validation accuracy per seed."""
    attempts = [
        transfer.Attempt(way.replace("_", " ").replace("fine tuned", "fine-tuned"), 5, seed, 40, 1.0, value, 1.0, 0.1)
        for way, values in accuracies.items()
        for seed, value in enumerate(values)
    ]
    return transfer.Results(tuple(reversed(attempts)), 5)


def test_verdicts_are_students() -> None:
    scratch = [0.40, 0.42, 0.38, 0.41]
    seen = set()
    for other in ([0.50, 0.53, 0.47, 0.52], [0.50, 0.40, 0.47, 0.36], [0.30, 0.31, 0.28, 0.33]):
        made = results(from_scratch=scratch, fine_tuned=other)
        test = ttest_rel(other, scratch)
        says = "cannot tell" if test.pvalue > 0.05 else "better" if test.statistic > 0 else "worse"
        assert made.verdict("fine-tuned", 5).split(" (")[0] == says
        seen.add(says)
        found = made.difference("fine-tuned", 5)
        assert found.mean / found.error == pytest.approx(test.statistic)
        many = "cannot tell" if test.pvalue > 0.05 / 40 else says
        assert made.verdict("fine-tuned", 5, tests=40).split(" (")[0] == many
    assert seen == {"better", "cannot tell", "worse"}
    assert results(from_scratch=[0.4], frozen=[0.9]).verdict("frozen", 5) == "cannot tell: one seed (+50.0 points)"


def test_the_table() -> None:
    made = results(from_scratch=[0.40, 0.44], frozen=[0.50, 0.54])
    assert made.ways == ("from scratch", "frozen")
    assert made.sizes == (5,)
    rows = made.table().rows
    assert [row[1] for row in rows] == ["from scratch", "frozen"]
    assert rows[0][4] == "42.0 ± 2.0 %"  # the standard error of two: half their difference
    assert rows[0][5] == "–"
    assert rows[1][5].startswith("better (+10.0 points")
    assert "2 seeds" in made.table().caption
    assert made.table(tests=3).rows[1][5].startswith("better")  # the same gain with each seed: no error at all
    assert "one of 3" in made.table(tests=3).caption
    alone = results(frozen=[0.5])
    assert alone.table().rows[0][4:] == ["50.0 %", "–"]
    with pytest.raises(InvalidInputError, match="'frozen' with 7 images per class has not been tried"):
        made.column("frozen", 7)
    assert made.column("frozen", 5, "train") == [1.0, 1.0]
    assert math.isnan(alone.difference("frozen", 5, "frozen").error)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"way": "fine tuned"}, "did you mean 'fine-tuned'"),
        ({"updates": 0}, "updates 0"),
        ({"factor": 0.5}, "factor 0.5"),
        ({"per_class": 21}, "per_class=21"),
    ],
)
def test_impossible_attempts(changes: dict[str, object], message: str) -> None:
    arguments = {"way": "frozen", "per_class": 2, "updates": 1} | changes
    with pytest.raises(InvalidInputError, match=message):
        transfer.attempt(arguments.pop("way"), network(4), PARTS, LINE, RECIPE, **arguments)


def test_nothing_to_compare() -> None:
    for networks, sizes in (([], (1,)), ([network(4)], ())):
        with pytest.raises(InvalidInputError, match="nothing to compare"):
            transfer.compare(networks, PARTS, LINE, RECIPE, per_class=sizes, updates=1)
    with pytest.raises(InvalidInputError, match="seeds 0"):
        transfer.compare([network(4)], PARTS, LINE, RECIPE, per_class=(1,), updates=1, seeds=0)
