"""Where images come from: a zip or a folder in the Stanford layout, and the download of Tiny ImageNet.

    open_archive(path)      an `Archive`: members by their relative path, bytes on request, never unpacked
    fetch()                 the Stanford archive, its digest checked, mirrors tried in turn

What the members mean (classes, splits, labels) is read in `layout.py`. Nothing here trusts an archive:
members that point outside, links, encrypted, doubled or oversized ones are refused by name before a byte of
them is read.
"""

import hashlib
import logging
import os
import shutil
import stat
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

from tinylab.data.places import cache_root, locked, require_space, writable_folder
from tinylab.errors import DataError

log = logging.getLogger("tinylab.data")

MD5 = "90528d7ca1a48142e341f4ef8d21d0de"  # of the published archive
SIZE = 248_100_043  # bytes of the published archive
ARCHIVE = "tiny-imagenet-200.zip"
MIRRORS = (
    "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
    "https://github.com/tjmoon0104/pytorch-tiny-imagenet/releases/download/tiny-imagenet-dataset/tiny-imagenet-200.zip",
)
MEMBER_LIMIT = 16 * 2**20  # bytes; the largest genuine member is words.txt with 2.6 million
_CLUTTER = {"Thumbs.db", "desktop.ini", "__MACOSX"}  # what file managers leave behind; hidden files count too


class Archive(ABC):
    """A zip or folder seen as flat members; use it in a `with` statement.

    Member names are relative to the folder that holds `wnids.txt` and use `/`:
    "train/n01443537/images/….JPEG".
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """Every member's name and its size in bytes; file managers' clutter is left out."""

    @abstractmethod
    def _bytes(self, member: str) -> bytes: ...

    @abstractmethod
    def fingerprint(self) -> str:
        """A cheap mark (hex) that changes when the source is replaced; it does not read the images."""

    def read(self, member: str) -> bytes:
        """The bytes of one member. DataError, naming it, if it is absent, damaged or above `MEMBER_LIMIT`."""
        try:
            return self._bytes(member)
        except (KeyError, FileNotFoundError):
            raise DataError(f"{self.path} has no {member}") from None
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise DataError(f"{member} in {self.path} is damaged ({error}); get a fresh copy of the archive") from None
        except (OSError, RuntimeError, NotImplementedError) as error:
            raise DataError(f"cannot read {member} in {self.path}: {error}") from None

    def close(self) -> None:  # noqa: B027 (a folder has nothing to close)
        """Release the file; members cannot be read any more."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_archive(path: str | Path) -> Archive:
    """The archive at `path`, a zip or a folder; DataError if it is neither, or not in the Stanford layout."""
    path = Path(path).expanduser()
    if path.is_dir():
        return _Folder(path)
    if not path.exists():
        raise DataError(f"nothing at {path}; expected a zip or a folder that holds wnids.txt, train, val")
    return _Zip(path)


class _Zip(Archive):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            genuine = zipfile.is_zipfile(path)  # reads the end of the file only, so a fingerprint costs nothing
        except OSError as error:
            raise DataError(f"cannot open {path}: {error.strerror}") from None
        if not genuine:
            raise DataError(f"{path} is not a zip archive, or only part of one; expected a zip or a folder")

    @cached_property
    def _zip(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, OSError) as error:
            raise DataError(f"cannot read the table of contents of {self.path}: {error}") from None

    @cached_property
    def _top(self) -> str:
        """The folder inside the zip that everything lies in, with its slash; "" if there is none."""
        return _top_folder([i.filename for i in self._zip.infolist()], self.path)

    @cached_property
    def sizes(self) -> dict[str, int]:
        sizes: dict[str, int] = {}
        for info in self._zip.infolist():
            name, parts = info.filename, info.filename.split("/")
            if ".." in parts or not parts[0] or ":" in name or "\\" in name:
                raise DataError(f"{name!r} in {self.path} points outside the archive; refused")
            if info.is_dir() or _clutter(parts) or not name.startswith(self._top):
                continue
            mode = info.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                raise DataError(f"{name!r} in {self.path} is a link or a device, not a file; refused")
            if info.flag_bits & 1:
                raise DataError(f"{name!r} in {self.path} is encrypted; an archive without password is needed")
            _check_size(name, info.file_size, self.path)
            member = name.removeprefix(self._top)
            if member in sizes:
                raise DataError(f"{name!r} occurs more than once in {self.path}; refused")
            sizes[member] = info.file_size
        return sizes

    def _bytes(self, member: str) -> bytes:
        info = self._zip.getinfo(self._top + member)
        _check_size(member, info.file_size, self.path)  # a zip bomb cannot hide: no more than this is inflated
        with self._zip.open(info) as stream:  # compares the CRC at the end
            return stream.read()

    def fingerprint(self) -> str:
        status = self.path.stat()
        return _sha1(f"zip {status.st_size} {status.st_mtime_ns}")

    def close(self) -> None:
        if "_zip" in vars(self):
            self._zip.close()


