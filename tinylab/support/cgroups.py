"""What a container, a hub or a queue grants this process on Linux: the limits of its control groups.

Docker, Kubernetes, JupyterHub's spawners and Slurm all set them. A group's limit holds for the groups inside it, too,
so every group from this process's own up to the root is asked. Files and units: the kernel's
Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.
"""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")  # lines "hierarchy:controllers:path"; version 2 is "0::path"


def groups(controller: str) -> Iterator[Path]:
    """The folders of this process's groups, own first, that `controller` ("cpu", "memory") may have files in.

    Both versions' folders, where a machine has both. Nothing on systems without control groups.
    """
    try:
        lines = OWN.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0":
            bases = [ROOT, ROOT / "unified"]
        elif controller in controllers.split(","):
            bases = [ROOT / controllers, ROOT / controller]
        else:
            continue
        inside = Path(path.lstrip("/"))
        for base in dict.fromkeys(bases):
            # in a container the path may be the host's, of which only the root is mounted
            yield from (base / part for part in (inside, *inside.parents) if (base / part).is_dir())


def number(file: Path) -> int | None:
    """The whole number that a group's file holds; None for "max", for no such file, and for one that is no number."""
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
