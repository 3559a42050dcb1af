"""What the members of an archive mean: classes, splits and labels, checked.

Two layouts, and what people make of the first when they tidy it up. Stanford's:

    wnids.txt                           one class a line; this order is the class order, and it is not sorted
    words.txt                           wnid, tab, names separated by commas; may hold many more wnids
    train/<wnid>/images/*.JPEG
    val/images/*.JPEG                   labels by file name in val/val_annotations.txt (file, tab, wnid, …)
    test/images/*.JPEG                  may be absent; labels only if there is a test/test_annotations.txt

A folder for each class, as torchvision's ImageFolder reads it; without wnids.txt the classes are sorted by name:

    train/<class>/*.JPEG
    val/<class>/*.JPEG                  may be called `valid` or `validation`, too
    test/<class>/*.JPEG                 or test/*.JPEG, unlabelled; may be absent

Any number of classes, any number of images in each, with or without a folder `images` in between. Every image in
`train`, `val` and `test` is used, or named in an error; others are counted in a warning. Images are listed in
*numeric* order (test_2 before test_10).
"""

import logging
import re
from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np

from tinylab.data.archive import Archive
from tinylab.support.errors import DataError

SPLITS = ("train", "validation", "test")
_NUMBERS = re.compile(r"([0-9]+)")
SUFFIXES = (".jpeg", ".jpg", ".png")
CONVERTIBLE = (".webp", ".bmp", ".gif", ".tif", ".tiff")  # images that become part of a data set if asked for
_VALIDATION = ("val", "valid", "validation")  # what its folder may be called

log = logging.getLogger("tinylab.data")


@dataclass(frozen=True)
class Listing:
    """The images of one official split, in order."""

    members: list[str]  # N paths inside the archive
    labels: np.ndarray | None  # int64 (N,), positions in `Layout.classes`; None: unlabelled

    @property
    def files(self) -> list[str]:
        """N names, all different: file names, or with their folder where each class counts from 1 anew."""
        names = [member.rpartition("/")[2] for member in self.members]
        if len(set(names)) == len(names):
            return names
        return [member.partition("/")[2].replace("/images/", "/") for member in self.members]


@dataclass(frozen=True)
class Layout:
    """Everything in an archive but the pixels."""

    classes: tuple[str, ...]  # wnids in the order of wnids.txt
    names: tuple[str, ...]  # all names of each class, separated by commas, as in words.txt
    splits: dict[str, Listing]  # keys: SPLITS


def read_layout(archive: Archive) -> Layout:
    """Read and check the listing of an archive; DataError says what is missing, where, what was expected."""
    val = next((name for name in _VALIDATION if any(m.startswith(f"{name}/") for m in archive.sizes)), "val")
    classes = _classes(archive, val)
    position = {wnid: place for place, wnid in enumerate(classes)}
    images = _images(archive, {"train", val, "test"})
    splits = {
        "train": _train(archive, position, images),
        "validation": _split(archive, val, position, images),
        "test": _split(archive, "test", position, images),
    }
    used = {member for listing in splits.values() for member in listing.members}
    if unused := sorted({member for members in images.values() for member in members} - used, key=natural):
        raise DataError(
            f"{unused[0]} in {archive.path} lies where no image is expected{_others(unused)}; "
            "expected train/<class>/*.JPEG, with or without a folder images in between"
        )
    names = _names(archive, classes)
    archive.confirm(archive.sizes.keys() - used)
    return Layout(classes, names, splits)


def _others(members: list[str]) -> str:
    return "" if len(members) == 1 else f" (and {len(members) - 1:,} more)"


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


def _classes(archive: Archive, val: str) -> tuple[str, ...]:
    if "wnids.txt" not in archive.sizes and (annotations := f"{val}/{val}_annotations.txt") in archive.sizes:
        raise DataError(f"{archive.path} has {annotations}, but no wnids.txt; expected one class a line in it")
    if "wnids.txt" in archive.sizes:
        classes = [line.strip() for line in _lines(archive, "wnids.txt")]
        if not classes:
            raise DataError(f"wnids.txt in {archive.path} is empty; expected one class a line")
    else:
        classes = sorted(_train_folders(archive))
        if not classes:
            raise DataError(f"train in {archive.path} has no folders; expected train/<class>/*.JPEG")
    for wnid, count in Counter(classes).items():
        if count > 1:
            raise DataError(f"wnids.txt in {archive.path} lists {wnid!r} {count} times")
        if "/" in wnid or "\t" in wnid or wnid in (".", ".."):
            raise DataError(f"wnids.txt in {archive.path} has {wnid!r}, which cannot name a folder")
    return tuple(classes)


