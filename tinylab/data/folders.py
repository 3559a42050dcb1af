"""Where things lie on disk, and whether there is room for more."""

import contextlib
import errno
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from tinylab.support import files
from tinylab.support.errors import DataError, FileError, InvalidInputError
from tinylab.support.files import FULL, reason

log = logging.getLogger("tinylab.data")

VARIABLE = "TINYLAB_CACHE"
ARCHIVE = "tiny-imagenet-200.zip"  # the name of the published archive


def as_path(given: str | Path) -> Path:
    """`given` with "~" written out. InvalidInputError for what is no path, DataError for a home that nobody knows."""
    if not isinstance(given, str | Path) or "\0" in str(given):
        raise InvalidInputError(f"path {given!r} is not possible. Allowed: text, or a pathlib.Path")
    try:
        return Path(given).expanduser()
    except RuntimeError:
        raise DataError(f"{given}: no home folder is known for '~'; give the whole path") from None


def cache_root() -> Path:
    """The folder that holds downloads and prepared data sets: $TINYLAB_CACHE, else the user's own.

    A relative path in the variable is written out there at once: for this process in another folder, and for the
    kernels that it starts, it means the same place.
    """
    if value := os.environ.get(VARIABLE):
        root = as_path(value).absolute()
        os.environ[VARIABLE] = str(root)
        return root
    import pooch

    try:  # without HOME and an entry for this user, some versions raise and others leave "~" as it is
        root = Path(pooch.os_cache("tinylab"))
    except RuntimeError:
        root = Path("~")
    if not root.is_absolute():
        raise DataError(f"no home folder is known; set {VARIABLE} to a folder for downloads and decoded images")
    return root


def writable_folder(folder: Path) -> Path:
    """Create `folder` if need be; DataError, with the variable that moves it, if it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "permission denied")
    except OSError as error:
        raise cannot_write(folder, error) from None
    return folder


def open_like(root: Path, *paths: Path) -> None:
    """Let those who may read, and write, the cache folder `root` do so with `paths` in it, whatever this user's umask.

    So a class shares one cache: the teacher makes a folder that all may write, and sets the variable to it.
    """
    with contextlib.suppress(OSError):  # another user's file, or a system without these permissions
        there = root.stat()
        for path in paths:
            with contextlib.suppress(OSError, AttributeError):
                os.chown(path, -1, there.st_gid)
            path.chmod(there.st_mode & (0o2777 if path.is_dir() else 0o666))


def cannot_read(path: Path, error: OSError) -> DataError:
    """What to say when `path` of the cache cannot be read."""
    return DataError(
        f"cannot read {path} ({reason(error)}); ask its owner to open it (chmod -R a+rX), or set {VARIABLE} to a "
        "folder that you may read"
    )


def cannot_write(folder: Path, error: OSError | FileError, needed: int = 0) -> DataError:
    """What to say when a write to `folder` failed; `needed` in bytes, if it is known."""
    cause = error.__cause__ if isinstance(error, FileError) else error
    if not isinstance(cause, OSError):
        return DataError(str(error))
    full = cause.errno in FULL
    if full and needed:
        return DataError(_no_space(folder, needed, shutil.disk_usage(folder).free))
    return DataError(
        f"cannot write to {folder} ({reason(cause)}); set {VARIABLE} to a folder that you may write to"
        + (", on a disk with room" if full else "")
    )


def require_space(folder: Path, needed: int) -> None:
    """DataError if the disk of `folder` has fewer than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(_no_space(folder, needed, free))


def _no_space(folder: Path, needed: int, free: int) -> str:
    """The message for a disk that is too small; `needed` and `free` in bytes."""
    return (
        f"not enough disk: needs {readable(needed)}, has {readable(free)} at {folder}; "
        f"free some, or set {VARIABLE} to a folder on a larger disk"
    )


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file `path`, which the system releases if this process dies; says so when it has to wait."""

    def busy() -> None:
        log.warning("another process is at work on %s (it holds %s); waiting for it", what, path)

    with contextlib.ExitStack() as held:
        try:
            held.enter_context(files.locked(path, busy))
        except FileError as error:
            raise DataError(
                f"cannot lock {path} ({reason(error.__cause__ or error)}); set {VARIABLE} to a folder on a local disk "
                "that you may write to"
            ) from None
        yield


def readable(count: int) -> str:
    """A number of bytes for people: "248.1 MB"."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
