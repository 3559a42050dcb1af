"""Nothing but libjpeg-turbo: python -m benchmarks.bare DECODER ARCHIVE (decoding.py starts it).

Reads every JPEG of the archive into memory, says so, waits for a line on standard input, decodes them all,
and prints the seconds that took. Decoders: "pillow", whose own copy of libjpeg-turbo `Image.open(…).load()` calls, and
"simplejpeg", a thin layer over libjpeg-turbo, where it is installed.
"""

import contextlib
import importlib
import importlib.metadata
import io
import sys
import time
from collections.abc import Callable

import PIL
from PIL import Image, features

from tinylab.data.archive import open_archive
from tinylab.data.layout import SPLITS, read_layout


def decoders() -> dict[str, str]:
    """What can decode here: its name, and in words."""
    found = {"pillow": f"Pillow {PIL.__version__}, libjpeg-turbo {features.version_feature('libjpeg_turbo')}"}
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        found["simplejpeg"] = f"simplejpeg {importlib.metadata.version('simplejpeg')}"
    return found


def decoder(name: str) -> Callable[[bytes], object]:
    """From the bytes of a file to pixels."""
    if name == "pillow":
        return lambda raw: Image.open(io.BytesIO(raw)).load()
    decode_jpeg = importlib.import_module("simplejpeg").decode_jpeg
    return lambda raw: decode_jpeg(raw)


def main() -> None:
    name, path = sys.argv[1:]
    with open_archive(path) as archive:
        layout = read_layout(archive)
        members = [member for split in SPLITS for member in layout.splits[split].members]
        raws = [archive.read(member) for member in members]
    decode = decoder(name)
    print("ready", flush=True)
    sys.stdin.readline()
    started = time.perf_counter()
    for raw in raws:
        decode(raw)
    print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main()