class _Folder(Archive):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        candidates = [path] if (path / "wnids.txt").is_file() else sorted(path.glob("*/wnids.txt"))
        if len(candidates) != 1:
            raise DataError(_no_top(path, [c.parent.name for c in candidates]))
        self._root = candidates[0].parent if candidates[0] != path else path

    @cached_property
    def sizes(self) -> dict[str, int]:
        sizes: dict[str, int] = {}
        for folder, below, files in os.walk(self._root, followlinks=True):
            below[:] = sorted(name for name in below if not _clutter((name,)))
            relative = PurePosixPath(Path(folder).relative_to(self._root).as_posix())
            if len(relative.parts) > 4:  # followed links may form a circle; the layout is three folders deep
                raise DataError(f"{folder} lies deeper than the Stanford layout allows; remove it")
            for name in files:
                if not _clutter((name,)):
                    member = str(relative / name)
                    sizes[member] = Path(folder, name).stat().st_size
                    _check_size(member, sizes[member], self.path)
        return sizes

    def _bytes(self, member: str) -> bytes:
        with open(self._root / member, "rb") as stream:
            raw = stream.read(MEMBER_LIMIT + 1)
        _check_size(member, len(raw), self.path)
        return raw

    def fingerprint(self) -> str:
        # a folder's time changes when files come, go or are renamed: 200 folders to ask, not 120,000 files
        marks = []
        for pattern in ("*.txt", "*/*.txt", "*/images", "*/*/images"):
            marks += [(p.as_posix(), p.stat().st_mtime_ns) for p in sorted(self._root.glob(pattern))]
        return _sha1(f"folder {marks}")


def _clutter(parts: Sequence[str]) -> bool:
    return any(part in _CLUTTER or part.startswith(".") for part in parts)


def _check_size(member: str, size: int, path: Path) -> None:
    if size > MEMBER_LIMIT:
        raise DataError(f"{member!r} in {path} has {size:,} bytes, more than the {MEMBER_LIMIT:,} allowed; refused")


def _top_folder(names: Sequence[str], path: Path) -> str:
    """The prefix before the shallowest `wnids.txt`."""
    found = [name for name in names if name.split("/")[-1] == "wnids.txt" and not _clutter(name.split("/"))]
    depth = min((name.count("/") for name in found), default=0)
    shallowest = [name.removesuffix("wnids.txt") for name in found if name.count("/") == depth]
    if len(shallowest) != 1:
        raise DataError(_no_top(path, shallowest))
    return shallowest[0]


def _no_top(path: Path, found: Sequence[str]) -> str:
    what = f"several wnids.txt (in {', '.join(found)})" if found else "no wnids.txt"
    return f"{path} has {what}; expected the Stanford layout: wnids.txt, words.txt, train, val, test"


def _sha1(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


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
    and `md5` are right, so a partial file never bears the final name. DataError if every mirror fails: it
    says per URL how many bytes came and what was wrong with them, and where to place the file by hand. Terms
    of the data set: non-commercial research and education.
    """
    target = Path(destination).expanduser() if destination is not None else cache_root() / ARCHIVE
    target = (target / ARCHIVE if target.is_dir() else target).absolute()
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
                os.replace(_download(url, partial, md5, size, progress), target)
                shutil.rmtree(partial, ignore_errors=True)
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


def _download(url: str, folder: Path, md5: str, size: int, progress: bool) -> Path:
    """One mirror, through pooch, into `folder`; DataError with URL, bytes received and the reason."""
    import pooch
    import requests

    received = 0

    def download(url: str, output: str, manager: object) -> None:
        nonlocal received
        # 30 s without a byte end an attempt; pooch's own blocks of 1 KiB would cost much processor time
        loader = pooch.HTTPDownloader(progressbar=progress, chunk_size=2**17, timeout=30)
        try:
            loader(url, output, manager)
        finally:
            received = os.path.getsize(output)
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
        reason = f"the server answered HTTP {status}"
    except requests.RequestException as error:
        reason = f"connection lost or refused ({type(error).__name__})"
    except DataError as error:
        reason = str(error)
    except OSError as error:
        reason = f"cannot write ({error.strerror})"
    raise DataError(f"{url}: {received:,} bytes received, {reason}")
