"""Loss and accuracy: every image weighs the same, whatever the batch; both ways round only where asked."""

import copy
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from tests import tiny
from tests.training.made import CPU, by_hand
from tinylab.data.batches import Batches
from tinylab.evaluation import predict
from tinylab.support.errors import InvalidInputError
from tinylab.training import gathered, score, scoring


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


# ---- both ways round


def test_flip_is_the_mean_of_both_views_and_has_to_be_asked_for(data):
    model = tiny.network()
    with torch.no_grad():
        model[-1].weight.mul_(30)  # logits that differ from view to view
    split = data.development
    images, labels = split.take(np.arange(len(split)))
    scaled = ((images.astype(np.float64) - data.normalisation.mean) / data.normalisation.scale).transpose(0, 3, 1, 2)
    network = copy.deepcopy(model).double().eval()
    logits = sum(network(torch.from_numpy(view.copy())) for view in (scaled, scaled[..., ::-1])) / 2
    expected = cross_entropy(logits, torch.from_numpy(labels)).item()
    right = (logits.argmax(1).numpy() == labels).mean()
    batches = Batches(split, data.normalisation, batch=7, device=CPU)
    result = score(model, batches, flip=True)
    assert (result.loss, result.accuracy, result.count) == (pytest.approx(expected, rel=1e-4), pytest.approx(right), 30)
    assert result != score(model, batches)


def test_flip_of_a_network_that_looks_the_same_both_ways_changes_nothing(data):
    line = "conv1-4 - relu - conv1-3 - relu - softmax"
    model = tiny.network(line=line)
    with torch.no_grad():
        weight = model[-1].weight.view(3, 3, tiny.SIZE, tiny.SIZE)
        weight.copy_((weight + weight.flip(3)) / 2)  # symmetric
    batches = Batches(data.development, data.normalisation, device=CPU)
    plain, both = score(model, batches), score(model, batches, flip=True)
    assert (both.loss, both.accuracy) == (pytest.approx(plain.loss, rel=1e-5), plain.accuracy)


@pytest.mark.parametrize("ask", ["score", "predict"])
def test_nothing_of_a_batch_is_kept_while_the_next_is_computed(data, ask, monkeypatch):
    """On a CPU what is kept lies where the next activations were to go: 30 MB of memory were lost with each batch."""
    seen = []

    def watched(function):
        def call(*given):
            alive = [ref for ref in seen if ref() is not None]
            assert len(alive) <= 1, f"{len(alive)} of {len(seen)} batches are still in memory"
            seen.append(weakref.ref(result := function(*given)))
            return result

        return call

    model = tiny.network()
    if ask == "score":
        monkeypatch.setattr(scoring, "_sums", watched(scoring._sums))
        score(model, Batches(data.development, data.normalisation, batch=3, device=CPU))
    else:
        many = replace(data.development, index=np.resize(data.development.index, 1000))
        monkeypatch.setattr(model, "forward", watched(model.forward))
        assert len(predict(model, many, data.normalisation, CPU).probabilities) == 1000
    assert len(seen) >= 8


def test_results_of_batches_are_gathered_in_order():
    parts = [(torch.full((n, 2), float(n)), torch.arange(n)) for n in (3, 3, 1)]
    ones, twos = gathered(parts, 7)
    assert torch.equal(ones, torch.cat([one for one, _ in parts]))
    assert torch.equal(twos, torch.cat([two for _, two in parts]))
    assert (ones.dtype, twos.dtype) == (torch.float32, torch.int64)
