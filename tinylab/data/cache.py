"""Decoded images on disk: prepared once, memory-mapped ever after.

    prepare(source, name)    decode a zip or folder into the cache under a name
    open_cache(name)         its arrays, at once: nothing is read until it is used
    info()                   a table of what is where

One prepared data set is a folder `prepared/<name>/` with `manifest.json` and one folder of arrays that the
manifest names. A preparation fills a new folder and puts its manifest in place last, by a rename: a reader
sees the old state or the new one, never half of either. One process prepares a name at a time (a lock file);
others wait and use it.
"""

import contextlib
import io
import json
import logging
import re
import shutil
import sys
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinylab.data.archive import Archive, open_archive
from tinylab.data.decode import BLOCK, REMEDIES, Block, Report, Wanted, kept, run_blocks
from tinylab.data.folders import (
    ARCHIVE,
    VARIABLE,
    as_path,
    cache_root,
    cannot_write,
    locked,
    open_like,
    readable,
    require_space,
    writable_folder,
)
from tinylab.data.layout import SPLITS, Layout, Listing, natural, read_layout, short_names
from tinylab.data.manifest import FILE, describe, inside, sha256
from tinylab.data.manifest import state as read_state
from tinylab.support import notebook
from tinylab.support.errors import DataError, FileError, InvalidInputError, check_int
from tinylab.support.files import atomic_write, status
from tinylab.support.table import Table

log = logging.getLogger("tinylab.data")

LARGEST = 1024  # pixels: the side of an image that this course could still do something with
UNUSABLE = "unusable.txt"  # in the prepared folder: which images kept a preparation from succeeding
_SAID = 3  # images that cannot be used: so many are named in the error itself


@dataclass(frozen=True)
class Decoded:
    """One official split: N images, memory-mapped copy-on-write, so that torch accepts them as they are."""

    images: np.ndarray  # uint8 (N, size, size, 3), RGB
    labels: np.ndarray | None  # int64 (N,), positions in `Cache.classes`; None: unlabelled
    files: np.ndarray  # str (N,), file names
    greyscale: np.ndarray  # bool (N,), the file had one channel
    digests: np.ndarray  # uint8 (N, 20), SHA-1 of the file


@dataclass(frozen=True)
class Cache:
    """A prepared data set."""

    name: str
    folder: Path
    classes: tuple[str, ...]  # wnids in the order of wnids.txt
    words: tuple[str, ...]  # short readable names, same order
    names: tuple[str, ...]  # all names of each class, separated by commas, same order
    train: Decoded
    validation: Decoded
    test: Decoded
    manifest: dict[str, Any]


