"""What a recorded network answers to the official validation images: its five likeliest classes, and the right one.

A few hundred KB stand for the network in lectures that look at confidence, confusion and scoring. No image is kept.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from tinylab.data.batches import Batches
from tinylab.data.layout import natural
from tinylab.support.errors import InvalidInputError
from tinylab.training import evaluating, gathered

TOP = 5


@dataclass(frozen=True, eq=False)
class Answers:
    """Of N images, in the order of their file names; K = 5, or all classes where there are fewer."""

    classes: np.ndarray  # int64 (N, K), positions in the record's classes, likeliest first
    probabilities: np.ndarray  # float32 (N, K), of these, kept as float16
    right: np.ndarray  # float32 (N,), the probability of the right class
    labels: np.ndarray  # int64 (N,), the right class


def take(model: nn.Module, batches: Batches) -> dict[str, Tensor]:
    """What `model` answers to a labelled split, in as few bytes as possible: see `Answers`.

    Raises InvalidInputError for images without labels.
    """
    if not batches.labelled:
        raise InvalidInputError(f"split {batches.split.name!r} has no labels, so no answer is right")

    def answers() -> Iterator[tuple[Tensor, ...]]:
        for x, y in batches.epoch():
            p = model(x).float().softmax(dim=1)  # (B, classes)
            likeliest = p.topk(min(TOP, p.shape[1]), dim=1)
            right = p.gather(1, y[:, None])[:, 0]
            yield likeliest.indices.short(), likeliest.values.half(), right.half(), y.short()

    with evaluating(model), batches.device.autocast():
        columns = [column.cpu() for column in gathered(answers(), batches.count)]
    files = [str(name) for name in batches.split.names]
    order = torch.tensor(sorted(range(len(files)), key=lambda row: natural(files[row])))
    names = ("classes", "probabilities", "right", "labels")
    return {name: column[order].contiguous() for name, column in zip(names, columns, strict=True)}


def read(tensors: Mapping[str, Tensor]) -> Answers:
    """What `take` gave, in the types that are computed with."""
    classes, labels = (tensors[name].numpy().astype(np.int64) for name in ("classes", "labels"))
    probabilities, right = (tensors[name].numpy().astype(np.float32) for name in ("probabilities", "right"))
    return Answers(classes, probabilities, right, labels)