def _train_folders(archive: Archive) -> set[str]:
    return {parts[1] for member in archive.sizes if (parts := member.split("/"))[0] == "train" and len(parts) > 2}


def _names(archive: Archive, classes: tuple[str, ...]) -> tuple[str, ...]:
    if "words.txt" not in archive.sizes:
        return classes  # a wnid is better than nothing, and some data sets name their folders readably
    words = dict(line.split("\t", 1) for line in _lines(archive, "words.txt") if "\t" in line)
    return tuple(words.get(wnid, wnid).strip() or wnid for wnid in classes)


def _images(archive: Archive, tops: set[str]) -> dict[str, list[str]]:
    """Image members by the folder they lie in, without a last `images`, each list in numeric order."""
    folders: dict[str, list[str]] = defaultdict(list)
    outside = []
    for member in archive.sizes:
        folder, _, file = member.rpartition("/")
        if not file.lower().endswith(SUFFIXES + CONVERTIBLE):
            if folder.endswith("/images"):
                raise DataError(f"{member} in {archive.path} is not an image; expected {', '.join(SUFFIXES)}")
        elif member.partition("/")[0] in tops:
            folders[folder.removesuffix("/images")].append(member)
        else:
            outside.append(member)
    if outside:
        log.warning(
            "%s: not used, since it is outside train, val and test: %s%s",
            archive.path,
            min(outside, key=natural),
            _others(outside),
        )
    return {folder: sorted(members, key=natural) for folder, members in folders.items()}


def _train(archive: Archive, position: dict[str, int], images: dict[str, list[str]]) -> Listing:
    present = _train_folders(archive)
    if unknown := sorted(present - position.keys()):
        raise DataError(f"train/{unknown[0]} in {archive.path} is a class that wnids.txt does not list")
    for wnid in position:
        if f"train/{wnid}" not in images:
            what = "empty" if wnid in present else "missing"
            raise DataError(
                f"class {wnid} of wnids.txt is {what} in {archive.path}: expected train/{wnid}/images/*.JPEG"
            )
    return _by_folder("train", position, images)


def _by_folder(top: str, position: dict[str, int], images: dict[str, list[str]]) -> Listing:
    found = [(member, place) for wnid, place in position.items() for member in images.get(f"{top}/{wnid}", [])]
    return Listing([member for member, _ in found], np.array([place for _, place in found], np.int64))


def _split(archive: Archive, top: str, position: dict[str, int], images: dict[str, list[str]]) -> Listing:
    """`val` or `test`: labels by file name, never by the order of listing, or by folder; a test split may have none."""
    annotations = f"{top}/{top}_annotations.txt"
    folders = {folder.split("/")[1] for folder in images if folder.startswith(f"{top}/")}
    if folders and annotations not in archive.sizes:
        if top in images:
            member = images[top][0]
            raise DataError(f"{member} in {archive.path} lies beside the folders of classes; move it into one of them")
        if unknown := sorted(folders - position.keys()):
            raise DataError(f"{top}/{unknown[0]} in {archive.path} is a class that train does not have")
        return _by_folder(top, position, images)
    members = images.get(top, [])
    if top == "test" and annotations not in archive.sizes:
        return Listing(members, None)
    if not members:
        raise DataError(
            f"{archive.path} has no images in {top}/images; expected {top}/images/*.JPEG or {top}/<class>/*.JPEG"
        )
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
        raise DataError(f"{top}/images/{without[0]} has no line in {annotations} of {archive.path}")
    if missing := sorted(label.keys() - set(files), key=natural):
        raise DataError(f"{annotations} of {archive.path} names {missing[0]}, which {top}/images does not have")
    return Listing(members, np.array([label[file] for file in files], np.int64))
