"""Predictions keyed by file name; which classes are confused; accuracy and share of each class.

Class numbers mean positions in `Dataset.classes`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from tinylab.data.batches import Batches
from tinylab.data.normalisation import Normalisation
from tinylab.support.device import Device, pick
from tinylab.support.errors import InvalidInputError, check_int
from tinylab.support.table import Table
from tinylab.training import EVALUATION_BATCH, evaluating, gathered

if TYPE_CHECKING:
    from tinylab.data.split import Split


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a network says about N images, row by row."""

    files: np.ndarray  # str (N,), file names
    probabilities: np.ndarray  # float32 (N, C), rows sum to 1
    labels: np.ndarray | None  # int64 (N,), the truth; None: unlabelled

    @property
    def classes(self) -> np.ndarray:
        """int64 (N,), the most probable class of each image."""
        return self.probabilities.argmax(axis=1)

    @property
    def accuracy(self) -> float:
        """Share of images whose most probable class is the true one, 0..1. InvalidInputError if unlabelled."""
        if self.labels is None:
            raise InvalidInputError("these images have no labels, so there is no accuracy. Take a labelled split")
        return float((self.classes == self.labels).mean())

    def check_classes(self, classes: Sequence[str]) -> None:
        """Raises InvalidInputError unless an image has one probability for each of these classes."""
        count = self.probabilities.shape[1]
        if len(classes) != count:
            raise InvalidInputError(f"{len(classes)} classes do not fit predictions for {count}. Give one each")

    def by_file(self) -> dict[str, int]:
        """The predicted class of each file name."""
        return dict(zip(self.files.tolist(), self.classes.tolist(), strict=True))

    def likeliest(self, names: Sequence[str], top: int = 3) -> Table:
        """The `top` most probable of the C classes called `names` for each image, with their probabilities."""
        check_int("top", top, 1, len(names))
        order = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :top]
        rows = [
            [file, *(f"{names[number]} {likely[number]:.1%}" for number in numbers)]
            for file, likely, numbers in zip(self.files, self.probabilities, order, strict=True)
        ]
        return Table(["image", *(f"likeliest {place}" for place in range(1, top + 1))], rows)


def predict(
    model: nn.Module, split: "Split", normalisation: Normalisation, device: Device | None = None
) -> Predictions:
    """Class probabilities for every image of `split`, in evaluation mode; the model's modes are restored.

    normalisation  that of the training images, whichever split is predicted
    """
    with evaluating(model):
        return as_it_is(model, split, normalisation, device)


def as_it_is(
    model: nn.Module, split: "Split", normalisation: Normalisation, device: Device | None = None
) -> Predictions:
    """`predict` in whatever mode the model is in, which is a mistake unless somebody makes it on purpose."""
    device = device or pick()
    device.place(model)
    batches = Batches(split, normalisation, batch=EVALUATION_BATCH, device=device)
    with torch.no_grad(), device.autocast():
        (logits,) = gathered(([model(x).float().cpu()] for x, _ in batches.epoch()), batches.count)  # (N, C)
    return Predictions(np.asarray(split.names), logits.softmax(dim=1).numpy(), split.targets)


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """How often class i (row) was called class j (column): int64 (C, C), summing to the number of images.

    labels, predicted: whole numbers (N,) in 0..classes-1; anything else raises InvalidInputError.
    """
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    if labels.ndim != 1 or labels.shape != predicted.shape:
        raise InvalidInputError(
            f"labels of shape {labels.shape} and predictions of shape {predicted.shape} do not pair up. "
            "Allowed: two of (N,)"
        )
    for name, values in (("label", labels), ("prediction", predicted)):
        if len(wrong := values[(values < 0) | (values >= classes)]):
            raise InvalidInputError(f"{name} {wrong[0]} is no class. Allowed: 0 to {classes - 1}")
    flat = labels.astype(np.int64) * classes + predicted
    return np.bincount(flat, minlength=classes**2).reshape(classes, classes)


def class_accuracy(matrix: np.ndarray) -> np.ndarray:
    """Share of each class's images that were recognised, float64 (C,), 0..1; NaN for a class without images.

    matrix: (C, C) from `confusion`.
    """
    matrix = _square(matrix)
    images = matrix.sum(axis=1)
    return np.divide(np.diag(matrix), images, out=np.full(len(matrix), np.nan), where=images > 0)


def class_shares(matrix: np.ndarray) -> np.ndarray:
    """Share of all predictions that name each class, float64 (C,), summing to 1: what the network likes to say.

    matrix: (C, C) from `confusion`.
    """
    matrix = _square(matrix)
    return matrix.sum(axis=0) / max(int(matrix.sum()), 1)


def _square(matrix: np.ndarray) -> np.ndarray:
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise InvalidInputError(f"a matrix of shape {matrix.shape} is no confusion matrix. Allowed: (C, C)")
    return matrix
