"""A really trained tiny network that is right on about 30 % of images it has not seen, and those images."""

import itertools
from dataclasses import dataclass

import numpy as np
from torch import nn

from tests import tiny
from tinylab import training
from tinylab.data.dataset import Dataset
from tinylab.data.split import Split

CLASSES, TRAIN, OTHER = 10, 60, 60
LINE = "conv3-8 - relu - max pool - dropout - fc(32) - relu - dropout - softmax"


@dataclass(frozen=True, eq=False)
class Trained:
    network: nn.Module
    data: Dataset

    def held_out(self, per_class: int, seed: int) -> Split:
        """Labelled images, a part of those that were not trained on."""
        return self.data.validation.per_class(per_class, seed)


def dataset(seed: int = 0) -> Dataset:
    """Ten faint patterns, in pairs that look alike, on bright noise; validation files are numbered at random."""
    rng = np.random.default_rng(seed)
    coarse = np.repeat(rng.normal(size=(CLASSES // 2, 4, 4, 3)), 2, axis=0) + 0.6 * rng.normal(size=(CLASSES, 4, 4, 3))
    patterns = coarse.repeat(tiny.SIZE // 4, axis=1).repeat(tiny.SIZE // 4, axis=2)
    labels = np.concatenate([rng.permutation(np.repeat(np.arange(CLASSES), n)) for n in (TRAIN, 6, OTHER)])
    images = 130 + 9 * patterns[labels] + rng.normal(scale=45, size=(len(labels), tiny.SIZE, tiny.SIZE, 3))
    images += rng.normal(scale=25, size=(len(labels), 1, 1, 3))  # each has a light of its own
    pixels = np.clip(images, 0, 255).astype(np.uint8)
    ends = np.cumsum([0, *(CLASSES * n for n in (TRAIN, 6, OTHER))])
    numbers = np.concatenate([np.arange(b - a) for a, b in itertools.pairwise(ends)])
    files = np.array([f"val_{number}.JPEG" for number in numbers])
    parts = {
        name: Split(name, pixels, labels, files, np.arange(ends[i], ends[i + 1]))
        for i, name in enumerate(("train", "development", "validation"))
    }
    wnids = tuple(f"n{number:08d}" for number in rng.choice(10**8, CLASSES, replace=False))
    return Dataset("faint", wnids, wnids, **parts, test=parts["validation"])


def network(epochs: int = 4) -> Trained:
    data = dataset()
    model = tiny.network(CLASSES, LINE)
    training.train(model, data, training.Recipe(epochs=epochs, batch=20, dropout=0.4, learning_rate=3e-3)).finish()
    return Trained(model, data)