def prepared_folder(name: str, root: Path | None = None) -> Path:
    """Where the data set `name` is, or would be; InvalidInputError if it cannot be a name."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise InvalidInputError(
            f"data set name {name!r}; allowed are letters, digits, '-', '_' and '.', 1 to 100 of them"
        )
    return (root or cache_root()) / "prepared" / name


def prepare(
    source: str | Path,
    name: str,
    size: int = 64,
    progress: bool = True,
    *,
    root: Path | None = None,
    rebuild: bool = False,
    resize: bool = False,
    convert: bool = False,
) -> Path:
    """Decode the archive or folder `source` into the cache as `name`; returns the prepared folder.

    `size` is the width and height that all images must have, in pixels; with `resize`, others are scaled until
    their shorter side fits, and their middle is taken; with `convert`, other formats and colour modes become RGB.
    Images that say how the camera was held are turned. `root` is the cache folder, None for `cache_root()`. What is
    prepared already from the same source is kept, unless `rebuild`. Raises InvalidInputError for an impossible
    argument, DataError for a wrong layout or damaged member (named), a disk that is full, or a folder not writable.
    """
    if name == "sample":
        raise InvalidInputError("the name 'sample' is the generated sample's; choose another")
    check_int("size", size, 1, LARGEST)
    source = as_path(source).absolute()
    with open_archive(source) as archive:
        fingerprint = archive.fingerprint()
    wanted = Wanted(size, resize, convert)
    given = contextlib.nullcontext(source)
    return ensure(name, fingerprint, lambda: given, wanted, root=root, progress=progress, rebuild=rebuild)


def ensure(
    name: str,
    fingerprint: str,
    provide: Callable[[], AbstractContextManager[Path]],
    wanted: Wanted,
    *,
    root: Path | None = None,
    progress: bool = True,
    rebuild: bool = False,
) -> Path:
    """Prepare `name` unless it is there with this fingerprint; `provide` gives the source, if needed."""
    folder = prepared_folder(name, root)
    if not rebuild and _why_build(folder, fingerprint, wanted) is None:
        return folder  # without lock or write: a prepared cache may lie on a read-only disk
    writable_folder(folder)
    open_like(folder.parents[1], folder.parent, folder)
    with locked(folder / ".lock", name):
        open_like(folder.parents[1], folder / ".lock")
        reason = "asked to rebuild" if rebuild else _why_build(folder, fingerprint, wanted)
        if reason is None:  # another process has just done it
            return folder
        if reason:
            log.warning("%s: %s, rebuilding", name, reason)
        _sweep(folder)
        with provide() as source:
            _build(source, folder, fingerprint, wanted, progress)
        _sweep(folder)
        (folder / UNUSABLE).unlink(missing_ok=True)  # of a preparation that failed
    return folder


def _why_build(folder: Path, fingerprint: str, wanted: Wanted) -> str | None:
    """None if the folder holds what is wanted; else why not, for the user ("" if there is simply nothing)."""
    state, manifest = read_state(folder)
    if manifest is None:
        return "" if state == "absent" else state
    if manifest["source"]["fingerprint"] != fingerprint:
        return "source changed"
    if manifest["size"] != wanted.size:
        return f"prepared for {manifest['size']} pixels"
    if manifest.get("resized", False) and not wanted.resize:
        return "prepared with other images made to fit"
    return "prepared with other images converted" if manifest.get("converted") and not wanted.convert else None


def _sweep(folder: Path) -> None:
    """Remove builds that the manifest does not name; only under the lock. What Windows holds open stays."""
    _, manifest = read_state(folder)
    for path in inside(folder):
        if path.is_dir() and (manifest is None or path.name != manifest["build"]):
            shutil.rmtree(path, ignore_errors=True)


def _build(source: Path, folder: Path, fingerprint: str, wanted: Wanted, progress: bool) -> None:
    build, needed = folder / uuid.uuid4().hex[:12], 0
    try:
        build.mkdir()
        with open_archive(source, scratch=build) as archive:
            layout = read_layout(archive)
            count = sum(len(layout.splits[split].members) for split in SPLITS)
            needed = count * (wanted.size**2 * 3 + 256)  # pixels, and generously all that is kept beside them
            require_space(folder, needed)
            report = _decode(archive, layout, build, wanted, progress)
        if report.faults:
            raise _unusable(source, folder, report)
        manifest = describe(build, layout, source, fingerprint, wanted, report.converted)
        open_like(folder.parents[1], build, *build.iterdir())
        atomic_write(folder / FILE, json.dumps(manifest, indent=1).encode())
        open_like(folder.parents[1], folder / FILE)
    except (OSError, FileError) as error:
        shutil.rmtree(build, ignore_errors=True)
        raise cannot_write(folder, error, needed) from error
    except BaseException:
        shutil.rmtree(build, ignore_errors=True)
        raise


def _decode(archive: Archive, layout: Layout, build: Path, wanted: Wanted, progress: bool) -> Report:
    """Fill the arrays in the folder `build`; what became of all images together."""
    offsets: dict[str, int] = {}
    blocks: list[Block] = []
    for split in SPLITS:
        offsets |= _create(build, split, layout.splits[split], wanted.size)
        members = layout.splits[split].members
        blocks += [Block(split, first, members[first : first + BLOCK]) for first in range(0, len(members), BLOCK)]
    total, count = Report(), sum(len(block.members) for block in blocks)
    shown = progress and (True if sys.stderr.isatty() else None)  # not in a file, where it would hide an error's line
    with notebook.bar(shown, total=count, desc=f"decoding {build.parent.name}", unit=" images") as bar:
        for report in run_blocks(archive, build, offsets, blocks, wanted):
            bar.update(report.images)
            total.converted += report.converted
            total.faults += report.faults
    return total


def _unusable(source: Path, folder: Path, report: Report) -> DataError:
    """Every image that cannot be used, in one line or, if there are many, in a list beside what was prepared."""
    faults = sorted(report.faults, key=natural)
    said = "; ".join(faults[:_SAID])
    if len(faults) > _SAID:
        path = folder / UNUSABLE
        atomic_write(path, "".join(f"{fault}\n" for fault in faults).encode(errors="backslashreplace"))
        said = f"{len(faults):,} images cannot be used, all of them listed in {path}; the first: {faults[0]}"
    options = [option for option, words in REMEDIES.items() if any(words in fault for fault in faults)]
    made = f". To have them made so: tinylab data prepare --from {source} {' '.join(options)}"
    return DataError(said + (made if options else ""))


def _create(build: Path, split: str, listing: Listing, size: int) -> dict[str, int]:
    """Write a split's labels and names, lay out its other arrays; returns their bytes of header by file."""
    count = len(listing.members)
    if listing.labels is not None:
        _save(build / f"{split}_labels.npy", listing.labels)
    _save(build / f"{split}_files.npy", np.array(listing.files, np.str_))
    offsets = {}
    for kind, (shape, dtype) in kept(size).items():
        path = build / f"{split}_{kind}.npy"
        # a sparse file: the disk fills as rows are written
        array = np.lib.format.open_memmap(path, "w+", dtype, (count, *shape))
        offsets[path.name] = array.offset
    return offsets


def _save(path: Path, array: np.ndarray) -> None:
    """As np.save, which does not say why it could not write."""
    stream = io.BytesIO()
    np.save(stream, array)
    path.write_bytes(stream.getbuffer())


