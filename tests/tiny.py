"""A data set and a network small enough for a test to train in a moment."""

import numpy as np
import pytest
import torch
from torch import nn

from tinylab import models
from tinylab.data.dataset import Dataset
from tinylab.data.split import Split
from tinylab.models import notation

SIZE = 16  # pixels
LINE = "conv3-4 - relu - max pool - fc(8) - relu - dropout - softmax"


def dataset(train: int = 90, other: int = 30, classes: int = 3, seed: int = 0) -> Dataset:
    """Noise with a bright square whose place and colour tell the class; test is unlabelled."""
    rng = np.random.default_rng(seed)
    count = train + 3 * other
    labels = np.arange(count) % classes
    images = rng.integers(0, 200, (count, SIZE, SIZE, 3), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[4 : 4 + 2 * label + 2, 4:10, label % 3] = 255
    files = np.array([f"image_{row}.JPEG" for row in range(count)])
    ends = np.cumsum([train, other, other, other])

    def part(name: str, number: int) -> Split:
        index = np.arange(ends[number] - (train if number == 0 else other), ends[number])
        return Split(name, images, None if name == "test" else labels, files, index)

    splits = [part(name, i) for i, name in enumerate(("train", "development", "validation", "test"))]
    names = tuple(f"n{label:08d}" for label in range(classes))
    return Dataset("tiny", names, tuple(f"thing {label}" for label in range(classes)), *splits)


def network(classes: int = 3, line: str = LINE, seed: int = 0) -> nn.Sequential:
    model = notation.parse(line, classes=classes, size=SIZE)
    models.initialise(model, seed=seed)
    return model


@pytest.fixture(autouse=True)
def one_thread():
    """For whoever imports it: networks this small only lose by sharing their work out."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
