"""JPEG bytes to pixels, written into a cache's files.

One thread, unless photographs are to be resized: of a 64×64 image most of the time is Python's own. 24,000 of them took
1.4 s in one thread, 1.4 s in two, and 3.8 s in two processes, which have to start first (medians of 3, Zen 4).
"""

import contextlib
import hashlib
import io
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image, ImageOps

from tinylab.data.archive import Archive
from tinylab.support.cores import core_count
from tinylab.support.errors import DataError

BLOCK = 256  # images decoded and written at a time: 3 MiB
REMEDIES = {"--resize": "or ask for a resize", "--convert": "or ask for it to be converted"}  # the option that is it
FORMATS = ("JPEG", "PNG")
OTHERS = ("WEBP", "GIF", "BMP", "TIFF")  # taken if they are to be converted
_GREY = ("L", "LA", "La", "1", "I", "I;16", "I;16B", "I;16L")  # colour modes, in Pillow's words
_JPEG = b"\xff\xd8\xff"
LARGEST = 50_000_000  # pixels of an image that may be resized: a camera's, not a bomb's


@dataclass(frozen=True)
class Block:
    """Consecutive rows of one split."""

    split: str
    first: int  # row of the first member
    members: list[str]


@dataclass
class Report:
    """What became of a block."""

    images: int = 0
    converted: Counter[str] = field(default_factory=Counter)  # how many by what they were: {"CMYK": 3}
    faults: list[str] = field(default_factory=list)  # a sentence for each image that cannot be used


@dataclass(frozen=True)
class Wanted:
    """What images are made to be."""

    size: int = 64  # pixels, width and height
    resize: bool = False  # an image of another size is scaled until its shorter side fits, and its middle is taken
    convert: bool = False  # another format or colour mode becomes RGB; what is transparent becomes white


def decode(raw: bytes, wanted: Wanted, name: str) -> tuple[np.ndarray, bool, str]:
    """Pixels, uint8 (size, size, 3) in RGB, turned as the camera was held; whether the file was greyscale; and what it
    was before it was converted, such as "CMYK" or "WEBP", "" if nothing had to be. `name` is for a DataError.
    """
    size = wanted.size
    if (plain := _plain(raw, size)) is not None:
        return *plain, ""
    try:
        with Image.open(io.BytesIO(raw), formats=FORMATS + OTHERS) as image:
            width, height = image.size  # from the header, before a byte is decoded: no decompression bombs
            if (width, height) != (size, size) and not wanted.resize:
                raise DataError(f"{name} has {width}×{height} pixels; expected {size}×{size}, or ask for a resize")
            if width * height > max(LARGEST, size * size):
                raise DataError(f"{name} has {width}×{height} pixels; expected at most {LARGEST:,} of them")
            kind = image.format if image.format in OTHERS else "" if image.mode in ("RGB", "L") else image.mode
            if kind and not wanted.convert:
                what = f"a {kind}" if kind in OTHERS else f"in colour mode {kind}"
                expected = "JPEG or PNG" if kind in OTHERS else "RGB or greyscale"
                raise DataError(f"{name} is {what}; expected {expected}, or ask for it to be converted")
            image.draft(None, (2 * size, 2 * size))  # a JPEG can be decoded at a half, a quarter or an eighth
            grey = image.mode in _GREY
            image.load()
            with contextlib.suppress(Exception):  # notes that are damaged spoil no pixel
                ImageOps.exif_transpose(image, in_place=True)
            flat = _flat(image) if kind else image
            if flat.size != (size, size):
                flat = ImageOps.fit(flat, (size, size), Image.Resampling.LANCZOS)
            return np.asarray(flat.convert("RGB")), grey, str(kind)
    except DataError:
        raise
    except Image.DecompressionBombError:
        raise DataError(f"{name} claims to be far larger than the {size}×{size} pixels expected") from None
    except Exception as error:  # Pillow has many ways to say "damaged"
        raise DataError(f"{name} is damaged ({' '.join(str(error).split(' <')[0].split())})") from None


def _flat(image: Image.Image) -> Image.Image:
    """An image of any colour mode in RGB or greyscale: 16 bits become 8, what is transparent becomes white."""
    if image.mode == "F":
        raise ValueError("pixels are fractions of an unknown range")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        values = values // 257 if image.mode != "I" or values.max(initial=0) > 255 else values
        return Image.fromarray(values.clip(0, 255).astype(np.uint8))
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA")).convert("RGB")
    return image.convert("L" if image.mode == "1" else "RGB")


def _plain(raw: bytes, size: int) -> tuple[np.ndarray, bool] | None:
    """What nearly every file is, a sound JPEG of the right size, in colour or grey; None: let Pillow see to it.

    Straight to libjpeg-turbo, which is inside Pillow as well: the same pixels in a quarter of the time.
    """
    if not raw.startswith(_JPEG) or b"Exif\0\0" in raw:  # it may say that the camera was held upside down
        return None
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(raw)
        if (width, height) != (size, size) or colours not in ("YCbCr", "Gray"):
            return None
        return simplejpeg.decode_jpeg(raw, "RGB"), colours == "Gray"
    except ValueError:  # damaged, or so unusual that it takes Pillow to say how
        return None


def kept(size: int) -> dict[str, tuple[tuple[int, ...], type]]:
    """What is kept of each image beside its label and its name, an array of a split each: shape and type of a row."""
    # SHA-1 of the file, to find identical ones without the archive
    return {"images": ((size, size, 3), np.uint8), "greyscale": ((), np.bool_), "digests": ((20,), np.uint8)}


def write_block(archive: Archive, folder: Path, offsets: dict[str, int], block: Block, wanted: Wanted) -> Report:
    """Decode the members of a block, write their rows to `<split>_<kind>.npy` behind `offsets` header bytes.

    Plain writes, because a full disk then raises an OSError; a store into a memory map would kill the
    process. The row of an image that cannot be used stays empty.
    """
    count = len(block.members)
    report = Report(count)
    arrays: dict[str, np.ndarray] = {
        kind: np.zeros((count, *shape), dtype) for kind, (shape, dtype) in kept(wanted.size).items()
    }
    for row, member in enumerate(block.members):
        try:
            raw = archive.read(member)
            pixels, grey, was = decode(raw, wanted, f"{member} in {archive.path}")
        except DataError as error:
            report.faults.append(str(error))
            continue
        if was:
            report.converted[was] += 1
        arrays["images"][row], arrays["greyscale"][row] = pixels, grey
        arrays["digests"][row] = np.frombuffer(hashlib.sha1(raw, usedforsecurity=False).digest(), np.uint8)
    for kind, array in arrays.items():
        name = f"{block.split}_{kind}.npy"
        with (folder / name).open("r+b") as stream:
            stream.seek(offsets[name] + block.first * array[0].nbytes)
            stream.write(array.data)  # buffered, so that all of it is written or an error raised
    return report


def run_blocks(
    archive: Archive, folder: Path, offsets: dict[str, int], blocks: list[Block], wanted: Wanted
) -> Iterator[Report]:
    """Decode all blocks; yields what became of each.

    The archive is read, the files named in `offsets` (bytes of header by name) in `folder` are written. OSError if the
    disk fails.
    """
    if not wanted.resize:
        yield from (write_block(archive, folder, offsets, block, wanted) for block in blocks)
        return
    pool = ThreadPoolExecutor(core_count())  # Python's lock is not held while a photograph's pixels are decoded
    try:
        yield from pool.map(lambda block: write_block(archive, folder, offsets, block, wanted), blocks)
    finally:
        pool.shutdown(cancel_futures=True)
