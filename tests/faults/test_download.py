"""Faults of the download: a real server on this machine that fails in each way, and children that are killed."""

import logging
import random
import shutil
import subprocess
import sys
import zipfile

import pytest

from tests.faults import kills, servers
from tests.faults.servers import BODY, MD5
from tinylab.data import download
from tinylab.data.download import MIRRORS, SIZE, fetch
from tinylab.support.errors import DataError

pytestmark = pytest.mark.usefixtures("root")


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.5)
    with servers.running() as server:
        yield server


def get(server, target, *paths: str):
    urls = [server.url + path for path in paths]
    return fetch(target, urls, md5=MD5, size=len(BODY), progress=False)


def left(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


FAILURES = {
    "/missing": ["HTTP 404", "0 bytes received"],
    "/page": ["37 bytes received", f"expected {len(BODY):,} bytes", "web page"],
    "/moved-to-a-page": ["37 bytes received", "web page"],
    "/half": ["connection lost"],
    "/half-without-length": [f"{len(BODY) // 2:,} bytes received, expected {len(BODY):,} bytes"],
    "/flipped": [f"{len(BODY):,} bytes received", f"expected MD5 {MD5}, this has "],
    "/endless": [f"expected {len(BODY):,} bytes, this goes on beyond them"],
    "/stalls": [f"{len(BODY) // 2 // 2**17 * 2**17:,} bytes received, connection lost"],  # whole blocks of 128 KiB
}


# ---- archive URL dead, or returns HTML; connection cut; wrong bytes


@pytest.mark.parametrize("path", FAILURES)
def test_every_failure_is_told_and_the_next_mirror_tried(server, tmp_path, caplog, path):
    """archive URL dead, or returns HTML: URL, bytes received, why, the next mirror; never a wrong file."""
    target = tmp_path / "a.zip"
    caplog.set_level(logging.WARNING)
    assert get(server, target, path, "/good").read_bytes() == BODY
    assert (server.asked[0], server.asked[-1]) == (path, "/good")
    assert f"trying {server.url}/good" in caplog.text
    for fragment in [server.url + path, *FAILURES[path]]:
        assert fragment in caplog.text


def test_when_all_fail_the_error_says_everything_and_no_file_appears(server, tmp_path):
    """archive URL dead, or returns HTML: after the last mirror, the path for manual placement."""
    target = tmp_path / "a.zip"
    with pytest.raises(DataError) as caught:
        get(server, target, *FAILURES)
    message = str(caught.value)
    for fragment in [
        *(server.url + path for path in FAILURES),
        *(fragment for fragments in FAILURES.values() for fragment in fragments),
        f"place it at {target}",
        "tinylab data prepare --from",
    ]:
        assert fragment in message
    assert "\n" not in message
    assert left(tmp_path) <= {".a.zip.lock"}


def test_an_unreachable_server_is_told(tmp_path):
    """archive URL dead, or returns HTML: nobody listens at all."""
    with pytest.raises(DataError, match=r"http://127\.0\.0\.1:9/x: 0 bytes received, connection lost or refused"):
        fetch(tmp_path / "a.zip", ["http://127.0.0.1:9/x"], md5=MD5, size=len(BODY), progress=False)


def test_a_url_that_is_none_is_told(tmp_path):
    """archive URL dead, or returns HTML: no URL in the first place."""
    with pytest.raises(DataError, match=r"nonsense: 0 bytes received"):
        fetch(tmp_path / "a.zip", ["nonsense"], md5=MD5, size=len(BODY), progress=False)


def test_wrong_bytes_are_never_opened(server, tmp_path, monkeypatch):
    """wrong bytes: expected and actual digest; what has them is deleted unread."""

    def opened(*_: object) -> None:
        raise AssertionError("the file was opened as a zip")

    monkeypatch.setattr(zipfile, "ZipFile", opened)
    with pytest.raises(DataError, match=f"expected MD5 {MD5}, this has [0-9a-f]{{32}}"):
        get(server, tmp_path / "a.zip", "/flipped")
    assert left(tmp_path) <= {".a.zip.lock"}


def test_a_wrong_file_under_the_name_is_replaced(server, tmp_path, caplog):
    """wrong bytes: a file that bears the name already is not believed either."""
    (tmp_path / "a.zip").write_bytes(BODY[:-1] + b"?")
    get(server, tmp_path / "a.zip", "/good")
    assert (tmp_path / "a.zip").read_bytes() == BODY
    assert "not the published archive" in caplog.text


# ---- killed


def test_a_download_killed_at_random_instants_leaves_no_half_file_and_a_rerun_works(server, tmp_path):
    """connection cut, process killed during download: the final name never holds a partial file."""
    target, dice = tmp_path / "a.zip", random.Random(7)
    instants = [dice.uniform(0.01, 0.15) for _ in range(6)]
    print(instants)
    count = sum(kills.killed(lambda: get(server, target, "/slow"), instant) for instant in instants)
    assert not target.exists() or target.read_bytes() == BODY
    assert count == len(instants)  # the server takes longer than the last of them
    assert get(server, target, "/good").read_bytes() == BODY
    assert left(tmp_path) <= {"a.zip", ".a.zip.lock"}


def test_a_program_killed_in_the_middle_of_its_download_is_repeated(server, tmp_path):
    """connection cut, process killed during download: as a user would, a program of its own."""
    target = tmp_path / "a.zip"
    code = (
        "import sys; from tinylab.data.download import fetch; "
        f"fetch(sys.argv[1], [sys.argv[2]], md5='{MD5}', size={len(BODY)}, progress=False)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(target), server.url + "/stalls"])
    assert server.half_sent.wait(kills.PATIENCE)
    child.kill()
    child.wait()
    assert not target.exists()
    assert get(server, target, "/good").read_bytes() == BODY
    assert left(tmp_path) <= {"a.zip", ".a.zip.lock"}


def test_several_processes_share_one_download(server, tmp_path):
    """two notebooks prepare the cache at once: the archive is fetched once."""
    target = tmp_path / "a.zip"
    kills.together(*[lambda: get(server, target, "/slow")] * 3)
    assert target.read_bytes() == BODY
    assert server.asked == ["/slow"]


# ---- disks


def test_a_full_disk_is_told_before_the_download(server, tmp_path, monkeypatch):
    """disk full: needs, has, where; nothing is asked for."""
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(DataError, match=r"needs 0\.5 MB, has 0\.0 MB at .*TINYLAB_CACHE"):
        get(server, tmp_path / "a.zip", "/good")
    assert server.asked == []


def test_a_disk_that_fills_during_the_download_is_told_and_the_old_file_stays(server, tmp_path):
    """disk full: on the way; what was there is intact."""
    (tmp_path / "a.zip").write_bytes(b"an older archive")

    def with_little_room() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        with pytest.raises(DataError, match=r"needs 0\.5 MB, has .* at .*TINYLAB_CACHE"):
            get(server, tmp_path / "a.zip", "/good")

    kills.undisturbed(with_little_room)
    assert (tmp_path / "a.zip").read_bytes() == b"an older archive"
    assert left(tmp_path) <= {"a.zip", ".a.zip.lock"}


# ---- and without any fault


def test_the_published_archive_is_the_default():
    """wrong bytes: digest and size are those of the Stanford archive."""
    assert (download.MD5, SIZE) == ("90528d7ca1a48142e341f4ef8d21d0de", 248_100_043)
    assert MIRRORS[0] == "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
    assert MIRRORS[1].startswith("https://github.com/tjmoon0104/pytorch-tiny-imagenet/releases/download/")


@pytest.mark.parametrize("path", ["/good", "/without-length", "/slow"])
def test_a_good_download_lands_under_its_name_and_leaves_nothing_else(server, tmp_path, path):
    """archive URL dead, or returns HTML: and one that is well."""
    target = tmp_path / "new" / "a.zip"
    assert get(server, target, path) == target
    assert target.read_bytes() == BODY
    assert left(target.parent) <= {"a.zip", ".a.zip.lock"}


def test_where_it_lands(server, tmp_path, root):
    """archive URL dead, or returns HTML: the cache folder by default, or in a folder that is named."""
    assert get(server, None, "/good") == root / "tiny-imagenet-200.zip"
    assert get(server, tmp_path, "/good") == tmp_path / "tiny-imagenet-200.zip"


def test_what_is_there_already_is_not_fetched_again(server, tmp_path):
    """archive URL dead, or returns HTML: nobody is asked for what is there."""
    (tmp_path / "a.zip").write_bytes(BODY)
    get(server, tmp_path / "a.zip", "/missing")
    assert server.asked == []
