"""Where images come from: a zip or a folder in the Stanford layout.

    open_archive(path)      an `Archive`: members by their relative path, bytes on request, never unpacked

What the members mean (classes, splits, labels) is read in `layout.py`. Nothing here trusts an archive:
members that point outside, links, encrypted, doubled, oversized or oddly packed ones are refused by name before
a byte of them is read.
"""

import hashlib
import os
import re
import stat
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

from tinylab.data.folders import as_path
from tinylab.support.errors import DataError

ENDINGS = (".zip",)  # of archives' names
MEMBER_LIMIT = 16 * 2**20  # bytes; the largest genuine member is words.txt with 2.6 million
_PACKED = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # of these, no more is inflated at a time than asked for
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CLUTTER = {"Thumbs.db", "desktop.ini", "__MACOSX"}  # what file managers leave behind; hidden files count too


def stem(path: Path) -> str:
    """The name of an archive or folder without what an archive's name ends in."""
    ending = next((ending for ending in ENDINGS if path.name.lower().endswith(ending)), "")
    return path.name[: len(path.name) - len(ending)]


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
        except Exception as error:
            raise _damage(f"{member} in {self.path}", error) from None

    def confirm(self, members: Iterable[str]) -> None:  # noqa: B027 (a folder's names are what they are)
        """DataError unless these members, which nobody reads, really have the names of the table of contents.

        A flipped bit there would otherwise turn an image into a file that nobody asks for, without a word.
        """

    def close(self) -> None:  # noqa: B027 (a folder has nothing to close)
        """Release the file; members cannot be read any more."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _damage(what: str, error: Exception) -> Exception:
    """Whatever a damaged file makes the readers raise, as a DataError that names it; a missing file stays one."""
    if isinstance(error, DataError | KeyError | FileNotFoundError):
        return error
    if isinstance(error, OSError):
        return DataError(f"cannot read {what}: {error.strerror or error}")
    why = " ".join(str(error).split()) or type(error).__name__  # zipfile alone has half a dozen kinds
    return DataError(f"{what} is damaged ({why}); get a fresh copy of the archive")


def open_archive(path: str | Path) -> Archive:
    """The archive at `path`, a zip or a folder; DataError if it is neither, or not in the Stanford layout."""
    path = as_path(path)
    if path.is_dir():
        return _Folder(path)
    if not path.exists():
        raise DataError(f"nothing at {path}; expected a zip or a folder that holds wnids.txt, train, val")
    return _Zip(path)


class _Zip(Archive):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        if not path.is_file():  # a pipe would wait for ever
            raise DataError(f"{path} is neither a file nor a folder; expected a zip or a folder")
        try:
            genuine = zipfile.is_zipfile(path)  # reads the end of the file only, so a fingerprint costs nothing
        except Exception as error:
            raise _damage(str(path), error) from None
        if not genuine:
            raise DataError(f"{path} is not a zip archive, or only part of one; expected a zip or a folder")

    @cached_property
    def _zip(self) -> zipfile.ZipFile:
        try:
            opened = zipfile.ZipFile(self.path)
        except Exception as error:
            raise _damage(f"the table of contents of {self.path}", error) from None
        # zipfile does not compare these: one wrong length in the table swallows the entries behind it
        found = len(opened.infolist())
        if found != (promised := _promised(self.path, found)):
            opened.close()
            raise DataError(f"{self.path} is damaged: its table of contents lists {found:,} of {promised:,} members")
        return opened

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
                self._confirm(info)
                continue
            mode = info.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                raise DataError(f"{name!r} in {self.path} is a link or a device, not a file; refused")
            if info.flag_bits & 1:
                raise DataError(f"{name!r} in {self.path} is encrypted; an archive without password is needed")
            if info.compress_type not in _PACKED:
                raise DataError(
                    f"{name!r} in {self.path} is packed in a rare way (method {info.compress_type}); "
                    "expected stored or deflated, as every zip program does unless told otherwise"
                )
            _check_member(name, info.file_size, self.path)
            member = name.removeprefix(self._top)
            if member in sizes:
                raise DataError(f"{name!r} occurs more than once in {self.path}; refused")
            sizes[member] = info.file_size
        return sizes

    def _bytes(self, member: str) -> bytes:
        info = self._zip.getinfo(self._top + member)
        _check_member(member, info.file_size, self.path)
        with self._zip.open(info) as stream:  # compares the name at the beginning, the CRC at the end
            return stream.read(info.file_size + 1)  # no more is inflated; read() would inflate all of a zip bomb

    def confirm(self, members: Iterable[str]) -> None:
        for member in members:
            self._confirm(self._zip.getinfo(self._top + member))

    def _confirm(self, info: zipfile.ZipInfo) -> None:
        try:
            self._zip.open(info).close()  # compares its name with the one that stands before the data
        except Exception as error:
            raise _damage(f"{info.filename} in {self.path}", error) from None

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
        return {member: status.st_size for member, status in self._files()}

    def _files(self) -> Iterator[tuple[str, os.stat_result]]:
        """Every file's member name, and what the system knows of it; DataError for what is no file."""

        def unreadable(error: OSError) -> None:
            raise DataError(f"cannot read {error.filename}: {error.strerror}")

        for folder, below, files in os.walk(self._root, followlinks=True, onerror=unreadable):
            below[:] = sorted(name for name in below if not _clutter((name,)))
            relative = PurePosixPath(Path(folder).relative_to(self._root).as_posix())
            if len(relative.parts) > 4:  # followed links may form a circle; the layout is three folders deep
                raise DataError(f"{folder} lies deeper than the Stanford layout allows; remove it")
            prefix = "" if folder == str(self._root) else f"{relative}/"
            for name in sorted(files):
                if not _clutter((name,)):
                    try:
                        status = os.stat(os.path.join(folder, name))
                    except OSError as error:  # a link to nowhere
                        raise DataError(f"cannot read {prefix}{name} in {self.path}: {error.strerror}") from None
                    if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
                        raise DataError(f"{prefix}{name} in {self.path} is a pipe or a device, not a file; refused")
                    _check_member(f"{prefix}{name}", status.st_size, self.path)
                    yield prefix + name, status

    def _bytes(self, member: str) -> bytes:
        with open(self._root / member, "rb") as stream:
            raw = stream.read(MEMBER_LIMIT + 1)
        _check_member(member, len(raw), self.path)
        return raw

    def fingerprint(self) -> str:
        # size and time of every file, as `make` compares them: a second for 120,000 files, none of them opened
        marks = hashlib.sha1(usedforsecurity=False)
        for member, status in self._files():
            marks.update(f"{member} {status.st_size} {status.st_mtime_ns}\n".encode(errors="surrogateescape"))
        return marks.hexdigest()


def _promised(path: Path, found: int) -> int:
    """How many members the record at the end of a zip says there are (APPNOTE.TXT 4.3.14 and 4.3.16)."""
    with open(path, "rb") as stream:
        stream.seek(max(0, path.stat().st_size - 70_000))
        tail = stream.read()
    end = tail.rfind(b"PK\x05\x06")
    count = int.from_bytes(tail[end + 10 : end + 12], "little")
    large = tail.rfind(b"PK\x06\x06", 0, end)
    if count == 2**16 - 1 and large >= 0:
        return int.from_bytes(tail[large + 32 : large + 40], "little")
    return found if found % 2**16 == count else count  # older programs write the last 16 bits


def _clutter(parts: Sequence[str]) -> bool:
    return any(part in _CLUTTER or part.startswith(".") for part in parts)


def _check_member(member: str, size: int, path: Path) -> None:
    if _CONTROL.search(member):  # a line break in a name would break every message and list that it stands in
        raise DataError(f"{member!r} in {path} has a control character in its name; refused")
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
