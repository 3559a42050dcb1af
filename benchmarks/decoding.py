"""Archive to cache, beside bare decoding of the same bytes on the same cores."""

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
    "prepare(sys.argv[1], 'bench', int(sys.argv[3]), progress=False, root=Path(sys.argv[2]))\n"
    "print(time.perf_counter() - started, peak_memory(), peak_memory(children=True))"
)


def decoding(archive: Path, processes: int, repeats: int) -> dict[str, Any]:
    """Seconds of `tinylab.data.prepare`, and of each bare decoder in as many processes, in turn; memory in MB."""
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
            alone[name].append(_bare(name, archive, processes))
        folder = Path(tempfile.mkdtemp(prefix="bench-", dir=archive.parent if _writable(archive.parent) else None))
        try:
            seconds, *memory = map(float, child(_PREPARE, str(archive), str(folder), str(processes)).split())
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        ours.append(seconds)
        megabytes = max(megabytes, *memory)
    return {
        "archive": archive.name,
        "images": images,
        "processes": processes,
        "prepare": summarise(ours) | {"megabytes": megabytes},
        "bare": [
            {"what": known[name], "seconds": summarise(times), "ratio": summarise(_ratios(ours, times))}
            for name, times in alone.items()
        ],
    }


def _ratios(ours: list[float], alone: list[float]) -> list[float]:
    return [a / b for a, b in zip(ours, alone, strict=True)]


def _bare(decoder: str, archive: Path, processes: int) -> float:
    """Seconds until the last of the processes has decoded its share; reading the archive is not in it."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.bare", decoder, str(archive), str(share), str(processes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(1),
        )
        for share in range(processes)
    ]
    try:
        for worker in workers:
            assert worker.stdout
            worker.stdout.readline()  # ready
        started = time.perf_counter()
        for worker in workers:
            assert worker.stdin
            print(file=worker.stdin, flush=True)
        if any(worker.wait() for worker in workers):
            raise RuntimeError(f"bare decoding of {archive.name} failed")
        return time.perf_counter() - started
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
            for stream in (worker.stdin, worker.stdout):
                if stream:
                    stream.close()


def _writable(folder: Path) -> bool:
    """Whether a scratch folder may be made beside the archive: then both stand on the same disk."""
    try:
        with tempfile.TemporaryDirectory(dir=folder):
            return True
    except OSError:
        return False
