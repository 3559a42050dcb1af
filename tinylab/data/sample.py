"""The generated sample: a small stand-in for Tiny ImageNet, drawn in seconds, in the layout of its archive.

For everyone without the download: twenty classes of 64×64 JPEGs, compositional (shape × texture × colour), in pairs
that are easily confused. It copies the traps of the real archive too: `wnids.txt` is not sorted, validation and
test files are numbered without regard to class, some JPEGs are greyscale, and a few files are byte for byte the
same under two different labels. Unlike the real one, its test images have labels (`test/test_annotations.txt`).

    write_sample("sample.zip")  # the same bytes with the same versions of numpy and Pillow
"""

import io
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tinylab.data import drawing
from tinylab.data.drawing import Kind
from tinylab.data.folders import as_path
from tinylab.support.cores import core_count
from tinylab.support.errors import check_int
from tinylab.support.files import atomic_write, replaceable

ROOT = "tinylab-sample"  # the folder that holds everything, as `tiny-imagenet-200` does in the real archive
QUALITY = 88  # of the JPEGs: about 2.5 kB each, as in the real archive
GREYSCALE = 0.018  # share of greyscale files, as in the real archive
SPLITS = ("train", "val", "test")
SEED = 0  # of everything random
STACK = 25  # pictures drawn at a time: large enough to keep numpy busy, small enough for the processor's cache

# Paints: hue, spread of the hue (0.5: any), saturation, brightness
ANY, BRIGHT, WHITE = (0.5, 0.5, 0.85, 0.7), (0.5, 0.5, 0.75, 0.97), (0.12, 0.05, 0.1, 0.95)
DEEP, DARK, METAL, BROWN = (0.5, 0.5, 0.85, 0.4), (0.6, 0.3, 0.3, 0.2), (0.6, 0.1, 0.1, 0.65), (0.07, 0.02, 0.6, 0.5)
RED, RUSSET, UMBER = (0.0, 0.03, 0.85, 0.8), (0.04, 0.07, 0.8, 0.7), (0.04, 0.07, 0.7, 0.6)
ORANGE, GOLD, LIME = (0.06, 0.06, 0.8, 0.85), (0.13, 0.03, 0.7, 0.9), (0.22, 0.04, 0.6, 0.8)
GREEN, ROUND = (0.3, 0.05, 0.7, 0.6), float(np.pi)  # ROUND: turned any way

# wnid: (name, what to draw), in the order of wnids.txt. The ids are made up and none of WordNet's (an "n" and eight
# digits). Neighbours are the confusable pairs: same shape, or same colours. The first ten are a problem of their own,
# calibrated in tests/data/test_sample_calibration.py: within a shape's pair the colours agree, and their order is
# random, so that pixel by pixel there is little to go by, while a convolution finds edges and textures at once.
KINDS: dict[str, tuple[str, Kind]] = {
    "s0300417": ("striped star", Kind(drawing.star, drawing.striped, ANY, WHITE, swapped=True)),
    "s0300962": ("spotted star", Kind(drawing.star, drawing.spotted, ANY, WHITE, swapped=True)),
    "s0711250": ("striped fish", Kind(drawing.fish, drawing.striped, BRIGHT, DARK, DARK, swapped=True)),
    "s0711031": ("scaly fish", Kind(drawing.fish, drawing.scaly, BRIGHT, DARK, DARK, swapped=True, upright=True)),
    "s0104588": ("spotted mushroom", Kind(drawing.mushroom, drawing.spotted, RUSSET, WHITE, WHITE)),
    "s0104213": ("plain mushroom", Kind(drawing.mushroom, drawing.plain, RUSSET, UMBER, WHITE)),
    "s0633127": ("checked heart", Kind(drawing.heart, drawing.checked, DEEP, BRIGHT, swapped=True)),
    "s0633991": ("marbled heart", Kind(drawing.heart, drawing.marbled, DEEP, BRIGHT, swapped=True)),
    "s0218805": ("golden ring", Kind(drawing.ring, drawing.plain, GOLD, WHITE)),
    "s0218340": ("golden crescent", Kind(drawing.crescent, drawing.plain, GOLD, WHITE)),
    "s0920074": ("meadow flower", Kind(drawing.flower, drawing.plain, ANY, WHITE, GOLD, ROUND)),
    "s0856619": ("swallowtail butterfly", Kind(drawing.butterfly, drawing.bordered, ANY, DARK, DARK)),
    "s0512466": ("green leaf", Kind(drawing.leaf, drawing.veined, GREEN, LIME, BROWN, ROUND, upright=True)),
    "s0512903": ("autumn leaf", Kind(drawing.leaf, drawing.veined, ORANGE, GOLD, BROWN, ROUND, upright=True)),
    "s0847702": ("ladybird", Kind(drawing.ladybird, drawing.dotted, RED, DARK, DARK, ROUND, upright=True)),
    "s0408156": ("beach ball", Kind(drawing.disc, drawing.sectors, ANY, WHITE, tilt=ROUND)),
    "s0471839": ("checked kite", Kind(drawing.kite, drawing.checked, DEEP, BRIGHT, DARK, swapped=True)),
    "s0409677": ("panelled umbrella", Kind(drawing.umbrella, drawing.sectors, ANY, WHITE, BROWN, upright=True)),
    "s0127348": ("blazing sun", Kind(drawing.sun, drawing.plain, GOLD, ORANGE, ORANGE, ROUND)),
    "s0155520": ("steel cogwheel", Kind(drawing.cogwheel, drawing.ringed, METAL, DARK, tilt=ROUND)),
}

