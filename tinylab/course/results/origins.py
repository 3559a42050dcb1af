"""What a record came from: the commit, the device, the versions, read from this process."""

import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import numpy
import torch

from tinylab import __version__
from tinylab.course.results.record import Provenance
from tinylab.support.device import Device

_PACKAGE = Path(__file__).parent.parent


def origin(device: Device) -> Provenance:
    """Of a training on `device` that ends now."""
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "tinylab": __version__,
    }
    commit = _git("rev-parse", "HEAD") if _git("ls-files", "__init__.py") else ""  # installed: git knows it not
    dirty = bool(commit) and bool(_git("status", "--porcelain", "--untracked-files=no", "--", "."))
    label = device.label
    if device.target.type == "cpu" and (processor := _processor()):
        label = f"{label}, {processor}"
    return Provenance(commit or None, dirty, label, versions, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))


def _git(*arguments: str) -> str:
    """What git says in the package's folder; empty if there is no git, or no repository."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=_PACKAGE, capture_output=True, text=True, check=False, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
