"""Where images come from: a zip, a tar or a folder, in the Stanford layout or with a folder for each class.

    open_archive(path)      an `Archive`: members by their relative path, bytes on request, never unpacked

What the members mean (classes, splits, labels) is read in `layout.py`. Nothing here trusts an archive:
members that point outside, links, encrypted, doubled, oversized or oddly packed ones are refused by name before
a byte of them is read.
"""

import hashlib
import lzma
import os
import re
import stat
import tarfile
import tempfile
import zipfile
import zlib
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path, PurePosixPath

from tinylab.data.folders import as_path
from tinylab.support.errors import DataError
from tinylab.support.files import reason, status

ENDINGS = (".zip", ".tar.gz", ".tgz", ".tar", ".tar.bz2", ".tar.xz")  # of archives' names
LAYOUT = "wnids.txt, train, val and test, or train/<class> and val/<class>"
DEPTH = 3  # folders that may lie around the data set
MEMBER_LIMIT = 16 * 2**20  # bytes; the largest genuine member is words.txt with 2.6 million
_PACKED = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # of these, no more is inflated at a time than asked for
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CLUTTER = {"Thumbs.db", "desktop.ini", "__MACOSX"}  # what file managers leave behind; hidden files count too


def stem(path: Path) -> str:
    """The name of an archive or folder without what an archive's name ends in."""
    ending = next((ending for ending in ENDINGS if path.name.lower().endswith(ending)), "")
    return path.name[: len(path.name) - len(ending)]


class Archive(AbstractContextManager["Archive"]):
    """A zip, tar or folder seen as flat members; use it in a `with` statement.

    Member names are relative to the folder that holds `wnids.txt`, or without one `train`, and use `/`:
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

    def confirm(self, members: Iterable[str]) -> None:  # a folder's names are what they are
        """DataError unless these members, which nobody reads, really have the names of the table of contents.

        A flipped bit there would otherwise turn an image into a file that nobody asks for, without a word.
        """

    def close(self) -> None:  # a folder has nothing to close
        """Release the file; members cannot be read any more."""

    def __exit__(self, *details: object) -> None:
        self.close()


def _damage(what: str, error: Exception) -> Exception:
    """Whatever a damaged file makes the readers raise, as a DataError that names it; a missing file stays one."""
    if isinstance(error, DataError | KeyError | FileNotFoundError):
        return error
    if isinstance(error, OSError):
        return DataError(f"cannot read {what}: {reason(error)}")
    why = " ".join(str(error).split()) or type(error).__name__  # zipfile alone has half a dozen kinds
    return DataError(f"{what} is damaged ({why}); get a fresh copy of the archive")


def open_archive(path: str | Path, scratch: Path | None = None) -> Archive:
    """The archive at `path`, a zip, a tar or a folder; DataError if it is none of them, or holds no data set.

    scratch  where a tar, which cannot be read but from its beginning, is copied to; None: where the system keeps
             temporary files. The copy goes when the archive is closed
    """
    path = as_path(path)
    there = status(path)
    if there is None:
        raise DataError(f"nothing at {path}; expected a zip, a tar or a folder that holds {LAYOUT}")
    if stat.S_ISDIR(there.st_mode):
        return _Folder(path)
    if not stat.S_ISREG(there.st_mode):  # a pipe would wait for ever
        raise DataError(f"{path} is neither a file nor a folder; expected a zip, a tar or a folder")
    try:
        if zipfile.is_zipfile(path):  # reads the end of the file only, so a fingerprint costs nothing
            return _Zip(path)
        if tarfile.is_tarfile(path):
            return _Tar(path, scratch)
    except Exception as error:
        raise _damage(str(path), error) from None
    raise DataError(f"{path} is not a zip archive or a tar, or only part of one; expected a zip, a tar or a folder")


class _Zip(Archive):
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
    def _infos(self) -> dict[str, zipfile.ZipInfo]:
        """The zip's entries by member name; DataError for what must not be read."""
        # some programs on Windows write `train\\n01` into a zip
        entries = [(info.filename.replace("\\", "/"), info) for info in self._zip.infolist()]
        for name, info in entries:
            if ".." in (parts := name.split("/")) or not parts[0] or ":" in name:
                raise DataError(f"{info.filename!r} in {self.path} points outside the archive; refused")
        top = _top_folder([name for name, _ in entries], self.path)
        found: dict[str, zipfile.ZipInfo] = {}
        for name, info in entries:
            if name.endswith("/") or _clutter(name.split("/")) or not name.startswith(top):
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
            member = name.removeprefix(top)
            if member in found:
                raise DataError(f"{name!r} occurs more than once in {self.path}; refused")
            found[member] = info
        return found

    @cached_property
    def sizes(self) -> dict[str, int]:
        return {member: info.file_size for member, info in self._infos.items()}

    def _bytes(self, member: str) -> bytes:
        info = self._infos[member]
        with self._zip.open(info) as stream:  # compares the name at the beginning, the CRC at the end
            return stream.read(info.file_size + 1)  # no more is inflated; read() would inflate all of a zip bomb

    def confirm(self, members: Iterable[str]) -> None:
        for member in members:
            self._confirm(self._infos[member])

    def _confirm(self, info: zipfile.ZipInfo) -> None:
        try:
            self._zip.open(info).close()  # compares its name with the one that stands before the data
        except Exception as error:
            raise _damage(f"{info.filename} in {self.path}", error) from None

    def fingerprint(self) -> str:
        there = self.path.stat()
        return hashlib.sha1(f"zip {there.st_size} {there.st_mtime_ns}".encode(), usedforsecurity=False).hexdigest()

    def close(self) -> None:
        if "_zip" in vars(self):
            self._zip.close()


