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

from tinylab.data.cache import Decoded
from tinylab.errors import DataError, InvalidInputError, whole
from tinylab.tables import Table

if TYPE_CHECKING:  # batches imports torch, which takes a second; looking at images does not need it
    from tinylab.data.batches import Normalisation

_USES = {
    "train": "fitting weights, mean image and scale",
    "development": "choosing: recipe, epoch, network",
    "validation": "reporting; not for choosing",
    "test": "once, at the very end",
}


@dataclass(frozen=True, eq=False)
class Split:
    """N images of a data set: rows `index` of arrays that it may share with other splits."""

    name: str  # "train", "development", "validation" or "test"
    images: np.ndarray  # uint8 (M, 64, 64, 3), RGB, memory-mapped
    labels: np.ndarray | None  # int64 (M,), positions in `Dataset.classes`, -1: another class; None: unlabelled
    files: np.ndarray  # str (M,), file names
    index: np.ndarray  # int64 (N,), which rows of `images`, `labels` and `files` belong to this split
    official: Decoded | None = None  # the official split behind it, for what is known about its files

    def __len__(self) -> int:
        return len(self.index)

    def take(self, rows: Sequence[int] | np.ndarray | slice | int) -> tuple[np.ndarray, np.ndarray | None]:
        """Images uint8 (k, 64, 64, 3), labels int64 (k,) or None; `rows` count within the split, 0..N-1."""
        if isinstance(rows, int | np.integer):
            rows = [int(rows)]
        if not isinstance(rows, slice):
            rows = np.asarray(rows)
            rows = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows.astype(np.int64)
        try:
            chosen = self.index[rows]
        except IndexError:
            raise InvalidInputError(f"{self.name} has rows 0 to {len(self) - 1}; asked for {rows}") from None
        return np.asarray(self.images[chosen]), None if self.labels is None else self.labels[chosen]

    @property
    def targets(self) -> np.ndarray | None:
        """int64 (N,), positions in `Dataset.classes`, row by row; None: unlabelled."""
        return None if self.labels is None else self.labels[self.index]

    @property
    def names(self) -> np.ndarray:
        """str (N,), file names, row by row."""
        return np.asarray(self.files[self.index])

    @property
    def greyscale(self) -> np.ndarray:
        """bool (N,), whether the file had one channel instead of three, row by row."""
        if self.official is None:
            raise DataError(f"split {self.name!r} was made by hand, so nothing is known about its files")
        return np.asarray(self.official.greyscale[self.index])

    @property
    def digests(self) -> np.ndarray:
        """uint8 (N, 20), SHA-1 of each file, row by row."""
        if self.official is None:
            raise DataError(f"split {self.name!r} was made by hand, so nothing is known about its files")
        return np.asarray(self.official.digests[self.index])

    @property
    def fewest(self) -> int:
        """The number of images in the smallest class that occurs; 0 without labels."""
        return 0 if self.targets is None or not len(self) else int(np.unique(self.targets, return_counts=True)[1].min())

    def per_class(self, count: int, seed: int = 0) -> "Split":
        """A part with `count` images of every class, drawn by `seed`; a larger count contains the smaller."""
        whole("per_class", count, 1)
        targets = self.targets
        if targets is None:
            raise InvalidInputError(f"{self.name} has no labels, so it cannot be divided by class")
        if not len(self):
            raise InvalidInputError(f"{self.name} has no images to take {count} of each class from")
        parts = []
        for label, rows in by_class(targets):
            if count > len(rows):
                raise InvalidInputError(
                    f"per_class={count}, but class {label} has {len(rows)} images in {self.name}; "
                    f"allowed is 1 to {min(np.bincount(targets)[np.unique(targets)])}"
                )
            parts.append(rows[np.random.default_rng([seed, label]).permutation(len(rows))[:count]])
        return dataclasses.replace(self, index=self.index[np.sort(np.concatenate(parts))])


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

    @property
    def splits(self) -> tuple[Split, Split, Split, Split]:
        """train, development, validation, test."""
        return self.train, self.development, self.validation, self.test

    @cached_property
    def normalisation(self) -> "Normalisation":
        """Mean image and scale of the training images, and of no others; computed once, kept beside a large cache."""
        from tinylab.data import fitted

        return fitted.normalisation(self.train)

    def part(self, per_class: int | None = None, seed: int = 0, *, watched: int | None = None) -> "Dataset":
        """The same with `per_class` training images a class, and `watched` of each class to measure on.

        watched  images a class in development and in validation. None, for either: all there are. Raises
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


def by_class(labels: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """(label, its rows in ascending order) for every label that occurs."""
    order = np.argsort(labels, kind="stable")
    values, starts = np.unique(labels[order], return_index=True)
    return [(int(v), rows) for v, rows in zip(values, np.split(order, starts[1:]), strict=True)]
