"""Files that are whole at every instant, whatever happens to the process or the disk while they are written.

atomic_write(path, content)     the old file or the new one, never half of it
locked(path)                    one process at a time; the system releases the lock of one that dies
status(path)                    what is there; None: nothing
"""

import contextlib
import errno
import glob
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from tinylab.support.errors import FileError

ATTEMPTS = 200  # to write a file that other processes write, too, each of which sweeps before it writes
FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}  # full disk, file limit, quota
_OPEN_ALREADY = ("/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/")  # names of what a process has open
_LONGEST = 200  # bytes of a file's name, so that the temporary one's, which is longer, fits into the usual 255


def atomic_write(path: str | Path, *parts: bytes | memoryview) -> None:
    """Write a file through a temporary one beside it, so that nobody ever sees half of it.

    A link is followed: what it points to is replaced, not the link. The old file's mode and group are kept. A device
    such as /dev/null, or a pipe, is written straight. Temporary files that a killed process left for the same `path`
    are removed first. Raises FileError; what was there before is then intact.
    """
    size = sum(len(part) for part in parts) / 1e6
    try:
        target = replaceable(path)
        if target is None:
            _straight(path, parts)
        else:
            _replace(target, parts)
    except OSError as error:
        remedy = "Free some space, or choose another path" if error.errno in FULL else "Choose another path"
        raise FileError(
            f"{path}: {size:.1f} MB could not be written ({reason(error)}); what was there before is intact. {remedy}"
        ) from error


def replaceable(path: str | Path) -> Path | None:
    """The regular file, there or not, that a write to `path` means, links followed; None for a device or a pipe.

    Raises FileError for what must not be overwritten: a folder, a disk, a socket, a file without write permission.
    """
    path = Path(path)
    there = status(path)
    if not path.name or (there is not None and stat.S_ISDIR(there.st_mode)):
        raise FileError(f"{path}: this is a folder. Name a file in it")
    if there is None:
        return Path(os.path.realpath(path))  # so that a link to a file that is gone makes that file
    if stat.S_ISBLK(there.st_mode) or stat.S_ISSOCK(there.st_mode):
        raise FileError(f"{path}: this is a {'disk' if stat.S_ISBLK(there.st_mode) else 'socket'}. Name a file")
    if not stat.S_ISREG(there.st_mode) or os.path.abspath(path).startswith(_OPEN_ALREADY):
        return None
    if not os.access(path, os.W_OK):
        raise FileError(f"{path}: this file is read-only. Name another, or make it writable")
    return Path(os.path.realpath(path))


def move_into_place(source: Path, target: Path) -> None:
    """Give `source`, whole and on the same disk, the name `target`, with mode and group of what is there. OSError."""
    with contextlib.suppress(OSError):  # nothing there yet
        old = target.stat()
        with contextlib.suppress(OSError, AttributeError):  # a group that we are not in; Windows, which has none
            os.chown(source, -1, old.st_gid)
        os.chmod(source, stat.S_IMODE(old.st_mode))
    os.replace(source, target)


def _replace(target: Path, parts: tuple[bytes | memoryview, ...]) -> None:
    encoded = os.fsencode(target.name)
    name = target.name if len(encoded) <= _LONGEST else hashlib.sha1(encoded, usedforsecurity=False).hexdigest()
    temporary = target.with_name(f".{name}.{secrets.token_hex(4)}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for stray in target.parent.glob(f".{glob.escape(name)}.*.tmp"):
            stray.unlink(missing_ok=True)
        for attempt in range(1, ATTEMPTS + 1):
            with open(temporary, "wb") as file:
                for part in parts:
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())  # the bytes reach the disk before the name does
            try:
                move_into_place(temporary, target)
                return
            except FileNotFoundError:  # another process that writes the same file has swept ours away
                if attempt == ATTEMPTS or not target.parent.is_dir():
                    raise
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def _straight(path: str | Path, parts: tuple[bytes | memoryview, ...]) -> None:
    """To a device or a pipe. OSError, rather than waiting, for a pipe that nobody reads."""
    descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0))
    with open(descriptor, "wb") as file:
        os.set_blocking(descriptor, True)
        for part in parts:
            file.write(part)


def status(path: str | Path) -> os.stat_result | None:
    """What the system knows of a path, links followed; None if nothing is there. FileError if it may not be asked."""
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:  # ValueError: letters that no file name can have
        raise FileError(f"{_shortened(path)}: {reason(error)}. {_remedy(error)}") from None


def reason(error: BaseException) -> str:
    """What the system, or a library, said: its own first line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def environment(error: OSError) -> str:
    """One line, with what to do, for an error of the system that nobody expected: path, what was said, remedy."""
    try:
        os.getcwd()
    except OSError:
        return "the folder that this was started in is gone. Change into another folder and try again"
    place = "" if error.filename is None else f"{_shortened(os.fsdecode(error.filename))}: "
    return f"{place}{reason(error)}. {_remedy(error)}"


def _shortened(path: str | Path) -> str:
    text = str(path)
    return text if len(text) <= 160 else f"{text[:70]}…{text[-70:]}"


def _remedy(error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.EACCES, errno.EPERM):
        return "Ask its owner for permission, or choose another path"
    if number == errno.ENAMETOOLONG:
        return "Choose a shorter path"
    return "Free some space, or choose another disk" if number in FULL else "Check the path, or choose another"


@contextlib.contextmanager
def locked(path: Path, busy: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file `path`, made with its folder if need be, which the system releases if this process dies.

    busy    called once if another process holds it, before waiting for that one; what it raises goes to the caller

    Raises FileError where a file cannot be locked. A lock that is a mere file, as filelock makes it where the file
    system has none, would outlive a killed process and keep all others waiting for ever.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _lockable(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            busy()
            lock.acquire()
    except (OSError, NotImplementedError) as error:
        raise FileError(f"{path} cannot be locked ({reason(error)}). Choose another folder") from error
    try:
        yield
    finally:
        lock.release()


def _lockable(path: Path) -> None:
    """OSError unless the system can lock this file; it is made if need be."""
    try:
        import fcntl
    except ImportError:  # Windows, whose locks are always the system's
        return
    with open(path, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_UN)  # disturbs nobody, and fails as LOCK_EX would
