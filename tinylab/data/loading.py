"""`load`: from a name or a path to a data set, whole or in part.

load("sample")                      the generated sample, drawn and prepared on first use
load("tiny-imagenet", classes=10)   a prepared data set by name; the first ten classes of its wnids.txt
load("path/to/archive.zip")         an archive or folder in its layout, or a folder a class; prepared on first use
"""

import contextlib
import difflib
import hashlib
import logging
import os
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tinylab.data import cache as caches
from tinylab.data.archive import ENDINGS, open_archive, stem
from tinylab.data.cache import Cache, Decoded
from tinylab.data.dataset import Dataset
from tinylab.data.decode import Wanted
from tinylab.data.folders import ARCHIVE, as_path, cache_root, cannot_write, writable_folder
from tinylab.data.split import Split, by_class
from tinylab.support import files
from tinylab.support.errors import DataError, FileError, InvalidInputError, check_int, check_range, nearest

log = logging.getLogger("tinylab.data")

SAMPLE_BYTES = 20_000_000  # of the generated sample's archive, generously


def load(
    name_or_path: str | Path = "sample",
    classes: int | Sequence[str] | None = None,
    *,
    per_class: int | None = None,
    development: float = 0.1,
    seed: int = 0,
    cache: Path | None = None,
) -> Dataset:
    """Load a data set: "sample", the name of a prepared one, or the path of an archive or folder in its layout.

    classes:      None for all; a number for so many of the first in wnids.txt; or a list of wnids or words, whose
                  order then gives the labels 0, 1, 2, …
    per_class:    so many training images of each class; None for all. Larger numbers contain the smaller.
    development:  share of the official training images that is held out, stratified; 0 to below 1. At least one image
                  of each class if above 0. Which ones depends on `seed` and the class, not on `classes`.
    cache:        the cache folder; None for `cache_root()`.

    The sample and paths are prepared on first use (a few seconds to a minute); afterwards loading is instant.
    Raises InvalidInputError for arguments outside this, DataError for a data set that is absent or damaged.
    """
    check_range("development", development, 0, 1)
    check_int("seed", seed, 0)
    found = _find(name_or_path, cache)
    chosen = _choose(found, classes)
    lookup = np.full(len(found.classes), -1, np.int64)
    lookup[chosen] = np.arange(len(chosen))

    def split(name: str, official: Decoded, rows: np.ndarray | None = None) -> Split:
        labels = None if official.labels is None else lookup[official.labels]
        if rows is None:
            rows = np.arange(len(official.images)) if labels is None else np.flatnonzero(labels >= 0)
        return Split(name, official.images, labels, official.files, rows.astype(np.int64), official)

    kept, held = _hold_out(found, chosen, float(development), int(seed))
    train = split("train", found.train, kept)
    return Dataset(
        name=found.name,
        classes=tuple(found.classes[i] for i in chosen),
        words=tuple(found.words[i] for i in chosen),
        train=train if per_class is None else train.per_class(per_class, int(seed)),
        development=split("development", found.train, held),
        validation=split("validation", found.validation),
        test=split("test", found.test),
    )


def resolve(name_or_path: str | Path, cache: Path | None = None, base: Path | None = None) -> str:
    """What `load` takes it for, whoever asks, and from whichever folder: a name as it is, a path made absolute.

    "sample" is the generated sample; a text without "/" and without an archive's ending is a prepared data set if there
    is one of that name, and said to be that if a file or folder here is called the same; all else is a path if
    something is there. What is nothing at all stays as it is, for `load` to refuse. Raises InvalidInputError for what
    is neither text nor a path. base: the folder that a relative path is taken from; None for the present one.
    """
    path, text = (base or Path()) / as_path(name_or_path), str(name_or_path)
    if isinstance(name_or_path, Path) or "/" in text or os.sep in text or text.endswith((*ENDINGS, ".")):
        return str(path.absolute())
    if text == "sample" or not text.strip():
        return text
    here = files.status(path) is not None
    if caches.state(text, _root(cache)) == "absent":
        return str(path.absolute()) if here else text
    if here:
        where = base or "this folder"
        log.warning("%s: taking the prepared data set of that name; what lies in %s is ./%s", text, where, text)
    return text


def _root(cache: Path | None) -> Path:
    return cache_root() if cache is None else as_path(cache)


def _find(name_or_path: str | Path, cache: Path | None) -> Cache:
    """The prepared cache of a name or path; the sample and paths are prepared if they are not."""
    root, text = _root(cache), resolve(name_or_path, cache)
    if not text.strip():
        raise InvalidInputError("data set ''; allowed are \"sample\", the name of a prepared one, or a path")
    if text == "sample":
        return caches.open_cache(_sample(root))
    if not os.path.isabs(text):
        if caches.state(text, root) == "absent":
            raise _absent(text, root)
        caches.renew(text, root)
        return caches.open_cache(text, root)
    path = Path(text)
    with open_archive(path) as archive:
        fingerprint = archive.fingerprint()
    # the same file always lands in the same place, so that a changed one replaces what was made of it
    name = f"{_slug(stem(path))}-{hashlib.sha1(os.fsencode(path), usedforsecurity=False).hexdigest()[:8]}"
    return caches.open_cache(
        caches.ensure(name, fingerprint, lambda: contextlib.nullcontext(path), Wanted(), root=root)
    )


