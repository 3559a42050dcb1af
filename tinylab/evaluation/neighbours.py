"""The baseline that learns nothing: an image is called what the training images nearest to it are called."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from tinylab.support.device import pick
from tinylab.support.errors import InvalidInputError, check_int

if TYPE_CHECKING:
    from tinylab.data import Dataset, Split

KS = (1, 5, 15)  # of which the baseline takes the best
MOST = 1000  # images that the baseline is asked about

# rows held at once in float64: with 64×64×3 numbers a row, 200 MB and 100 MB
_TRAIN_CHUNK, _QUERY_CHUNK = 2048, 1024


def nearest_neighbours(
    train_x: np.ndarray | Tensor, train_y: np.ndarray, query_x: np.ndarray | Tensor, k: int = 1
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
    check_int("k", k, 1, len(labels))
    if not len(query_x):
        return np.zeros(0, np.int64)
    return _vote(labels[_nearest(train_x, query_x, k)]).numpy()


def _nearest(train_x: np.ndarray | Tensor, query_x: np.ndarray | Tensor, k: int) -> Tensor:
    """Row numbers, int64 (Q, k), of the training images nearest to each query, nearest first, on the CPU."""
    target = pick().target
    target = torch.device("cpu") if target.type == "mps" else target  # MPS has no float64
    chunks = range(0, len(query_x), _QUERY_CHUNK)
    return torch.cat([_neighbours(train_x, _rows(query_x, start, _QUERY_CHUNK, target), k) for start in chunks]).cpu()


@dataclass(frozen=True)
class Baseline:
    """What k nearest neighbours reach on a data set: the line beside guessing on every accuracy chart."""

    k: int  # the best on development images
    development: Mapping[int, float]  # k: accuracy, 0 to 1
    accuracy: float  # of that k on `count` validation images
    count: int

    @property
    def level(self) -> tuple[str, float]:
        """Name and accuracy, as the figures take them."""
        return "k-NN", self.accuracy


def baseline(data: "Dataset") -> Baseline:
    """k nearest neighbours on raw pixels, k chosen on development images and measured on validation images.

    All training images are searched, for at most 1,000 images of either split, evenly spread over it.
    """
    x, labels = data.train.take(np.arange(len(data.train)))
    ks = [k for k in KS if k <= len(x)]

    def right(split: "Split", ks: list[int]) -> dict[int, float]:
        query, truth = split.take(np.linspace(0, len(split) - 1, min(len(split), MOST)).round().astype(int))
        near = torch.from_numpy(np.asarray(labels))[_nearest(x, query, max(ks))]  # (Q, largest k)
        return {k: float((_vote(near[:, :k]).numpy() == truth).mean()) for k in ks}

    development = right(data.development, ks)
    best = max(development, key=development.__getitem__)
    return Baseline(best, development, right(data.validation, [best])[best], min(MOST, len(data.validation)))


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
