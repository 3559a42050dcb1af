"""What a row is made of: its normalisation, L2 on some layers only, divided classes, pre-training."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests import tiny
from tests.course.results.made import epoch
from tests.tools.experiments.small import LINE
from tinylab import models, training
from tinylab.support.device import pick
from tinylab.support.errors import InvalidInputError
from tinylab.tools import experiments
from tinylab.tools.experiments import Row, material
from tinylab.training import Recipe

CPU = pick("cpu")
SHORT = Recipe(epochs=2, batch=30, dropout=0.0)


def row(**changes):
    return replace(Row("p", "t", LINE, SHORT, data="small"), **changes)


def test_the_row_says_how_pixels_are_divided():
    pixel, variance = (material.images(row(normalisation=name)).normalisation for name in ("pixel", "variance"))
    np.testing.assert_array_equal(pixel.mean, variance.mean)
    np.testing.assert_allclose(variance.scale, pixel.scale.astype(np.float64) ** 2, rtol=1e-6)


def test_l2_on_the_fully_connected_layers_reaches_no_others():
    """One step of plain SGD without momentum: the others' weights are those of a step without L2."""
    recipe = Recipe(epochs=1, batch=90, dropout=0.0, optimizer="sgd", momentum=0.0, learning_rate=0.1)
    states = {}
    for l2 in (None, 0.5):
        model = tiny.network()
        before = {key: value.clone() for key, value in model.state_dict().items()}
        found = training.train(model, tiny.dataset(), recipe, device=CPU)
        if l2 is not None:
            material.penalise(model, l2)
        found.finish()
        states[l2] = model.state_dict()
    for name, value in states[0.5].items():
        reached = name.endswith("weight") and name.startswith(("fc", "softmax"))
        expected = states[None][name] - (0.1 * 2 * 0.5 * before[name] if reached else 0)
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-6)


def test_the_history_has_the_row_s_whole_recipe(tmp_path):
    asked = row(recipe=replace(SHORT, l2=0.1), l2_on="fully connected", start="fine-tuned")
    found = material.start(asked, material.images(asked), CPU, tmp_path / "c.pt", models.build(LINE, 7, seed=5))
    found.finish()
    assert found.recipe.l2 == 0
    assert material.history(asked, found).recipe.l2 == 0.1
    assert material.history(asked, found).architecture == LINE


def test_divided_classes_and_their_common_normalisation():
    few = row(source=1, target=2, per_class=2)
    with pytest.raises(InvalidInputError, match="source classes of 3: 1 is not possible"):
        material.images(few)
    found = experiments.parse(
        f'data = "sample"\nclasses = 6\nnetworks = ["{LINE}"]\n[transfer]\nsource = 4\ntarget = 2\nepochs = 1\n'
        '[base]\nbatch = 90\n[[rows]]\nname = "a"\nper_class = 3\n[[rows]]\nname = "b"\nper_class = 9\n',
        "p",
    )
    assert [row.per_class for row in found.rows] == [3, 9]


def test_rows_share_a_pretrained_network_and_begin_with_its_layers(tmp_path, monkeypatch):
    first = Recipe(epochs=2, batch=9)
    monkeypatch.setattr(
        material, "_parts", lambda row: material.transfer.Parts(tiny_part((0, 1, 2)), tiny_part((1, 2)))
    )
    said = []
    tuned = row(start="fine-tuned", source=3, target=2, pretraining=first)
    pretrained = material.pretrained(tuned, tmp_path, CPU, None, said.append)
    assert len(said) == 2
    again = material.pretrained(replace(tuned, per_class=4, title="x"), tmp_path, CPU, None, said.append)
    assert len(said) == 2  # nothing was trained
    assert all(
        torch.equal(a, b) for a, b in zip(pretrained.state_dict().values(), again.state_dict().values(), strict=True)
    )
    started = material.start(tuned, material.images(tuned), CPU, tmp_path / "row.pt", pretrained)
    assert torch.equal(started.model[0].weight, pretrained[0].weight)
    other = material.pretrained(replace(tuned, pretraining=replace(first, seed=1)), tmp_path, CPU, None, said.append)
    assert len(said) == 4
    assert not torch.equal(other[0].weight, pretrained[0].weight)


def test_pretraining_stops_at_the_deadline_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(
        material, "_parts", lambda row: material.transfer.Parts(tiny_part((0, 1, 2)), tiny_part((1, 2)))
    )
    said = []
    tuned = row(start="fine-tuned", source=3, target=2, pretraining=Recipe(epochs=2, batch=9))
    assert material.pretrained(tuned, tmp_path, CPU, 0.0, said.append) is None
    assert material.pretrained(tuned, tmp_path, CPU, 0.0, said.append) is not None
    assert [line.split(":")[0] for line in said] == ["pre-training, epoch 1 of 2", "pre-training, epoch 2 of 2"]


def test_no_epoch_is_begun_that_would_end_after_the_deadline(monkeypatch):
    """Epochs of ten seconds and a slice of 35: three; of 30, still three; of nothing, one."""
    now = [1000.0]

    class Ten:
        recipe, history = Recipe(epochs=9), SimpleNamespace(eval_split="development")

        def __iter__(self):
            for number in range(1, 10):
                now[0] += 10
                yield epoch(number)

    monkeypatch.setattr(material, "time", SimpleNamespace(time=lambda: now[0]))
    for seconds, expected in ((35, 3), (30, 3), (29, 2), (0, 1), (None, 9)):
        deadline = None if seconds is None else now[0] + seconds
        assert len(list(material.until(Ten(), deadline, lambda line: None))) == expected


def tiny_part(labels):
    """The small data set's classes of those labels."""
    from tinylab import data

    everything = data.load("small")
    return data.load("small", [everything.classes[label] for label in labels])


def test_divided_by_the_variance_taken_literally():
    """Pixels 0 to 255 less the mean image, divided by σ² per channel: on these images by thousands."""
    fitted = tiny.dataset().normalisation
    literal = material.by_variance(fitted)
    np.testing.assert_allclose(literal.scale, fitted.scale.astype(np.float64) ** 2, rtol=1e-6)
    images = tiny.dataset().train.take(slice(0, 5))[0]
    expected = (images.astype(np.float64) - fitted.mean) / fitted.scale.astype(np.float64) ** 2
    np.testing.assert_allclose(literal.apply(images).permute(0, 2, 3, 1).numpy(), expected, rtol=1e-4, atol=1e-6)
