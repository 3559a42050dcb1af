"""What the package counted in the real Tiny ImageNet, for readers who do not have it.

Counted with `tinylab data prepare` and `Dataset.describe`, `Split.greyscale`, `Dataset.duplicates` on the Stanford
archive's images and annotations (tinylab 0.1.0, 2026-11-22). With the data at hand, lecture 01 counts again, live.
"""

from typing import TYPE_CHECKING

import numpy as np

from tinylab.support.table import Table

if TYPE_CHECKING:
    from tinylab.data.normalisation import Normalisation

TINY_IMAGENET: dict[str, object] = {
    "classes": 200,
    "pixels of an image": "64 × 64",
    "training images": "100,000",
    "validation images": "10,000",
    "test images (no labels)": "10,000",
    "greyscale files in training / validation / test": "1,821 / 168 / 189",
    "groups of byte-identical files": 39,
    "… of these, with labels on both sides; conflicting": "27; all 27",
    "classes at the same place in wnids.txt and in sorted order": "0 of 200",
}

# Right by k nearest neighbours, `evaluation.baseline`; classes: accuracy on official validation images
NEIGHBOURS: dict[int, float] = {
    10: 0.230,  # 50 training images per class, k = 1, all 500 validation images: those of plan reproduction-10
    200: 0.041,  # 450 per class, k = 15, 1,000 validation images
}


def tiny_imagenet() -> Table:
    """The counts above as a table."""
    columns = ["in the real Tiny ImageNet", "counted"]
    return Table(columns, list(TINY_IMAGENET.items()), "Recorded, not counted just now")


def pixels() -> "Normalisation":
    """How training images of the recorded networks were normalised, the mean image replaced by its mean colour.

    Of the 90,000 training images, 64×64 pixels of 0..255: red, green, blue.
    """
    from tinylab.data.normalisation import Normalisation

    mean, scale = (122.5, 114.3, 101.4), (70.4, 68.3, 71.4)
    return Normalisation(np.broadcast_to(np.array(mean), (64, 64, 3)), np.array(scale))