def _absent(name: str, root: Path) -> DataError:
    if name == "tiny-imagenet":
        archive = root / ARCHIVE
        prepare = f"tinylab data prepare --from {archive}"
        steps = prepare if files.status(archive) is not None else f"tinylab data fetch, then {prepare}"
        return DataError(f"tiny-imagenet is not prepared in {root}; type: {steps}")
    allowed = dict.fromkeys(["sample", "tiny-imagenet", *caches.prepared_names(root)])
    return DataError(f"no data set or path {name!r}{nearest(name, allowed)}, or the path of a zip or folder")


def _slug(text: str) -> str:
    slug = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in text).strip("-")
    return slug[:80] or "data"


def _sample(root: Path) -> Path:
    """The prepared folder of the generated sample, drawn again when the code that draws it has changed."""
    here = Path(__file__).parent
    # with other line ends, as git writes them on Windows, it draws the same
    code = b"".join((here / file).read_bytes().replace(b"\r\n", b"\n") for file in ("sample.py", "drawing.py"))

    @contextlib.contextmanager
    def draw() -> Iterator[Path]:
        from tinylab.data.sample import write_sample

        try:
            with tempfile.TemporaryDirectory(dir=writable_folder(root), prefix=".sample-") as folder:
                yield write_sample(Path(folder) / "sample.zip")
        except (OSError, FileError) as error:
            raise cannot_write(root, error, SAMPLE_BYTES) from None

    return caches.ensure("sample", hashlib.sha1(code, usedforsecurity=False).hexdigest(), draw, Wanted(), root=root)


def _choose(found: Cache, classes: int | Sequence[str] | None) -> np.ndarray:
    """Positions in `found.classes`, int64 (C,), in the order asked for."""
    total = len(found.classes)
    if classes is None:
        return np.arange(total)
    if isinstance(classes, int | np.integer) and not isinstance(classes, bool):
        if not 1 <= classes <= total:
            raise InvalidInputError(f"classes={classes}; {found.name} has {total}, so allowed is 1 to {total}")
        return np.arange(classes)
    if isinstance(classes, str | bool) or not isinstance(classes, Sequence | np.ndarray):
        raise InvalidInputError(f"classes={classes!r}; allowed are a number, a list of wnids or words, or None")
    places: dict[str, set[int]] = defaultdict(set)  # a name may stand for several classes: a crane
    for place, (wnid, word, names) in enumerate(zip(found.classes, found.words, found.names, strict=True)):
        for name in (wnid, word, *names.split(",")):
            places[name.strip().casefold()].add(place)
    chosen: list[int] = []
    for asked in classes:
        matches = places.get(str(asked).strip().casefold(), set())
        if len(matches) > 1:
            wnids = ", ".join(found.classes[place] for place in sorted(matches))
            raise InvalidInputError(f"class {asked!r} is ambiguous; give one of the wnids {wnids}")
        if not matches:
            close = difflib.get_close_matches(str(asked).casefold(), places, n=1, cutoff=0.5)
            hint = "".join(f", did you mean {found.words[min(places[name])]!r}?" for name in close) or "."
            raise InvalidInputError(
                f"class {asked!r} is not in {found.name}{hint} Its {total} are in load({found.name!r}).words"
            )
        place = min(matches)
        if place in chosen:
            raise InvalidInputError(f"class {asked!r} ({found.classes[place]}) is asked for twice")
        chosen.append(place)
    if not chosen:
        raise InvalidInputError(f"classes is empty; allowed is 1 to {total} of them")
    return np.array(chosen, np.int64)


def _hold_out(found: Cache, chosen: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the official training images to keep for training, and to hold out; each int64, sorted."""
    labels = found.train.labels
    assert labels is not None  # the training labels are the folders' names
    kept, held = [], []
    rows_of = dict(by_class(labels))
    for place in chosen:
        rows = rows_of[int(place)]
        out = max(1, round(share * len(rows))) if share else 0
        if out >= len(rows):
            raise InvalidInputError(
                f"development={share} leaves no training image of class {found.classes[place]}, "
                f"which has {len(rows)}; use a smaller share, or 0"
            )
        # seeded by the wnid, so that a class's development images stay the same whichever others are loaded
        order = np.random.default_rng([seed, zlib.crc32(found.classes[place].encode())]).permutation(len(rows))
        held.append(rows[order[:out]])
        kept.append(rows[order[out:]])
    return np.sort(np.concatenate(kept)), np.sort(np.concatenate(held))
