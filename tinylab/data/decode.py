"""JPEG bytes to pixels, and the processes that share this work when a cache is prepared.

Python's lock is held for most of a 64×64 image, so threads bring nothing (measured with Pillow: 12,000 images 3.2 s
with one thread, 3.5 s with two). Workers are plain child processes that run `main` below, rather than a
`multiprocessing` pool: a pool would import the caller's script again where processes are spawned (Windows,
macOS), or fork a Jupyter kernel with its threads. They write rows straight into the cache's files and report
over their standard output.
"""

import contextlib
import hashlib
import io
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from PIL import ExifTags, Image, ImageOps

from tinylab.data.archive import Archive, open_archive
from tinylab.support.errors import DataError

BLOCK = 256  # images decoded and written at a time: 3 MiB
REMEDIES = {"--resize": "or ask for a resize", "--convert": "or ask for it to be converted"}  # the option that is it
FORMATS = ("JPEG", "PNG")
OTHERS = ("WEBP", "GIF", "BMP", "TIFF")  # taken if they are to be converted
_GREY = ("L", "LA", "La", "1", "I", "I;16", "I;16B", "I;16L")  # colour modes, in Pillow's words
_TURNS = {  # from what Exif calls an orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
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
    converted: dict[str, int] = field(default_factory=dict)  # how many by what they were: {"CMYK": 3}
    faults: list[str] = field(default_factory=list)  # a sentence for each image that cannot be used


@dataclass(frozen=True)
class Wanted:
    """What images are made to be."""

    size: int  # pixels, width and height
    resize: bool = False  # an image of another size is scaled until its shorter side fits, and its middle is taken
    convert: bool = False  # another format or colour mode becomes RGB; what is transparent becomes white


def decode(raw: bytes, size: int, name: str, resize: bool = False, convert: bool = False) -> tuple[np.ndarray, bool]:
    """Pixels, uint8 (size, size, 3) in RGB, turned as the camera was held, and whether the file was greyscale.

    name     is for a DataError
    resize   an image of another size is scaled until its shorter side fits, and its middle is taken
    convert  WebP, GIF, BMP and TIFF, and other colour modes than RGB and greyscale are taken, too
    """
    return _decoded(raw, Wanted(size, resize, convert), name)[:2]


def _decoded(raw: bytes, wanted: Wanted, name: str) -> tuple[np.ndarray, bool, str]:
    """The same, and what it was before it was converted, such as "CMYK" or "WEBP"; "" if nothing had to be."""
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
            turned = _turned(_flat(image) if kind else image, image)
            if turned.size != (size, size):
                turned = ImageOps.fit(turned, (size, size), Image.Resampling.LANCZOS)
            return np.asarray(turned.convert("RGB")), grey, str(kind)
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


def _turned(image: Image.Image, source: Image.Image) -> Image.Image:
    """`image`, made from `source`, which may say how the camera was held."""
    orientation: Any = 1
    with contextlib.suppress(Exception):  # notes that are damaged spoil no pixel
        orientation = source.getexif().get(ExifTags.Base.Orientation)
    turn = _TURNS.get(orientation or 1)
    return image if turn is None else image.transpose(turn)


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


def write_block(archive: Archive, folder: Path, offsets: dict[str, int], block: Block, wanted: Wanted) -> Report:
    """Decode the members of a block, write their rows to `<split>_<kind>.npy` behind `offsets` header bytes.

    Plain writes, because a full disk then raises an OSError; a store into a memory map would kill the
    process. The row of an image that cannot be used stays empty.
    """
    rows, report = len(block.members), Report(len(block.members))
    images = np.zeros((rows, wanted.size, wanted.size, 3), np.uint8)
    greyscale = np.zeros(rows, np.bool_)
    digests = np.zeros((rows, 20), np.uint8)  # SHA-1 of the file, to find identical ones without the archive
    for row, member in enumerate(block.members):
        try:
            raw = archive.read(member)
            images[row], greyscale[row], kind = _decoded(raw, wanted, f"{member} in {archive.path}")
        except DataError as error:
            report.faults.append(str(error))
            continue
        if kind:
            report.converted[kind] = report.converted.get(kind, 0) + 1
        digests[row] = np.frombuffer(hashlib.sha1(raw, usedforsecurity=False).digest(), np.uint8)
    for kind, array in (("images", images), ("greyscale", greyscale), ("digests", digests)):
        name = f"{block.split}_{kind}.npy"
        with (folder / name).open("r+b") as stream:
            stream.seek(offsets[name] + block.first * array[0].nbytes)
            stream.write(array.data)  # buffered, so that all of it is written or an error raised
    return report


def run_blocks(
    archive: Archive, folder: Path, offsets: dict[str, int], blocks: list[Block], wanted: Wanted, workers: int
) -> Generator[Report, None, None]:
    """Decode all blocks with `workers` processes; yields what became of each, as they are done.

    The archive is read, the files named in `offsets` (bytes of header by name) in `folder` are written. OSError if the
    disk fails; the other workers are ended then.
    """
    if workers <= 1 or not sys.executable:
        for block in blocks:
            yield write_block(archive, folder, offsets, block, wanted)
        return
    plan = folder / "plan.json"
    plan.write_text(
        json.dumps({
            "archive": str(archive.opened), "known_as": str(archive.path), "wanted": vars(wanted), "offsets": offsets,
            "blocks": [vars(block) for block in blocks],
        })
    )  # fmt: skip
    yield from _watch([_start(plan, number, workers) for number in range(workers)])
    plan.unlink()


def _start(plan: Path, number: int, workers: int) -> "subprocess.Popen[str]":
    # the child finds the package wherever this process did; -P keeps a student's ./numpy.py out of the way
    root = str(Path(__file__).resolve().parents[2])
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([root, *filter(None, sys.path)]),
        "PYTHONIOENCODING": "utf-8",
        "OMP_NUM_THREADS": "1",
    }
    code = "from tinylab.data.decode import main; main()"
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code, str(plan), str(number), str(workers)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        text=True,
        encoding="utf-8",
    )


