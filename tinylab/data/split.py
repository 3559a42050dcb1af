"""Some images of a data set: rows of memory-mapped arrays that several splits share. None is read before it is used."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinylab.data.cache import Decoded
from tinylab.support.errors import DataError, InvalidInputError, check_int


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
        check_int("per_class", count, 1)
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


def by_class(labels: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """(label, its rows in ascending order) for every label that occurs."""
    order = np.argsort(labels, kind="stable")
    values, starts = np.unique(labels[order], return_index=True)
    return [(int(v), rows) for v, rows in zip(values, np.split(order, starts[1:]), strict=True)]
