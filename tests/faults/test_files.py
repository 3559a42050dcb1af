"""Writing where something is already: a full disk, a link, a device, a pipe, permissions; locks of dead processes."""

import errno
import logging
import os
import select
import signal
import stat
import threading

import pytest

from tests.faults import kills
from tinylab.data import write_sample
from tinylab.data.folders import locked
from tinylab.data.normalisation import Normalisation, _write
from tinylab.support import files
from tinylab.support.errors import DataError, FileError
from tinylab.support.files import atomic_write, status

NEW = b"new" * 10_000


@pytest.fixture
def path(tmp_path):
    """A file that its owner's group may write, alone in its folder."""
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "file"
    path.write_bytes(b"old")
    path.chmod(0o664)
    return path


@pytest.mark.parametrize("room", [0, 20_000])
def test_a_disk_that_fills_leaves_the_old_file_and_a_rerun_works(path, room):
    """the disk fills while a file is replaced: one line with path, size and reason; nothing is left beside it."""

    def with_little_room() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        with pytest.raises(FileError, match=r"file: 0\.0 MB could not be written \(File too large\).*Free some"):
            atomic_write(path, NEW)

    kills.undisturbed(with_little_room)
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == ["file"]
    atomic_write(path, NEW)
    assert path.read_bytes() == NEW


# ---- what is to be written is no plain file


def test_a_link_is_followed(path, tmp_path):
    """what is to be written is no plain file: a link stays one, what it points to is replaced, and from beside it."""
    link = tmp_path / "link"
    link.symlink_to(path)
    stray = path.with_name(".file.12345678.tmp")
    stray.write_bytes(b"of a process that was killed")
    atomic_write(link, NEW)
    assert link.is_symlink()
    assert path.read_bytes() == NEW
    assert os.listdir(path.parent) == ["file"]
    path.unlink()
    atomic_write(link, b"made anew")
    assert path.read_bytes() == b"made anew"


def test_mode_and_group_stay(path):
    """what is to be written is no plain file: what a class shares stays shared, what is private stays private."""
    group = 12345 if os.getuid() == 0 else path.stat().st_gid
    os.chown(path, -1, group)
    for mode in (0o664, 0o600):
        path.chmod(mode)
        atomic_write(path, NEW)
        assert stat.S_IMODE(path.stat().st_mode) == mode
        assert path.stat().st_gid == group


def test_a_device_is_written_straight(tmp_path):
    """what is to be written is no plain file: /dev/null is still a device afterwards, so is a link to it."""
    link = tmp_path / "nowhere"
    link.symlink_to(os.devnull)
    for place in (os.devnull, link):
        atomic_write(place, NEW)
        assert stat.S_ISCHR(os.stat(place).st_mode)
    assert link.is_symlink()


