"""What a loaded data set is: four splits that share memory-mapped images, and what each may be used for.

The official training images are divided into `train` and `development` (stratified, seeded, disjoint): models
are chosen on `development`, so that `validation` stays a measurement. No image is read before it is used.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from tinylab.data.split import Split
from tinylab.support.errors import InvalidInputError
from tinylab.support.table import Table

if TYPE_CHECKING:  # normalisation imports torch, which takes a second; looking at images does not need it
    from tinylab.data.normalisation import Normalisation

_USES = {
    "train": "fitting weights, mean image and scale",
    "development": "choosing: recipe, epoch, network",
    "validation": "reporting; not for choosing",
    "test": "once, at the very end",
}


@dataclass(frozen=True)
class Twin:
    """One of several byte-identical files."""

    split: str  # name of the split that it is in
    row: int  # within that split
    file: str
    label: int | None  # position in `Dataset.classes`; None: unlabelled


@dataclass(frozen=True, eq=False)
class Dataset:
    """Classes and four splits."""

    name: str
    classes: tuple[str, ...]  # wnids in the order of wnids.txt, or as they were asked for
    words: tuple[str, ...]  # short readable names, same order
    train: Split
    development: Split
    validation: Split
    test: Split

    @classmethod
    def from_arrays(
        cls, images: np.ndarray, labels: np.ndarray, classes: Sequence[str], *, name: str = "arrays", seed: int = 0
    ) -> "Dataset":
        """Images that are in memory already, divided by `seed`; test is empty.

        Of each class a tenth, at least one image, is for development, as many are for validation.

        images   uint8 (N, S, S, 3), 0 to 255, RGB
        labels   whole numbers (N,), positions in `classes`
        classes  names, which are the words for them, too

        Raises InvalidInputError for another shape or type, a label out of range, and a class of fewer than 3 images.
        """
        images, labels = np.asarray(images), np.asarray(labels)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != images.shape[2] or images.shape[3] != 3:
            got = f"{images.dtype} {images.shape}"
            raise InvalidInputError(f"images {got} are not possible. Allowed: uint8 (N, S, S, 3), square and RGB")
        if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
            got = f"{labels.dtype} {labels.shape}"
            raise InvalidInputError(f"labels {got} are not possible. Allowed: whole numbers ({len(images)},)")
        if not np.iterable(classes) or len(classes) < 2 or len(set(classes)) < len(classes):
            named = list(classes) if np.iterable(classes) else classes
            raise InvalidInputError(f"classes {named!r} are not possible. Allowed: two or more different names")
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
            raise InvalidInputError(f"labels {labels.min()} to {labels.max()} do not fit {len(classes)} classes")
        counts = np.bincount(labels, minlength=len(classes))
        if counts.min() < 3:
            few = classes[int(counts.argmin())]
            raise InvalidInputError(f"class {few!r} has {counts.min()} images. Allowed: 3 or more, one for each split")
        rng, rows = np.random.default_rng(seed), dict[str, list[np.ndarray]]({split: [] for split in _USES})
        for label in range(len(classes)):
            mine = rng.permutation(np.flatnonzero(labels == label))
            held = max(1, len(mine) // 10)
            ends = [len(mine) - 2 * held, len(mine) - held, len(mine)]  # what follows is test: nothing
            for split, some in zip(_USES, np.split(mine, ends), strict=True):
                rows[split].append(some)
        files = np.array([f"image_{row}" for row in range(len(images))])
        parts = [
            Split(split, images, None if split == "test" else labels.astype(np.int64), files, np.sort(np.hstack(some)))
            for split, some in rows.items()
        ]
        return cls(name, tuple(classes), tuple(classes), *parts)

    @property
    def splits(self) -> tuple[Split, Split, Split, Split]:
        """train, development, validation, test."""
        return self.train, self.development, self.validation, self.test

    @property
    def size(self) -> int:
        """Pixels of a side of every image: what `models.build` takes as `size`."""
        return int(self.train.images.shape[1])

    @cached_property
    def normalisation(self) -> "Normalisation":
        """Mean image and scale of the training images, and of no others; computed once, kept beside a large cache."""
        from tinylab.data import normalisation

        return normalisation.fitted(self.train)

    def part(self, per_class: int | None = None, seed: int = 0, *, watched: int | None = None) -> "Dataset":
        """The same with `per_class` training images per class, and `watched` of each class to measure on.

        watched  images per class in development and in validation. None, for either: all there are. Raises
        InvalidInputError for more than a class has.
        """
        wanted = {"train": per_class, "development": watched, "validation": watched}
        parts = {name: getattr(self, name).per_class(n, seed) for name, n in wanted.items() if n is not None}
        return dataclasses.replace(self, **parts) if parts else self

    def duplicates(self) -> tuple[tuple[Twin, ...], ...]:
        """Groups of files that are identical byte for byte, within and across splits; may be ()."""
        groups: dict[bytes, list[Twin]] = defaultdict(list)
        digests = np.concatenate([split.digests for split in self.splits])
        keys = np.ascontiguousarray(digests).view("V20").ravel()
        _, inverse, count = np.unique(keys, return_inverse=True, return_counts=True)
        suspects = np.flatnonzero(count[inverse] > 1)
        starts = np.cumsum([0, *map(len, self.splits)])
        for place in suspects:
            which = int(np.searchsorted(starts, place, side="right")) - 1
            split, row = self.splits[which], int(place - starts[which])
            label = None if split.labels is None else int(split.labels[split.index[row]])
            twin = Twin(split.name, row, str(split.files[split.index[row]]), label)
            groups[bytes(digests[place])].append(twin)
        return tuple(tuple(group) for group in groups.values())

    def shown(self, twin: Twin) -> tuple[np.ndarray, str]:
        """A twin's image, uint8 (S, S, 3), and the word for its label; "?" without one."""
        image = next(split for split in self.splits if split.name == twin.split).take(twin.row)[0][0]
        return image, "?" if twin.label is None else self.words[twin.label]

    def describe(self) -> Table:
        """A table of the splits: how many images, how many a class, labelled or not, and what each is for."""
        rows: list[list[object]] = []
        for split in self.splits:
            targets = split.targets
            if targets is None:
                each: object = "–"
            else:
                counts = np.bincount(targets, minlength=len(self.classes))
                low, high = int(counts.min()), int(counts.max())
                each = f"{low:,}" if low == high else f"{low:,} to {high:,}"
            labelled = "no" if targets is None else "yes"
            classes: object = "–" if targets is None else len(np.unique(targets))
            rows.append([split.name, f"{len(split):,}", classes, each, labelled, _USES.get(split.name, "")])
        columns = ["split", "images", "classes", "per class", "labelled", "for"]
        return Table(columns, rows, f"{self.name}: {len(self.classes)} classes")

    def __repr__(self) -> str:
        sizes = ", ".join(f"{split.name} {len(split):,}" for split in self.splits)
        return f"Dataset({self.name!r}, {len(self.classes)} classes, {sizes})"
