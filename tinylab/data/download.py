"""The download of Tiny ImageNet: the Stanford archive, its digest checked, mirrors tried in turn.

No server is trusted: what arrives lies under another name until size and digest are right, and no more is written
than the published archive has.
"""

import hashlib
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from tinylab.data.folders import (
    ARCHIVE,
    as_path,
    cache_root,
    cannot_write,
    locked,
    open_like,
    require_space,
    writable_folder,
)
from tinylab.support.errors import DataError, InvalidInputError
from tinylab.support.files import move_into_place, reason, replaceable

log = logging.getLogger("tinylab.data")

MD5 = "90528d7ca1a48142e341f4ef8d21d0de"  # of the published archive
SIZE = 248_100_043  # bytes of the published archive
TIMEOUT = 30  # seconds without a byte
_LINE = 300  # letters of a library's message that are passed on
MIRRORS = (
    "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
    "https://github.com/tjmoon0104/pytorch-tiny-imagenet/releases/download/tiny-imagenet-dataset/tiny-imagenet-200.zip",
)


def fetch(
    destination: str | Path | None = None,
    mirrors: Sequence[str] = MIRRORS,
    *,
    md5: str = MD5,
    size: int = SIZE,
    progress: bool = True,
) -> Path:
    """Download the Tiny ImageNet archive; returns where it lies.

    `destination` is a file or an existing folder; None is the cache folder. A file that is there already and
    has the right digest is kept. The bytes arrive under another name and get their own only once size (bytes)
    and `md5` are right, so a partial file never bears the final name. A mirror that sends nothing for half a
    minute is given up. DataError if every mirror fails: it says per URL how many bytes came and what was wrong
    with them, and where to place the file by hand. Terms of the data set: non-commercial research and education.
    """
    if isinstance(mirrors, str) or not mirrors:
        raise InvalidInputError(f"mirrors {mirrors!r} are not possible. Allowed: a list of one URL or more")
    target = as_path(destination) if destination is not None else cache_root() / ARCHIVE
    target = target / ARCHIVE if target.is_dir() else target
    if (real := replaceable(target)) is None:
        raise InvalidInputError(f"{target} is a device or a pipe, which holds no archive. Name a file or a folder")
    target = real
    if _is_archive(target, md5, size):
        return target
    if target.exists():
        log.warning("%s is not the published archive (wrong size or MD5); downloading it again", target)
    partial = writable_folder(target.parent / f".{target.name}.partial")
    with locked(target.parent / f".{target.name}.lock", f"the download of {target.name}"):
        if _is_archive(target, md5, size):  # another process was faster
            return target
        for leftover in partial.iterdir():  # of a download that was killed
            leftover.unlink()
        require_space(partial, size)
        failures: list[str] = []
        for position, url in enumerate(mirrors):
            try:
                move_into_place(_download(url, partial, md5, size, progress), target)
                shutil.rmtree(partial, ignore_errors=True)
                if destination is None:
                    open_like(target.parent, target)
                return target
            except DataError as error:
                failures.append(str(error))
                following = f"; trying {mirrors[position + 1]}" if position + 1 < len(mirrors) else ""
                log.warning("%s%s", error, following)
        shutil.rmtree(partial, ignore_errors=True)
    raise DataError(
        f"download failed: {'; '.join(failures)}. Get the archive some other way ({size:,} bytes, MD5 {md5}) "
        f"and place it at {target}, or prepare a copy from anywhere: tinylab data prepare --from ZIP_OR_FOLDER"
    )


def _is_archive(path: Path, md5: str, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size and _md5(path) == md5


def _md5(path: str | Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


class _Bounded:
    """A file that takes no more than `limit` bytes: a server that never stops shall not fill the disk."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self.file, self.limit, self.count = file, limit, 0

    def write(self, data: bytes) -> int:
        self.count += len(data)
        if self.count > self.limit:
            raise DataError(f"expected {self.limit:,} bytes, this goes on beyond them")
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()


def _download(url: str, folder: Path, md5: str, size: int, progress: bool) -> Path:
    """One mirror, through pooch, into `folder`; DataError with URL, bytes received and the reason."""
    import pooch
    import requests

    received = 0

    def download(url: str, output: str, manager: object) -> None:
        nonlocal received
        # pooch's own blocks of 1 KiB would cost much processor time
        loader = pooch.HTTPDownloader(progressbar=progress, chunk_size=2**17, timeout=TIMEOUT)
        with open(output, "wb") as stream:
            bounded = _Bounded(stream, size)
            try:
                loader(url, bounded, manager)
            finally:
                received = bounded.count
        if received != size:
            with open(output, "rb") as stream:
                page = stream.read(512).lstrip().lower().startswith((b"<!doctype html", b"<html"))
            raise DataError(f"expected {size:,} bytes" + (", this is a web page" if page else ""))
        if (actual := _md5(output)) != md5:  # pooch would refuse it too, in a message of several lines
            raise DataError(f"expected MD5 {md5}, this has {actual}")

    pooch.get_logger().setLevel("WARNING")
    try:
        return Path(pooch.retrieve(url, f"md5:{md5}", fname=ARCHIVE, path=folder, downloader=download))
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else "an error"
        why = f"the server answered HTTP {status}"
    except requests.RequestException as error:
        why = _cause(error)
    except DataError as error:
        why = str(error)
    except OSError as error:  # one without a number comes from no disk
        why = _cause(error) if error.errno is None else str(cannot_write(folder, error, size))
    raise DataError(f"{url}: {received:,} bytes received, {why}")


def _cause(error: OSError) -> str:
    """What the libraries below said, their own first line, and what to do about it."""
    import requests

    said = reason(error)
    said = said if len(said) <= _LINE else f"{said[: _LINE // 2]}…{said[-_LINE // 2 :]}"
    if isinstance(error, requests.exceptions.SSLError) or "certificate" in said.lower():
        return f"no trusted certificate: {said}. Name your network's file of certificates in REQUESTS_CA_BUNDLE"
    if isinstance(error, requests.exceptions.ProxyError):
        return f"the proxy does not answer: {said}. Check HTTP_PROXY, HTTPS_PROXY and ALL_PROXY"
    if "SOCKS" in said:
        return f"{said} Install that library (pip install pysocks), or set another proxy"
    if isinstance(error, requests.ConnectionError | requests.Timeout | requests.exceptions.ChunkedEncodingError):
        return f"connection lost or refused: {said}"
    return said