def _watch(workers: "list[subprocess.Popen[str]]") -> Iterator[Report]:
    """Reports of all workers as they come; ends every worker before it returns or raises."""
    lines: queue.Queue[tuple[int, str | None]] = queue.Queue()

    def listen(number: int) -> None:
        stream = workers[number].stdout
        for line in stream or ():
            lines.put((number, line.strip()))
        lines.put((number, None))

    listeners = [threading.Thread(target=listen, args=(n,), daemon=True) for n in range(len(workers))]
    for listener in listeners:
        listener.start()
    running, other = len(workers), [""] * len(workers)
    try:
        while running:
            number, line = lines.get()
            if line is None:
                running -= 1
                if code := workers[number].wait():
                    last = other[number].strip().splitlines()[-1:] or ["no message"]
                    raise DataError(f"a decoding process ended early (exit code {code}: {last[0]}); try workers=1")
            elif line.startswith('{"images": '):
                yield Report(**json.loads(line))
            elif line.startswith('{"data": '):
                raise DataError(json.loads(line)["data"])
            elif line.startswith('{"disk": '):
                raise OSError(*json.loads(line)["disk"])
            else:
                other[number] += line + "\n"
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
        for listener in listeners:
            listener.join()
        for worker in workers:
            if worker.stdout:
                worker.stdout.close()


def main() -> None:
    """A worker: arguments are the plan's path, this worker's number, the number of workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends us in order
    path, number, workers = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    plan = json.loads(path.read_text(encoding="utf-8"))
    try:
        with open_archive(plan["archive"], known_as=Path(plan["known_as"])) as archive:
            wanted = Wanted(**plan["wanted"])
            for fields in plan["blocks"][number::workers]:
                report = write_block(archive, path.parent, plan["offsets"], Block(**fields), wanted)
                print(json.dumps(vars(report)), flush=True)  # fails, and so ends us, when the parent has died
    except DataError as error:
        print(json.dumps({"data": str(error)}), flush=True)
    except BrokenPipeError:
        os._exit(1)
    except OSError as error:
        print(json.dumps({"disk": [error.errno, error.strerror]}), flush=True)