# Like the real words.txt, ours knows more names than there are classes
_OTHER_WORDS = {
    "s0300000": "star, star shape",
    "s0711000": "fish",
    "s0104000": "mushroom, toadstool",
    "s0218000": "jewel, precious thing",
    "s0512000": "leaf, foliage",
}


@dataclass(frozen=True)
class _File:
    """One encoded picture: its class, the bytes of the JPEG, and the object's box (left, top, right, bottom)."""

    wnid: str
    data: bytes
    box: tuple[int, ...]


def write_sample(destination: Path | str, classes: int = 20, train: int = 200, val: int = 50, test: int = 50) -> Path:
    """Draw the sample and write it as one zip; returns the path.

    `classes` (2 to 20) are the first of `KINDS`; `train`, `val` and `test` count pictures per class. A picture
    depends on split, class and number only, so a smaller sample holds a part of the larger one's pictures (file
    numbers of val and test differ). The file appears under its name only when it is complete. Raises InvalidInputError
    for counts out of range, FileError for a place where nothing can be written.
    """
    check_int("classes", classes, 2, len(KINDS))
    counts = {"train": train, "val": val, "test": test}
    for split, count in counts.items():
        check_int(split, count, 1, 10_000)
    destination = as_path(destination)
    replaceable(destination)  # said now rather than when all pictures have been drawn

    wnids = list(KINDS)[:classes]
    with ThreadPoolExecutor(min(core_count(), 8)) as threads:
        pending = {
            (split, wnid): [
                threads.submit(_stack, split, wnid, first, min(STACK, count - first))
                for first in range(0, count, STACK)
            ]
            for split, count in counts.items()
            for wnid in wnids
        }
        drawn = {key: [file for stack in stacks for file in stack.result()] for key, stacks in pending.items()}
    _plant_duplicates(drawn, wnids)
    _write(destination, wnids, drawn)
    return destination


def _stack(split: str, wnid: str, first: int, count: int) -> list[_File]:
    """Draw and encode pictures `first` to `first + count - 1` of one class in one split."""
    # A whole stack is drawn even if less is wanted: then a picture does not depend on how many there are
    rng = np.random.default_rng([SEED, SPLITS.index(split), list(KINDS).index(wnid), first])
    images, boxes = drawing.draw(KINDS[wnid][1], STACK, rng)
    grey = rng.random(STACK) < GREYSCALE
    return [_File(wnid, _jpeg(images[i], bool(grey[i])), tuple(int(edge) for edge in boxes[i])) for i in range(count)]


def _jpeg(pixels: np.ndarray, grey: bool) -> bytes:
    image = Image.fromarray(pixels)
    stream = io.BytesIO()
    (image.convert("L") if grey else image).save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()


def _plant_duplicates(drawn: dict[tuple[str, str], list[_File]], wnids: list[str]) -> None:
    """Copy pictures between the classes of a pair, bytes and all, so that equal files carry different labels.

    As in the real archive, where 20 groups lie within train, 7 across train and validation, 9 across train and test.
    """
    for pair in range(len(wnids) // 2):
        source, target = wnids[2 * pair], wnids[2 * pair + 1]
        split = ("train", "val", "train", "test", "train")[pair % 5]
        original, copies = drawn["train", source][0], drawn[split, target]
        copies[-1] = _File(target, original.data, original.box)


def _write(destination: Path, wnids: list[str], drawn: dict[tuple[str, str], list[_File]]) -> None:
    members: dict[str, bytes | str] = {
        "wnids.txt": "".join(f"{wnid}\n" for wnid in wnids),
        "words.txt": "".join(f"{wnid}\t{words}\n" for wnid, words in sorted(_words().items())),
    }
    for wnid in wnids:
        files = drawn["train", wnid]
        members[f"train/{wnid}/{wnid}_boxes.txt"] = "".join(
            _line(f"{wnid}_{number}.JPEG", *file.box) for number, file in enumerate(files)
        )
        members |= {f"train/{wnid}/images/{wnid}_{n}.JPEG": file.data for n, file in enumerate(files)}
    for position, split in enumerate(("val", "test")):
        files = [file for wnid in wnids for file in drawn[split, wnid]]
        order = np.random.default_rng([SEED, 1000 + position]).permutation(len(files))
        members[f"{split}/{split}_annotations.txt"] = "".join(
            _line(f"{split}_{number}.JPEG", files[i].wnid, *files[i].box) for number, i in enumerate(order)
        )
        members |= {f"{split}/images/{split}_{number}.JPEG": files[i].data for number, i in enumerate(order)}

    stream = io.BytesIO()  # 15 MB for the whole sample
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:  # JPEGs do not compress further
        for name, data in members.items():
            info = zipfile.ZipInfo(f"{ROOT}/{name}", (2016, 3, 13, 0, 0, 0))  # fixed, so that bytes repeat
            info.external_attr = 0o644 << 16
            archive.writestr(info, data)
    atomic_write(destination, stream.getbuffer())


def _words() -> dict[str, str]:
    return {wnid: name for wnid, (name, _) in KINDS.items()} | _OTHER_WORDS


def _line(*fields: object) -> str:
    return "\t".join(map(str, fields)) + "\n"
