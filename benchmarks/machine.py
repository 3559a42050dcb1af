"""The machine: its devices, its clock, and what must stand beside every number."""

import importlib.metadata
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tinylab.support.cores import core_count

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = ("torch", "numpy", "pillow", "keras", "lightning", "torchvision", "simplejpeg")


def clock(device: str) -> float:
    """Seconds, once the device has done all that it was asked to. The one place that waits for a GPU."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def versions() -> dict[str, str]:
    """Of the libraries that are installed; asking imports none of them but torch."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found | {"torch": torch.__version__}  # which says the build, too: +cpu or +cu130


def describe(device: str, threads: int) -> dict[str, Any]:
    """What a published number needs beside it."""
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "CPU",
        "processor": _processor(),
        "cores": core_count(),
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions(),
        "load_before": round(os.getloadavg()[0], 2),  # of the last minute: 0 on a quiet machine
        "time": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def peak_memory(children: bool = False) -> float:
    """The most memory this process (or the largest of its ended children) has held, in MB."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF).ru_maxrss
    return used / 1e6 if sys.platform == "darwin" else used * 1024 / 1e6


def environment(threads: int) -> dict[str, str]:
    """For child processes: so many threads each, and this package to import."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "PYTHONPATH": path}


def child(code: str, *arguments: str, threads: int = 1, cache: Path | None = None) -> str:
    """What `code` prints in a fresh process, its last line; RuntimeError with what it said if it failed."""
    variables = environment(threads) | ({"TINYLAB_CACHE": str(cache)} if cache else {})
    done = subprocess.run([sys.executable, "-c", code, *arguments], env=variables, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"a child process failed: {done.stderr.strip().splitlines()[-1:] or done.returncode}")
    return (done.stdout.strip().splitlines() or [""])[-1]


def summarise(values: Sequence[float]) -> dict[str, Any]:
    """Median and spread of repeats, and all of them."""
    return {
        "n": len(values),
        "median": statistics.median(values),
        "least": min(values),
        "most": max(values),
        "all": [round(value, 6) for value in values],
    }


def say(text: str) -> None:
    """Progress, on standard error: standard output holds the tables."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)
