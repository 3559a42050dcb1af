"""How many processor cores this process may use: the one place that counts them."""

import os
from pathlib import Path

from tinylab.support import cgroups


def core_count() -> int:
    """Cores that this process may use, at least 1: those it is bound to, and no more than its container grants.

    Counts affinity (Linux), and a limit on processor time set by Docker, Kubernetes, a hub or a queue: 1.5 cores are
    rounded up to 2. `os.cpu_count()`, which sees neither, is what is left on other systems.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # neither on Windows nor on macOS
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    quotas = [quota for group in cgroups.groups("cpu") if (quota := _quota(group)) is not None]
    return max(1, min(cores, *quotas)) if quotas else cores


def _quota(group: Path) -> int | None:
    """Cores' worth of time that a control group may spend, rounded up; None: no limit."""
    try:
        quota, _, period = (group / "cpu.max").read_text(encoding="ascii").partition(" ")  # version 2: "150000 100000"
    except OSError:
        quota, period = (str(cgroups.number(group / f"cpu.cfs_{name}_us") or -1) for name in ("quota", "period"))
    try:
        granted, every = int(quota), int(period)
    except ValueError:  # "max 100000"
        return None
    return -(-granted // every) if granted > 0 and every > 0 else None