def open_cache(name: str | Path, root: Path | None = None) -> Cache:
    """The prepared data set `name` (or the folder of one), memory-mapped; instant, whatever its size.

    DataError if it is absent, incomplete or of an older schema, with the command that prepares it.
    """
    folder = name if isinstance(name, Path) else prepared_folder(name, root)
    for attempt in (1, 2):
        state, manifest = read_state(folder)
        if manifest is None:
            what = "of another schema version" if state == "schema changed" else state
            raise DataError(
                f"{folder.name} at {folder} is {what}; "
                f"prepare it: tinylab data prepare --from ZIP_OR_FOLDER --name {folder.name}"
            )
        try:
            return _map(folder, manifest)
        except FileNotFoundError:  # replaced between the two steps; the new one is complete
            if attempt == 2:
                raise
        except (ValueError, TypeError, EOFError) as error:
            raise DataError(f"{folder} is damaged ({' '.join(str(error).split())}); prepare it again") from None
    raise AssertionError("unreachable")


def _map(folder: Path, manifest: dict[str, Any]) -> Cache:
    build = folder / manifest["build"]
    kinds = kept(manifest["size"]) | {"files": ((), np.str_)}

    def decoded(split: str) -> Decoded:
        entry = manifest["splits"][split]
        arrays = {kind: np.load(build / f"{split}_{kind}.npy", mmap_mode="c") for kind in kinds}
        labels = np.load(build / f"{split}_labels.npy") if entry["labelled"] else None
        for kind, (shape, dtype) in kinds.items():
            found = arrays[kind]
            if found.shape != (entry["images"], *shape) or found.dtype.type != dtype:
                raise ValueError(f"{split}_{kind} is {found.dtype} {found.shape}")
        places = range(len(manifest["classes"]))
        if labels is not None and (labels.shape != (entry["images"],) or not np.isin(labels, places).all()):
            raise ValueError(f"{split}_labels do not fit")
        return Decoded(labels=labels, **arrays)

    classes, names = tuple(manifest["classes"]), tuple(manifest["names"])
    train, validation, test = (decoded(split) for split in SPLITS)
    return Cache(folder.name, folder, classes, short_names(classes, names), names, train, validation, test, manifest)


def renew(name: str, root: Path | None = None) -> None:
    """Prepare `name` again if its schema is not ours any more and the source it came from is still there."""
    folder = prepared_folder(name, root)
    if read_state(folder)[0] != "schema changed":
        return
    old = json.loads((folder / FILE).read_text(encoding="utf-8"))
    try:
        source, size = Path(old["source"]["path"]), old.get("size", 64)
        made = {"resize": bool(old.get("resized", False)), "convert": bool(old.get("converted", {}))}
    except (KeyError, TypeError, AttributeError):  # of a version that nobody knows any more
        return
    if source.is_absolute() and status(source) is not None:
        prepare(source, name, size=size, root=root, **made)


def verify(name: str, root: Path | None = None) -> None:
    """Read every array and compare its SHA-256 with the manifest's; DataError names one that differs."""
    cache = open_cache(name, root)
    for file, entry in cache.manifest["arrays"].items():
        path = cache.folder / cache.manifest["build"] / file
        if sha256(path) != entry["sha256"]:
            raise DataError(f"{path} is damaged (its SHA-256 is not the manifest's); prepare {name} again")


def state(name: str, root: Path | None = None) -> str:
    """One of "ready", "absent", "incomplete" and "schema changed"."""
    try:
        folder = prepared_folder(name, root)
    except InvalidInputError:
        return "absent"
    return read_state(folder)[0]


def prepared_names(root: Path | None = None) -> list[str]:
    """The names of the data sets that are ready to load."""
    found = inside((root or cache_root()) / "prepared")
    return [path.name for path in found if path.is_dir() and _known(path)[0] == "ready"]


def _known(folder: Path) -> tuple[str, dict[str, Any] | None]:
    """As `manifest.state`, for a list that has other rows, too."""
    try:
        return read_state(folder)
    except DataError:
        return "not readable", None


def info(root: Path | None = None) -> Table:
    """What is where: the downloaded archive and every prepared data set, with size on disk and state."""
    root = root or cache_root()
    rows: list[list[object]] = []
    archive = root / ARCHIVE
    if (there := status(archive)) is not None:
        rows.append(["archive", "downloaded", "–", "–", readable(there.st_size), archive])
    for folder in filter(Path.is_dir, inside(root / "prepared")):
        state, manifest = _known(folder)
        if state == "absent":  # a preparation that failed
            continue
        if manifest is None:
            rows.append([folder.name, state, "–", "–", "–", folder])
            continue
        images = " + ".join(f"{manifest['splits'][split]['images']:,}" for split in SPLITS)
        size = readable(sum(entry["bytes"] for entry in manifest["arrays"].values()))
        rows.append([folder.name, state, len(manifest["classes"]), images, size, folder])
    caption = f"Cache: {root} (move it with {VARIABLE})" + ("" if rows else ". Nothing is prepared yet")
    return Table(["name", "state", "classes", "train + validation + test", "size", "where"], rows, caption)