class _Tar(_Zip):
    """A tar, compressed or not: copied into a zip that is not, on first use, since it only reads from the beginning."""

    def __init__(self, path: Path, scratch: Path | None) -> None:
        super().__init__(path)
        self._scratch = scratch

    @cached_property
    def _zip(self) -> zipfile.ZipFile:
        self._copies = tempfile.TemporaryDirectory(prefix="tinylab-tar-", dir=self._scratch)
        path = Path(self._copies.name) / "copy.zip"
        with zipfile.ZipFile(path, "w") as copy:
            for name, content in self._members():
                copy.writestr(zipfile.ZipInfo(name), content)
        return zipfile.ZipFile(path)

    def _members(self) -> Iterator[tuple[str, bytes]]:
        """Name and content of every file, in the tar's order."""
        try:
            with tarfile.open(self.path) as tar:
                for entry in tar:
                    name = entry.name.removeprefix("./")
                    parts = name.split("/")
                    if entry.isdir() or (".." not in parts and _clutter(parts)):  # what leads outside is refused later
                        continue
                    if not entry.isreg():
                        raise DataError(f"{name!r} in {self.path} is a link or a device, not a file; refused")
                    _check_member(name, entry.size, self.path)
                    stream = tar.extractfile(entry)
                    assert stream is not None  # of a regular file
                    content = stream.read(entry.size)
                    if len(content) != entry.size:
                        raise DataError(f"{name!r} in {self.path} is cut short; get a fresh copy of the archive")
                    yield name, content
                while tar.fileobj is not None and tar.fileobj.read(2**20):  # to where its checksum stands
                    pass
        except (tarfile.TarError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
            raise _damage(str(self.path), error) from None

    def close(self) -> None:
        super().close()
        if "_copies" in vars(self):
            self._copies.cleanup()


class _Folder(Archive):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._root = _top_of_folder(path)

    @cached_property
    def sizes(self) -> dict[str, int]:
        return {member: there.st_size for member, there in self._files()}

    def _files(self) -> Iterator[tuple[str, os.stat_result]]:
        """Every file's member name, and what the system knows of it; DataError for what is no file."""

        def unreadable(error: OSError) -> None:
            raise DataError(f"cannot read {error.filename}: {reason(error)}")

        for folder, below, files in os.walk(self._root, followlinks=True, onerror=unreadable):
            below[:] = sorted(name for name in below if not _clutter((name,)))
            relative = PurePosixPath(Path(folder).relative_to(self._root).as_posix())
            if len(relative.parts) > DEPTH + 1:  # followed links may form a circle; the layout is three folders deep
                raise DataError(f"{folder} lies deeper than the Stanford layout allows; remove it")
            prefix = "" if folder == str(self._root) else f"{relative}/"
            for name in sorted(files):
                if not _clutter((name,)):
                    try:
                        there = os.stat(os.path.join(folder, name))
                    except OSError as error:  # a link to nowhere
                        raise DataError(f"cannot read {prefix}{name} in {self.path}: {reason(error)}") from None
                    if not stat.S_ISREG(there.st_mode):  # reading a pipe would wait for ever
                        raise DataError(f"{prefix}{name} in {self.path} is a pipe or a device, not a file; refused")
                    _check_member(f"{prefix}{name}", there.st_size, self.path)
                    yield prefix + name, there

    def _bytes(self, member: str) -> bytes:
        with open(self._root / member, "rb") as stream:
            raw = stream.read(MEMBER_LIMIT + 1)
        _check_member(member, len(raw), self.path)
        return raw

    def fingerprint(self) -> str:
        # size and time of every file, as `make` compares them: a second for 120,000 files, none of them opened
        marks = hashlib.sha1(usedforsecurity=False)
        for member, there in self._files():
            marks.update(f"{member} {there.st_size} {there.st_mtime_ns}\n".encode(errors="surrogateescape"))
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
    if not member.isascii() and member.encode(errors="replace").decode() != member:
        raise DataError(f"{member!r} in {path} has a name that is not in UTF-8; rename it")
    if size > MEMBER_LIMIT:
        raise DataError(f"{member!r} in {path} has {size:,} bytes, more than the {MEMBER_LIMIT:,} allowed; refused")


def _top_folder(names: Sequence[str], path: Path) -> str:
    """The prefix before the shallowest `wnids.txt`, or if there is none, before the shallowest folder `train`."""
    split = [parts for name in names if not _clutter(parts := name.split("/"))]
    found = {"/".join(parts[:-1]) for parts in split if parts[-1] == "wnids.txt"}
    found = found or {"/".join(parts[: parts.index("train")]) for parts in split if "train" in parts[:-1]}
    depth = min((_depth(top) for top in found), default=0)
    shallowest = sorted(top for top in found if _depth(top) == depth)
    if len(shallowest) != 1:
        raise DataError(_no_top(path, shallowest))
    return f"{shallowest[0]}/" if shallowest[0] else ""


def _depth(top: str) -> int:
    return 0 if not top else top.count("/") + 1


def _top_of_folder(path: Path) -> Path:
    """The same for a folder, which is not searched to its ground: it may be somebody's home."""
    for mark in ("wnids.txt", "train/"):
        for depth in range(DEPTH):
            marked = [place.parent.relative_to(path) for place in sorted(path.glob("*/" * depth + mark))]
            found = [place for place in marked if not _clutter(place.parts)]
            if len(found) > 1:
                raise DataError(_no_top(path, list(map(str, found))))
            if found:
                return path / found[0]
    raise DataError(_no_top(path, []))


def _no_top(path: Path, found: Sequence[str]) -> str:
    what = f"several data sets (in {', '.join(found[:5])})" if found else "no wnids.txt and no folder train"
    return f"{path} has {what}; expected {LAYOUT}"
