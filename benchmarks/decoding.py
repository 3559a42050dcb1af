"""Archive to cache, beside bare decoding of the same bytes, each in one process."""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import bare
from benchmarks.machine import child, environment, say, summarise
from tinylab.data import open_archive
from tinylab.data.layout import SPLITS, read_layout

_PREPARE = (
    "import sys, time; from pathlib import Path; from tinylab.data import prepare; from benchmarks.machine import *\n"
    "started = time.perf_counter()\n"
    "prepare(sys.argv[1], 'bench', progress=False, root=Path(sys.argv[2]))\n"
    "print(time.perf_counter() - started, peak_memory())"
)


def decoding(archive: Path, repeats: int) -> dict[str, Any]:
    """Seconds of `tinylab.data.prepare`, and of each bare decoder, in turn; memory in MB."""
    with open_archive(archive) as opened:
        layout = read_layout(opened)
        images = sum(len(layout.splits[split].members) for split in SPLITS)
    known = bare.decoders()
    alone: dict[str, list[float]] = {name: [] for name in known}
    ours: list[float] = []
    megabytes = 0.0
    for number in range(repeats):
        say(f"decoding {images} images of {archive.name}, {number + 1} of {repeats}")
        for name in known:
            alone[name].append(_bare(name, archive))
        folder = Path(tempfile.mkdtemp(prefix="bench-", dir=archive.parent if _writable(archive.parent) else None))
        try:
            seconds, memory = map(float, child(_PREPARE, str(archive), str(folder)).split())
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        ours.append(seconds)
        megabytes = max(megabytes, memory)
    return {
        "archive": archive.name,
        "images": images,
        "prepare": summarise(ours) | {"megabytes": megabytes},
        "bare": [
            {"what": known[name], "seconds": summarise(times), "ratio": summarise(_ratios(ours, times))}
            for name, times in alone.items()
        ],
    }


def _ratios(ours: list[float], alone: list[float]) -> list[float]:
    return [a / b for a, b in zip(ours, alone, strict=True)]


def _bare(decoder: str, archive: Path) -> float:
    """Seconds until a process has decoded all; neither its start nor reading the archive is in it."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.bare", decoder, str(archive)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(1),
    )
    with worker:
        assert worker.stdin
        assert worker.stdout
        worker.stdout.readline()  # ready
        started = time.perf_counter()
        print(file=worker.stdin, flush=True)
        if worker.wait():
            raise RuntimeError(f"bare decoding of {archive.name} failed")
        return time.perf_counter() - started


def _writable(folder: Path) -> bool:
    """Whether a scratch folder may be made beside the archive: then both stand on the same disk."""
    try:
        with tempfile.TemporaryDirectory(dir=folder):
            return True
    except OSError:
        return False
