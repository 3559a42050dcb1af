"""Four ways to score a good network wrongly, inflicted on purpose on images whose labels are known.

    mix_files         the k-th prediction is taken for the k-th file of another listing
    mix_classes       output j is taken for the j-th class of another listing
    wrong_pixels      the images are not prepared as those of the training were
    dropout_left_on   the network still drops units at random

Each gives `Predictions` as the unlucky person holds them: names and labels in numeric order, so that nothing looks
odd. The network is the same throughout; only the way to its score is wrong.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from tinylab.data.layout import natural
from tinylab.data.normalisation import Normalisation
from tinylab.evaluation.scores import Predictions, as_it_is, predict
from tinylab.support.device import pick
from tinylab.support.errors import InvalidInputError, nearest
from tinylab.support.seeds import derive_seed
from tinylab.support.table import Table
from tinylab.training import evaluating

if TYPE_CHECKING:
    from tinylab.data.split import Split

LISTINGS = ("sorted", "shuffled")

# what is subtracted and what it is divided by, from the right mean image and scale
PIXELS: dict[str, Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
    "raw": lambda mean, scale: (0 * mean, 1 + 0 * scale),  # bytes as they are, 0 to 255
    "0 to 1": lambda mean, scale: (0 * mean, 255 + 0 * scale),  # the other habit: divide by 255 and no more
    "no mean": lambda mean, scale: (0 * mean, scale),
    "no scale": lambda mean, scale: (mean, 1 + 0 * scale),
    "shift": lambda mean, scale: (mean + scale, scale),  # all images darker by one standard deviation
}


def by_number(predictions: Predictions) -> Predictions:
    """The same rows in numeric order of the file names: test_2 before test_10."""
    order = sorted(range(len(predictions.files)), key=lambda row: natural(str(predictions.files[row])))
    labels = None if predictions.labels is None else predictions.labels[order]
    return Predictions(predictions.files[order], predictions.probabilities[order], labels)


def mix_files(predictions: Predictions, how: str = "sorted", seed: int = 0) -> Predictions:
    """Files predicted in one listing and named by another.

    how  "sorted": the network saw them in the order of sorted(), test_10 before test_2; "shuffled": in any order,
         as os.listdir may give them. In both, the list of names that meets the predictions is in numeric order.
    """
    right = by_number(predictions)
    order = listing(right.files, how, seed)
    return replace(right, probabilities=right.probabilities[order])


def mix_classes(predictions: Predictions, classes: Sequence[str], how: str = "sorted", seed: int = 0) -> Predictions:
    """Outputs numbered in one listing of the classes and read in another.

    classes  wnids in the order of the labels, that of wnids.txt
    how      "sorted": output j is read as the j-th class of the sorted names (as tools that go by folders
             do); "shuffled": as the j-th of a listing in any order
    """
    predictions.check_classes(classes)
    right = by_number(predictions)
    read_as = listing(np.asarray(classes), how, seed)  # output j is read as class read_as[j]
    mixed = np.empty_like(right.probabilities)
    mixed[:, read_as] = right.probabilities
    return replace(right, probabilities=mixed)


def listing(names: np.ndarray, how: str, seed: int = 0) -> np.ndarray:
    """Positions of `names` in another listing, int64 (N,)."""
    if how == "sorted":
        return np.argsort(names, kind="stable")
    if how == "shuffled":
        return np.random.default_rng(derive_seed(seed)).permutation(len(names))
    raise InvalidInputError(f"listing {how!r} is unknown{nearest(str(how), LISTINGS)}")


def wrong_pixels(model: nn.Module, split: "Split", normalisation: Normalisation, how: str = "no mean") -> Predictions:
    """Predictions for images that were not prepared as those of the training.

    normalisation  the right one; how: a name in `PIXELS`
    """
    if how not in PIXELS:
        raise InvalidInputError(f"preparation {how!r} is unknown{nearest(str(how), PIXELS)}")
    wrong = Normalisation(*PIXELS[how](normalisation.mean, normalisation.scale))
    return by_number(predict(model, split, wrong))


def dropout_left_on(model: nn.Module, split: "Split", normalisation: Normalisation, *, seed: int = 0) -> Predictions:
    """Predictions of a network that still drops units, as in training; its modes are restored.

    seed  of the dropped units: the caller's random numbers go on untouched. InvalidInputError if nothing drops.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, _DropoutNd) and layer.p > 0]
    if not layers:
        raise InvalidInputError("this network has no dropout to leave on. Take one with dropout above 0")
    device = pick()
    with torch.random.fork_rng([device.target] if device.target.type == "cuda" else []), evaluating(model):
        torch.manual_seed(derive_seed(seed))
        for layer in layers:
            layer.train()
        return by_number(as_it_is(model, split, normalisation, device))


def perfect(files: np.ndarray, labels: np.ndarray, classes: int) -> Predictions:
    """Predictions that are right everywhere, to see what a wrong way of scoring alone does."""
    return Predictions(np.asarray(files), np.eye(classes, dtype=np.float32)[labels], np.asarray(labels))


# Perfect predictions for the 10,000 validation images of the real Tiny ImageNet, scored wrongly. Counted with
# `perfect`, `mix_files`, `mix_classes` on the Stanford archive's annotations (tinylab 0.1.0, 2026-11-22).
_ORACLE = {
    "by file name and wnid": "100.00 %",
    "classes in sorted order": "0.00 %",
    "files in sorted order": "0.67 %",
    "files shuffled, 20 times": "0.35 to 0.64 %",
    "guessing": "0.50 %",
}


def recorded_oracle() -> Table:
    """What perfect predictions score on the real validation set, for readers who do not have it."""
    columns = ["perfect predictions, scored", "accuracy"]
    return Table(columns, list(_ORACLE.items()), "Real Tiny ImageNet, recorded, not counted just now")
