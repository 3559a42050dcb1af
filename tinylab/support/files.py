"""Files that are whole at every instant, whatever happens to the process or the disk while they are written."""

import contextlib
import glob
import os
import secrets
from pathlib import Path

from tinylab.support.errors import TrainingError

ATTEMPTS = 200  # to write a file that other processes write, too, each of which sweeps before it writes


def atomic_write(path: str | Path, *parts: bytes | memoryview) -> None:
    """Write a file through a temporary one beside it, so that nobody ever sees half of it.

    Temporary files that a killed process left for the same `path` are removed first. Raises TrainingError.
    """
    path = Path(path)
    if not path.name:
        raise TrainingError(f"{path}: this is a folder. Name a file in it")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for stray in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
            stray.unlink(missing_ok=True)
        for attempt in range(1, ATTEMPTS + 1):
            with open(temporary, "wb") as file:
                for part in parts:
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())  # the bytes reach the disk before the name does
            try:
                os.replace(temporary, path)
                return
            except FileNotFoundError:  # another process that writes the same file has swept ours away
                if attempt == ATTEMPTS or not path.parent.is_dir():
                    raise
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        size = sum(len(part) for part in parts) / 1e6
        raise TrainingError(
            f"{path}: {size:.1f} MB could not be written ({error.strerror or error}); what was there before "
            "is intact. Free some space, or choose another path"
        ) from error
