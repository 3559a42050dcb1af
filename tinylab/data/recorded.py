"""What the package counted in the real Tiny ImageNet, for readers who do not have it.

Counted with `tinylab data prepare` and `Dataset.describe`, `Split.greyscale`, `Dataset.duplicates` on the Stanford
archive's images and annotations (tinylab 0.1.0, 2026-11-22). With the data at hand, lecture 01 counts again, live.
"""

from tinylab.support.table import Table

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


def tiny_imagenet() -> Table:
    """The counts above as a table."""
    columns = ["in the real Tiny ImageNet", "counted"]
    return Table(columns, list(TINY_IMAGENET.items()), "Recorded, not counted just now")
