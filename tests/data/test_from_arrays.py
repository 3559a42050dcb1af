"""`Dataset.from_arrays`: every image in one split, each class in each; what does not fit is named."""

import numpy as np
import pytest

from tests import tiny
from tinylab.data import Dataset
from tinylab.support.errors import InvalidInputError
from tinylab.training import Recipe, train

NAMES = ("cat", "dog", "tree")
COUNTS = (30, 25, 3)


def arrays():
    """Images whose first pixel is their number."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(3), COUNTS)).astype(np.int32)
    images = np.zeros((len(labels), 16, 16, 3), np.uint8)
    images[:, 0, 0, 0] = np.arange(len(labels))
    return images, labels


def test_every_image_is_in_one_split_with_its_own_label():
    images, labels = arrays()
    data = Dataset.from_arrays(images, labels, NAMES, seed=1)
    seen = {}
    for split in data.splits[:3]:
        pixels, targets = split.take(slice(None))
        assert targets is not None
        seen |= dict(zip(pixels[:, 0, 0, 0].tolist(), targets.tolist(), strict=True))
    assert seen == dict(enumerate(labels.tolist()))
    assert [np.bincount(split.targets).tolist() for split in data.splits[:3]] == [[24, 21, 1], [3, 2, 1], [3, 2, 1]]
    assert (len(data.test), data.test.labels, data.words) == (0, None, NAMES)
    again, other = (Dataset.from_arrays(images, labels, NAMES, seed=seed) for seed in (1, 2))
    assert again.train.index.tolist() == data.train.index.tolist() != other.train.index.tolist()


def test_a_network_learns_from_it():
    images, labels = arrays()
    data = Dataset.from_arrays(images, labels, NAMES)
    assert train(tiny.network(), data, Recipe(epochs=1, batch=16)).finish().last.train_loss > 0
    assert "arrays: 3 classes" in str(data.describe())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"images": np.zeros((58, 16, 16, 3))}, r"images float64 \(58, 16, 16, 3\) are not possible"),
        ({"images": np.zeros((58, 16, 12, 3), np.uint8)}, r"Allowed: uint8 \(N, S, S, 3\), square and RGB"),
        ({"labels": np.zeros(57, int)}, r"labels int64 \(57,\) are not possible. Allowed: whole numbers \(58,\)"),
        ({"labels": np.full(58, 3)}, "labels 3 to 3 do not fit 3 classes"),
        ({"labels": np.zeros(58, int)}, "class 'dog' has 0 images. Allowed: 3 or more"),
        ({"classes": 3}, "classes 3 are not possible. Allowed: two or more different names"),
        ({"classes": ("a", "a", "b")}, "Allowed: two or more different names"),
    ],
)
def test_what_does_not_fit_is_named(change, said):
    images, labels = arrays()
    with pytest.raises(InvalidInputError, match=said) as caught:
        Dataset.from_arrays(**({"images": images, "labels": labels, "classes": NAMES} | change))
    assert "\n" not in str(caught.value)
