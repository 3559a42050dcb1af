"""What a row is made of: images, network, run; pre-trained networks whose layers it begins with."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import nn

from tinylab import data, models, training
from tinylab.data.dataset import Dataset
from tinylab.data.normalisation import Normalisation
from tinylab.support.device import Device
from tinylab.support.files import locked
from tinylab.tools.experiments.rows import Row
from tinylab.training import Run, checkpoints, transfer
from tinylab.training.history import Epoch, History


def images(row: Row) -> Dataset:
    """The row's images: the same classes and development split for all rows and seeds of a plan."""
    if row.source is None:
        return _normalised(data.load(row.data, row.classes, per_class=row.per_class), row)
    parts = _parts(row)
    few = parts.target.part(row.per_class)
    # a handful of images has no mean image worth the name, and rows shall differ in their weights alone
    return _with_normalisation(few, _normalised(parts.source, row).normalisation)


def count(row: Row) -> int:
    """How many training images the row has; none is read. Raises TinylabError for data that is absent or too small."""
    if row.source is None:
        found = data.load(row.data, row.classes, per_class=row.per_class)
    else:
        found = _parts(row).target.part(row.per_class)
    if row.watched is not None:
        found.development.per_class(row.watched)
    return len(found.train)


def _parts(row: Row) -> transfer.Parts:
    assert row.source is not None
    assert row.target is not None
    return transfer.split(data.load(row.data, row.classes), row.source, row.target)


def _normalised(found: Dataset, row: Row) -> Dataset:
    if row.normalisation == "pixel":
        return found
    return _with_normalisation(found, by_variance(found.normalisation))


def _with_normalisation(found: Dataset, normalisation: Normalisation) -> Dataset:
    """A cached property gives what lies under its name in the instance."""
    found = replace(found)
    vars(found)["normalisation"] = normalisation
    return found


def by_variance(fitted: Normalisation) -> Normalisation:
    """The mean image subtracted, the rest divided by the variance of each channel: in pixel units 0..255, as stored."""
    return Normalisation(fitted.mean, np.square(fitted.scale, dtype=np.float64))


def start(
    row: Row,
    dataset: Dataset,
    device: Device,
    checkpoint: Path,
    pretrained: nn.Module | None = None,
) -> Run:
    """The row's run, where its checkpoint left it.

    Raises InvalidInputError for what does not fit together, TrainingError for a checkpoint of another run.
    """
    recipe = row.recipe
    model = models.build(
        row.network, len(dataset.classes), size=dataset.size, seed=recipe.seed, initialisation=row.initialisation
    )
    if pretrained is not None:
        transfer.copy_weights(pretrained, model)
    if row.l2_on != "all":
        recipe = replace(recipe, l2=0.0)  # then not the optimizer applies it, but the gradient of some weights
    part = dataset
    if row.watched is not None:
        fewer = replace(dataset, development=dataset.development.per_class(row.watched))
        part = _with_normalisation(fewer, dataset.normalisation)
    run = training.train(model, part, recipe, device=device, checkpoint=checkpoint, resume=True)
    if row.l2_on != "all":
        penalise(model, row.recipe.l2)
    return run


def history(row: Row, run: Run) -> History:
    """The run's history as the row asked for it: its whole recipe, the network's line without the recipe's dropout."""
    architecture = checkpoints.describe(models.build(row.network, max(2, len(run.history.classes))))
    return replace(run.history, recipe=row.recipe, architecture=architecture)


def penalise(model: nn.Module, l2: float) -> None:
    """Add the gradient of l2·Σw², 2·l2·w, to the weights of the fully connected layers; `Recipe.l2` does it to all.

    There is nothing to save: a resumed run asks again. The history's `penalty` does not know of it and stays 0.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            weight = layer.weight
            weight.register_hook(lambda gradient, weight=weight: gradient + 2 * l2 * weight.detach())


def until(run: Run, deadline: float | None, say: Callable[[str], None]) -> Iterator[Epoch]:
    """Train on, and give each epoch; one that would end after `deadline` (time.time()) is not begun, but a first is."""
    began = time.time()
    for epoch in run:
        yield epoch
        say(told(epoch, run.recipe.epochs, run.history.eval_split))
        now = time.time()
        if now + (now - began) > (math.inf if deadline is None else deadline):
            return
        began = now


def told(epoch: Epoch, epochs: int, eval_split: str) -> str:
    """The line that a training of so many epochs shows after each."""
    return (
        f"epoch {epoch.epoch} of {epochs}: train {epoch.train_loss:.3f} / {epoch.train_accuracy:.1%}, "
        f"{eval_split} {epoch.eval_loss:.3f} / {epoch.eval_accuracy:.1%}, {epoch.images_per_second:.0f} images/s"
    )


def pretrained(
    row: Row, folder: Path, device: Device, deadline: float | None, say: Callable[[str], None]
) -> nn.Module | None:
    """The pre-trained network that the row begins with, from `folder`, or trained now; None: the deadline came first.

    Rows with the same network, seed and pre-training have it in common, whoever comes first trains it.
    """
    assert row.pretraining is not None
    same = Row("", "", row.network, row.pretraining, row.data, row.classes, normalisation=row.normalisation)
    same = replace(same, initialisation=row.initialisation, source=row.source, target=row.target)
    path = folder / f"{same.identifier}.pt"
    lock = path.with_suffix(".lock")
    with locked(lock, lambda: say(f"another process does the pre-training (it holds {lock}); waiting for it")):
        source = _normalised(_parts(row).source, row)
        run = start(same, source, device, path)
        for _ in until(run, deadline, lambda line: say(f"pre-training, {line}")):
            pass
    return run.model if run.finished else None