def test_a_pipe_gets_the_bytes_and_stays_one(tmp_path):
    """what is to be written is no plain file: a named pipe, with a reader and without."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(FileError, match=r"pipe: 0\.0 MB could not be written"):
        atomic_write(pipe, NEW)
    received = []
    descriptor = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)

    def read() -> None:
        select.select([descriptor], [], [], 30)  # until there is a writer
        with open(descriptor, "rb") as stream:
            received.append(stream.read())

    reader = threading.Thread(target=read)
    writer = threading.Thread(target=atomic_write, args=(pipe, NEW * 10))  # more than a pipe holds
    writer.start()
    reader.start()
    writer.join(30)
    reader.join(30)
    assert received == [NEW * 10]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_what_is_open_already_is_written_to(tmp_path):
    """what is to be written is no plain file: `> file` and then `--out /dev/stdout`."""
    out = tmp_path / "out"

    def work() -> None:
        with open(out, "wb") as file:
            os.dup2(file.fileno(), 1)
        atomic_write("/dev/stdout", b"whole")
        os.write(1, b"")

    kills.undisturbed(work)
    assert out.read_bytes() == b"whole"


def test_a_read_only_file_is_refused(public):
    """what is to be written is no plain file: one that was protected from being written."""
    path = public / "file"
    path.write_bytes(b"old")
    path.chmod(0o444)

    def write() -> None:
        with pytest.raises(FileError, match="this file is read-only"):
            atomic_write(path, NEW)

    kills.undisturbed(kills.as_somebody(write))
    assert path.read_bytes() == b"old"


def test_a_socket_or_a_folder_is_refused(tmp_path):
    """what is to be written is no plain file: what can only be destroyed by being written."""
    import socket

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        with pytest.raises(FileError, match="this is a socket"):
            atomic_write(tmp_path / "s", NEW)
        assert stat.S_ISSOCK((tmp_path / "s").stat().st_mode)
    with pytest.raises(FileError, match="this is a folder"):
        atomic_write(tmp_path, NEW)


def test_all_writers_follow_links_and_spare_devices(tmp_path):
    """what is to be written is no plain file: the sample, the mean image."""
    import numpy as np

    link = tmp_path / "link.zip"
    link.symlink_to(tmp_path / "real.zip")
    write_sample(link, 2, 1, 1, 1)
    assert link.is_symlink()
    assert (tmp_path / "real.zip").stat().st_size > 1000
    write_sample(os.devnull, 2, 1, 1, 1)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    (tmp_path / "mean.npz").symlink_to(tmp_path / "real.npz")
    _write(tmp_path / "mean.npz", Normalisation(np.zeros((2, 2, 3)), 1.0))
    assert (tmp_path / "mean.npz").is_symlink()


def test_long_names(tmp_path):
    """errors of the environment: a name as long as names may be, and one longer."""
    atomic_write(tmp_path / ("n" * 250), NEW)
    assert os.listdir(tmp_path) == ["n" * 250]
    with pytest.raises(FileError, match=r"nnn…nnn.*File name too long\. Choose a shorter path") as caught:
        status(tmp_path / ("n" * 300))
    assert "\n" not in str(caught.value)
    with pytest.raises(FileError, match="Choose"):
        atomic_write(tmp_path / ("n" * 300), NEW)


# ---- a lock that outlives its process


def test_no_lock_that_outlives_its_process(tmp_path, monkeypatch):
    """a lock that outlives its process: where the file system has no flock, it is said, and nothing waits."""
    import fcntl

    def unknown(*arguments: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    def dies() -> None:
        monkeypatch.setattr(fcntl, "flock", unknown)
        with locked(tmp_path / "lock", "tiny"):
            os.kill(os.getpid(), signal.SIGKILL)

    assert kills.ended(*kills.start(dies)) == 1  # refused, so that it did not come to be killed
    monkeypatch.setattr(fcntl, "flock", unknown)
    with (
        pytest.raises(DataError, match=r"cannot lock .*lock \(Function not implemented\); set TINYLAB_CACHE"),
        locked(tmp_path / "lock", "tiny"),
    ):
        pass
    with (
        pytest.raises(FileError, match=r"new/lock cannot be locked \(Function not implemented\)\. Choose another"),
        files.locked(tmp_path / "new" / "lock", lambda: None),
    ):
        pass


def test_whoever_waits_says_for_what(tmp_path, caplog):
    """a lock that outlives its process: the file that is waited for is named."""
    caplog.set_level(logging.WARNING)
    holds, done = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(tmp_path / "lock", "tiny"):
            holds.set()
            done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    holds.wait(30)
    handler = logging.Handler()
    handler.emit = lambda record: done.set()
    logging.getLogger("tinylab.data").addHandler(handler)
    try:
        with locked(tmp_path / "lock", "tiny"):
            pass
    finally:
        logging.getLogger("tinylab.data").removeHandler(handler)
        done.set()
        holder.join()
    assert f"another process is at work on tiny (it holds {tmp_path / 'lock'}); waiting for it" in caplog.text


def test_an_error_of_the_work_is_none_of_the_lock_s(tmp_path):
    """false causes: what fails under the lock is not a lock that failed."""
    with pytest.raises(PermissionError), locked(tmp_path / "lock", "tiny"):
        raise PermissionError(errno.EACCES, "of the work")
