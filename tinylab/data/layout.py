"""What the members of an archive mean: classes, splits and labels of the Stanford layout, checked.

    wnids.txt                           one class a line; this order is the class order, and it is not sorted
    words.txt                           wnid, tab, names separated by commas; may hold many more wnids
    train/<wnid>/images/*.JPEG
    val/images/*.JPEG                   labels by file name in val/val_annotations.txt (file, tab, wnid, …)
    test/images/*.JPEG                  may be absent; labels only if there is a test/test_annotations.txt

Any number of classes, any number of images in each. Images are listed in *numeric* order (test_2 before
test_10).
"""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np

from tinylab.data.archive import Archive
from tinylab.support.errors import DataError

SPLITS = ("train", "validation", "test")
_NUMBERS = re.compile(r"([0-9]+)")
_SUFFIXES = (".jpeg", ".jpg", ".png")


@dataclass(frozen=True)
class Listing:
    """The images of one official split, in order."""

    members: list[str]  # N paths inside the archive
    labels: np.ndarray | None  # int64 (N,), positions in `Layout.classes`; None: unlabelled


@dataclass(frozen=True)
class Layout:
    """Everything in an archive but the pixels."""

    classes: tuple[str, ...]  # wnids in the order of wnids.txt
    names: tuple[str, ...]  # all names of each class, separated by commas, as in words.txt
    splits: dict[str, Listing]  # keys: SPLITS


def read_layout(archive: Archive) -> Layout:
    """Read and check the listing of an archive; DataError says what is missing, where, what was expected."""
    classes = _classes(archive)
    position = {wnid: place for place, wnid in enumerate(classes)}
    images = _images(archive)
    splits = {
        "train": _train(archive, position, images),
        "validation": _annotated(archive, "val", position, images),
        "test": _annotated(archive, "test", position, images),
    }
    names = _names(archive, classes)
    archive.confirm(archive.sizes.keys() - {member for listing in splits.values() for member in listing.members})
    return Layout(classes, names, splits)


def short_names(classes: tuple[str, ...], names: tuple[str, ...]) -> tuple[str, ...]:
    """The first of each class's names; where two classes share it, the wnid is added: "crane (n02012849)"."""
    first = [name.split(",")[0].strip() for name in names]
    count = Counter(first)
    return tuple(word if count[word] == 1 else f"{word} ({wnid})" for wnid, word in zip(classes, first, strict=True))


def natural(name: str) -> list[str | int]:
    """A sorting key in which numbers count as numbers: test_2 before test_10."""
    return [int(part) if part.isdecimal() else part for part in _NUMBERS.split(name)]


def _lines(archive: Archive, member: str) -> list[str]:
    try:
        text = archive.read(member).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{member} in {archive.path} is not a text in UTF-8") from None
    return [line for line in text.splitlines() if line.strip()]


def _classes(archive: Archive) -> tuple[str, ...]:
    classes = [line.strip() for line in _lines(archive, "wnids.txt")]
    if not classes:
        raise DataError(f"wnids.txt in {archive.path} is empty; expected one class a line")
    for wnid, count in Counter(classes).items():
        if count > 1:
            raise DataError(f"wnids.txt in {archive.path} lists {wnid!r} {count} times")
        if "/" in wnid or "\t" in wnid or wnid in (".", ".."):
            raise DataError(f"wnids.txt in {archive.path} has {wnid!r}, which cannot name a folder")
    return tuple(classes)


def _names(archive: Archive, classes: tuple[str, ...]) -> tuple[str, ...]:
    if "words.txt" not in archive.sizes:
        return classes  # a wnid is better than nothing, and some data sets name their folders readably
    words = dict(line.split("\t", 1) for line in _lines(archive, "words.txt") if "\t" in line)
    return tuple(words.get(wnid, wnid).strip() or wnid for wnid in classes)


def _images(archive: Archive) -> dict[str, list[str]]:
    """Image members by the folder they lie in, each list in numeric order."""
    folders: dict[str, list[str]] = defaultdict(list)
    for member in archive.sizes:
        folder, _, file = member.rpartition("/")
        if folder.endswith("/images"):
            if not file.lower().endswith(_SUFFIXES):
                raise DataError(f"{member} in {archive.path} is not an image; expected {', '.join(_SUFFIXES)}")
            folders[folder].append(member)
    return {folder: sorted(members, key=natural) for folder, members in folders.items()}


def _train(archive: Archive, position: dict[str, int], images: dict[str, list[str]]) -> Listing:
    present = {parts[1] for m in archive.sizes if (parts := m.split("/"))[0] == "train" and len(parts) > 2}
    if unknown := sorted(present - position.keys()):
        raise DataError(f"train/{unknown[0]} in {archive.path} is a class that wnids.txt does not list")
    members: list[str] = []
    labels: list[int] = []
    for wnid, place in position.items():
        found = images.get(f"train/{wnid}/images", [])
        if not found:
            what = "empty" if wnid in present else "missing"
            raise DataError(
                f"class {wnid} of wnids.txt is {what} in {archive.path}: expected train/{wnid}/images/*.JPEG"
            )
        members += found
        labels += [place] * len(found)
    return Listing(members, np.array(labels, np.int64))


def _annotated(archive: Archive, folder: str, position: dict[str, int], images: dict[str, list[str]]) -> Listing:
    """`val` or `test`: labels looked up by file name, never by the order of listing."""
    members = images.get(f"{folder}/images", [])
    annotations = f"{folder}/{folder}_annotations.txt"
    if folder == "test" and annotations not in archive.sizes:
        return Listing(members, None)
    if not members:
        raise DataError(f"{archive.path} has no images in {folder}/images; expected {folder}/images/*.JPEG")
    label: dict[str, int] = {}
    for line in _lines(archive, annotations):
        file, _, rest = line.partition("\t")
        wnid = rest.split("\t")[0].strip()
        if wnid not in position:
            raise DataError(f"{annotations} in {archive.path} gives {file} the class {wnid!r}; wnids.txt has no such")
        if label.setdefault(file, position[wnid]) != position[wnid]:
            raise DataError(f"{annotations} in {archive.path} gives {file} two classes")
    files = [member.rpartition("/")[2] for member in members]
    if without := [file for file in files if file not in label]:
        raise DataError(f"{folder}/images/{without[0]} has no line in {annotations} of {archive.path}")
    if missing := sorted(label.keys() - set(files), key=natural):
        raise DataError(f"{annotations} of {archive.path} names {missing[0]}, which {folder}/images does not have")
    return Listing(members, np.array([label[file] for file in files], np.int64))
