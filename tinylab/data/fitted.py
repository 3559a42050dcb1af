"""The normalisation of a large split, fitted once and then kept beside the images that it was fitted to.

Fitting looks at every image: two to seven seconds for all of Tiny ImageNet (n = 3, two busy cores), every time a data
set is loaded. What is kept belongs to one build of the cache and to one choice of images, and goes when the build goes.
"""

import contextlib
import hashlib
import os
import secrets
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tinylab.data.batches import Normalisation
from tinylab.errors import TinylabError

if TYPE_CHECKING:
    from tinylab.data.dataset import Split

KEPT_FROM = 5000  # images; fewer are fitted in a moment


def normalisation(split: "Split") -> Normalisation:
    """Mean image and scale of all images of `split`, from the file beside the cache if there is one.

    A cache that cannot be written, or a file that is damaged, only means that they are fitted now. Raises DataError if
    there are no images.
    """
    path = _place(split)
    kept = None if path is None else _read(path, split.images.shape[1:])
    if kept is not None:
        return kept
    made = Normalisation.fit(split)
    if path is not None:
        with contextlib.suppress(OSError):
            _write(path, made)
    return made


def _place(split: "Split") -> Path | None:
    """Where it is kept: in the folder of the images' own file. None for images that come from no cache, and for few."""
    if len(split) < KEPT_FROM or not isinstance(split.images, np.memmap) or split.images.filename is None:
        return None
    which = hashlib.sha256(np.ascontiguousarray(split.index).tobytes()).hexdigest()[:16]
    return Path(split.images.filename).parent / f"{split.name}_normalisation_{which}.npz"


def _read(path: Path, shape: tuple[int, ...]) -> Normalisation | None:
    try:
        with np.load(path, allow_pickle=False) as parts:
            made = Normalisation(parts["mean"], parts["scale"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, TinylabError):
        return None
    return made if made.mean.shape == shape else None


def _write(path: Path, made: Normalisation) -> None:
    """Whole or not at all: another notebook may read it in this moment."""
    partial = path.with_name(f"{path.stem}.{secrets.token_hex(4)}.partial")
    try:
        with partial.open("wb") as stream:
            np.savez(stream, mean=made.mean, scale=made.scale)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
