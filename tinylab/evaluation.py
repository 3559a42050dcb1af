"""Accuracy done properly: predictions that know their file, which classes are confused, and a baseline.

A prediction never travels without the name of its image, so no listing order can part the two; class numbers
always mean positions in `Dataset.classes`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from tinylab.data.batches import Batches, Normalisation
from tinylab.device import Device, pick
from tinylab.errors import InvalidInputError
from tinylab.tables import Table
from tinylab.training import EVALUATION_BATCH, evaluating

if TYPE_CHECKING:
    from tinylab.data.dataset import Split

# rows held at once in float64: with 64×64×3 numbers a row, 200 MB and 100 MB
_TRAIN_CHUNK, _QUERY_CHUNK = 2048, 1024


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
        """Share of images whose most probable class is the true one, 0..1. InvalidInputError if
        unlabelled."""
        if self.labels is None:
            raise InvalidInputError(
                "these images have no labels, so there is no accuracy. Take a labelled split"
            )
        return float((self.classes == self.labels).mean())

    def by_file(self) -> dict[str, int]:
        """The predicted class of each file name."""
        return dict(zip(self.files.tolist(), self.classes.tolist(), strict=True))


def predict(
    model: nn.Module, split: "Split", normalisation: Normalisation, device: Device | None = None
) -> Predictions:
    """Class probabilities for every image of `split`, in evaluation mode; the model's modes are restored.

    normalisation  that of the training images, whichever split is predicted
    """
    device = device or pick()
    device.place(model)
    batches = Batches(split, normalisation, batch=EVALUATION_BATCH, device=device)
    with evaluating(model), device.autocast():
        logits = torch.cat([model(x).float().cpu() for x, _ in batches.epoch()])  # (N, C)
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
        if len(values) and (values.min() < 0 or values.max() >= classes):
            wrong = values.min() if values.min() < 0 else values.max()
            raise InvalidInputError(f"{name} {wrong} is no class. Allowed: 0 to {classes - 1}")
    flat = labels.astype(np.int64) * classes + predicted
    return np.bincount(flat, minlength=classes**2).reshape(classes, classes)


def worst_pairs(matrix: np.ndarray, words: Sequence[str], count: int = 10) -> Table:
    """The `count` confusions that happened most often, with the share of the true class that they cost.

    matrix: (C, C) from `confusion`; words: C names, same order.
    """
    matrix = np.asarray(matrix)
    if matrix.shape != (len(words), len(words)):
        raise InvalidInputError(
            f"a matrix of shape {matrix.shape} does not fit {len(words)} names of classes. Allowed: one row each"
        )
    wrong = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    rows = []
    for true, called in zip(*np.unravel_index(order, wrong.shape), strict=True):
        times = wrong[true, called]
        if times > 0:
            share = times / matrix[true].sum()
            rows.append([words[true], words[called], f"{times}", f"{100 * share:.1f} %"])
    return Table(["true", "called", "images", "of its class"], rows, "Most frequent confusions")


def nearest_neighbours(
    train_x: np.ndarray | Tensor,
    train_y: np.ndarray,
    query_x: np.ndarray | Tensor,
    k: int = 1,
    device: Device | None = None,
) -> np.ndarray:
    """The classes, int64 (Q,), that the k nearest training images give each query: no training needed.

    train_x (N, …) and query_x (Q, …), pixels or other features; train_y int64 (N,). Distance is Euclidean,
    computed in float64, where sums of squared bytes are exact; images at equal distance count in their
    order. Most votes win; with equally many, the class whose nearest image is nearer. Raises
    InvalidInputError for a k outside 1..N or shapes that do not fit.
    """
    labels = torch.from_numpy(np.asarray(train_y, dtype=np.int64))
    if len(labels) != len(train_x) or tuple(train_x.shape[1:]) != tuple(query_x.shape[1:]):
        raise InvalidInputError(
            f"training images {tuple(train_x.shape)}, {len(labels)} labels, queries {tuple(query_x.shape)} do "
            "not fit. Allowed: (N, …), N labels, (Q, …)"
        )
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= len(labels):
        raise InvalidInputError(f"k {k!r} is not possible. Allowed: a whole number from 1 to {len(labels)}")
    target = (device or pick()).target
    target = torch.device("cpu") if target.type == "mps" else target  # MPS has no float64
    chunks = range(0, len(query_x), _QUERY_CHUNK)
    found = [_neighbours(train_x, _rows(query_x, start, _QUERY_CHUNK, target), k) for start in chunks]
    if not found:
        return np.zeros(0, np.int64)
    return _vote(labels[torch.cat(found).cpu()]).numpy()


def _rows(x: np.ndarray | Tensor, start: int, count: int, target: torch.device) -> Tensor:
    part = x[start : start + count]
    part = part if isinstance(part, Tensor) else torch.from_numpy(np.array(part))  # a memory map is read here
    return part.to(target, torch.float64).flatten(1)


def _neighbours(train_x: np.ndarray | Tensor, query: Tensor, k: int) -> Tensor:
    """Row numbers, int64 (Q, k), of the nearest training images, nearest first."""
    Q = len(query)
    best = torch.full((Q, 0), 0.0, dtype=torch.float64, device=query.device)
    rows = torch.zeros((Q, 0), dtype=torch.int64, device=query.device)
    for start in range(0, len(train_x), _TRAIN_CHUNK):
        train = _rows(train_x, start, _TRAIN_CHUNK, query.device)  # (T, D)
        # |q - t|² without |q|², which is the same for all t
        distance = train.square().sum(dim=1) - 2 * query @ train.T  # (Q, T)
        new = torch.arange(start, start + len(train), device=query.device).expand(Q, -1)
        distance, order = torch.cat([best, distance], dim=1).sort(dim=1, stable=True)
        best, rows = distance[:, :k], torch.cat([rows, new], dim=1).gather(1, order[:, :k])
    return rows


def _vote(labels: Tensor) -> Tensor:
    """The winning class of each row of neighbours' labels (Q, k), nearest first."""
    Q, k = labels.shape
    votes = torch.zeros(Q, int(labels.max()) + 1, dtype=torch.float64).scatter_add(
        1, labels, torch.ones(Q, k, dtype=torch.float64)
    )
    nearness = (k - torch.arange(k, dtype=torch.float64)).expand(Q, k) / (k + 1)  # below 1: only breaks ties
    return (votes + torch.zeros_like(votes).scatter_reduce(1, labels, nearness, "amax")).argmax(dim=1)
