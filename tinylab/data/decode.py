"""JPEG bytes to pixels, and the processes that share this work when a cache is prepared.

Python's lock is held for most of a 64×64 image, so threads bring nothing (measured with Pillow: 12,000 images 3.2 s
with one thread, 3.5 s with two). Workers are plain child processes that run `main` below, rather than a
`multiprocessing` pool: a pool would import the caller's script again where processes are spawned (Windows,
macOS), or fork a Jupyter kernel with its threads. They write rows straight into the cache's files and report
over their standard output.
"""

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
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image, ImageOps

from tinylab.data.archive import Archive, open_archive
from tinylab.support.errors import DataError

BLOCK = 256  # images decoded and written at a time: 3 MiB
_JPEG = b"\xff\xd8\xff"
LARGEST = 50_000_000  # pixels of an image that may be resized: a camera's, not a bomb's


@dataclass(frozen=True)
class Block:
    """Consecutive rows of one split."""

    split: str
    first: int  # row of the first member
    members: list[str]


def decode(raw: bytes, size: int, name: str, resize: bool = False) -> tuple[np.ndarray, bool]:
    """Pixels, uint8 (size, size, 3) in RGB, and whether the file was greyscale; `name` is for a DataError.

    resize  an image of another size is scaled until its shorter side fits, and its middle is taken
    """
    if (plain := _plain(raw, size)) is not None:
        return plain
    try:
        with Image.open(io.BytesIO(raw), formats=("JPEG", "PNG")) as image:
            width, height = image.size  # from the header, before a byte is decoded: no decompression bombs
            fits = (width, height) == (size, size)
            if not fits and not resize:
                raise DataError(f"{name} has {width}×{height} pixels; expected {size}×{size}, or ask for a resize")
            if width * height > max(LARGEST, size * size):
                raise DataError(f"{name} has {width}×{height} pixels; expected at most {LARGEST:,} of them")
            if image.mode not in ("RGB", "L"):
                raise DataError(f"{name} is in colour mode {image.mode}; expected RGB or greyscale")
            grey = image.mode == "L"
            return np.asarray((image if fits else _resized(image, size)).convert("RGB")), grey
    except DataError:
        raise
    except Image.DecompressionBombError:
        raise DataError(f"{name} claims to be far larger than the {size}×{size} pixels expected") from None
    except Exception as error:  # Pillow has many ways to say "damaged"
        raise DataError(f"{name} is damaged ({' '.join(str(error).split(' <')[0].split())})") from None


def _plain(raw: bytes, size: int) -> tuple[np.ndarray, bool] | None:
    """What nearly every file is, a sound JPEG of the right size, in colour or grey; None: let Pillow see to it.

    Straight to libjpeg-turbo, which is inside Pillow as well: the same pixels in a quarter of the time.
    """
    if not raw.startswith(_JPEG):
        return None
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(raw)
        if (width, height) != (size, size) or colours not in ("YCbCr", "Gray"):
            return None
        return simplejpeg.decode_jpeg(raw, "RGB"), colours == "Gray"
    except ValueError:  # damaged, or so unusual that it takes Pillow to say how
        return None


def _resized(image: Image.Image, size: int) -> Image.Image:
    """The middle of an image, size×size pixels, turned as the camera was held."""
    image.draft(None, (2 * size, 2 * size))  # a JPEG can be decoded at a half, a quarter or an eighth of its size
    return ImageOps.fit(ImageOps.exif_transpose(image), (size, size), Image.Resampling.LANCZOS)


def write_block(
    archive: Archive, folder: Path, offsets: dict[str, int], block: Block, size: int, resize: bool = False
) -> None:
    """Decode the members of a block, write their rows to `<split>_<kind>.npy` behind `offsets` header bytes.

    Plain writes, because a full disk then raises an OSError; a store into a memory map would kill the
    process.
    """
    rows = len(block.members)
    images = np.empty((rows, size, size, 3), np.uint8)
    greyscale = np.empty(rows, np.bool_)
    digests = np.empty((rows, 20), np.uint8)  # SHA-1 of the file, to find identical ones without the archive
    for row, member in enumerate(block.members):
        raw = archive.read(member)
        images[row], greyscale[row] = decode(raw, size, f"{member} in {archive.path}", resize)
        digests[row] = np.frombuffer(hashlib.sha1(raw, usedforsecurity=False).digest(), np.uint8)
    for kind, array in (("images", images), ("greyscale", greyscale), ("digests", digests)):
        name = f"{block.split}_{kind}.npy"
        with (folder / name).open("r+b") as stream:
            stream.seek(offsets[name] + block.first * array[0].nbytes)
            stream.write(array.data)  # buffered, so that all of it is written or an error raised


def run_blocks(
    path: Path, folder: Path, offsets: dict[str, int], blocks: list[Block], size: int, resize: bool, workers: int
) -> Generator[int, None, None]:
    """Decode all blocks with `workers` processes; yields the number of images just done.

    The archive at `path` is read, the files named in `offsets` (bytes of header by name) in `folder` are
    written. DataError for the first bad member, OSError if the disk fails; the other workers are ended then.
    """
    if workers <= 1 or not sys.executable:
        with open_archive(path) as archive:
            for block in blocks:
                write_block(archive, folder, offsets, block, size, resize)
                yield len(block.members)
        return
    plan = folder / "plan.json"
    plan.write_text(
        json.dumps({
            "archive": str(path), "size": size, "resize": resize, "offsets": offsets,
            "blocks": [vars(block) for block in blocks],
        }),
        encoding="utf-8",
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


def _watch(workers: "list[subprocess.Popen[str]]") -> Iterator[int]:
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
            elif line.isdigit():
                yield int(line)
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
        with open_archive(plan["archive"]) as archive:
            for fields in plan["blocks"][number::workers]:
                block = Block(**fields)
                write_block(archive, path.parent, plan["offsets"], block, plan["size"], plan["resize"])
                print(len(block.members), flush=True)  # fails, and so ends us, when the parent has died
    except DataError as error:
        print(json.dumps({"data": str(error)}), flush=True)
    except BrokenPipeError:
        os._exit(1)
    except OSError as error:
        print(json.dumps({"disk": [error.errno, error.strerror]}), flush=True)
