"""Faults of archives and images beside those in `tests/data`: real bombs, pipes, flipped bits in the contents table."""

import io
import os
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from tinylab.data import load, prepare
from tinylab.data.archive import open_archive
from tinylab.data.decode import Wanted, decode
from tinylab.data.layout import read_layout
from tinylab.support.errors import DataError

pytestmark = pytest.mark.usefixtures("root")

IMAGE = "train/n01/images/n01_3.JPEG"


def refused(path, *said: str) -> None:
    with pytest.raises(DataError) as caught, open_archive(path) as archive:
        read_layout(archive)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    for fragment in said:
        assert fragment in message


# ---- path traversal or oversized member in an archive

GIBIBYTE = 2**30
PEAK = """
import re, sys
from pathlib import Path
from tinylab.data.layout import read_layout
from tinylab.data.archive import open_archive
from tinylab.support.errors import DataError
try:
    with open_archive(sys.argv[1]) as archive:
        read_layout(archive)
        archive.read(sys.argv[2])
except DataError as error:
    # not ru_maxrss, which a child takes over from a parent that was larger
    print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024, error)
"""


def bomb(path, members, claimed: int):
    """An archive in which one image really inflates to a gibibyte, whatever size it claims."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)  # after it, the same piece fits again
    packed = piece * (GIBIBYTE // 2**20) + packer.flush()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, packed if name == IMAGE else content)
        info = archive.getinfo(IMAGE)
        info.compress_type, info.file_size = zipfile.ZIP_DEFLATED, claimed
    return path


@pytest.mark.parametrize(("claimed", "said"), [(GIBIBYTE, "1,073,741,824 bytes"), (3000, "damaged (Bad CRC-32")])
def test_a_real_gibibyte_is_never_inflated(members, tmp_path, claimed, said):
    """path traversal or oversized member in an archive: an honest bomb, and one that claims to be small."""
    path = bomb(tmp_path / "bomb.zip", members, claimed)
    assert path.stat().st_size < 2_000_000
    done = subprocess.run([sys.executable, "-c", PEAK, str(path), IMAGE], capture_output=True, text=True, check=True)
    peak, message = done.stdout.split(" ", 1)
    assert IMAGE in message
    assert said in message
    assert int(peak) < 400, f"{peak} MiB"  # numpy and Pillow alone take about 60


def test_nothing_is_written_but_the_cache(members, tmp_path, root):
    """path traversal or oversized member in an archive: nothing is ever unpacked, inside or outside."""
    path = tmp_path / "in" / "evil.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr("../../escaped.txt", b"x")
    with pytest.raises(DataError, match=r"'\.\./\.\./escaped\.txt'.*points outside the archive; refused"):
        prepare(path, "evil", progress=False)
    files = {file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*") if file.is_file()}
    assert files <= {"in/evil.zip", "cache/prepared/evil/.lock"}


@pytest.mark.parametrize("name", ["train/n01/images/n01_0.\nPEG", "val/images/a\x1b[31m.JPEG"])
def test_a_name_with_a_control_character_is_refused_in_one_line(crafting, members, tmp_path, name):
    """path traversal or oversized member in an archive: a name must not write into messages and terminals either."""
    members[name] = crafting.jpeg(0)
    for path in (crafting.zip(tmp_path / "odd.zip", members), crafting.folder(tmp_path / "odd", members)):
        with (
            pytest.raises(DataError, match="control character in its name; refused") as caught,
            open_archive(path) as it,
        ):
            assert it.sizes
        assert "\n" not in str(caught.value)
        assert "\x1b" not in str(caught.value)


def test_rare_packing_is_refused_by_name(members, tmp_path):
    """path traversal or oversized member in an archive: zipfile inflates these at once, however large they are."""
    path = tmp_path / "rare.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content, compress_type=zipfile.ZIP_LZMA if name == IMAGE else None)
    refused(path, IMAGE, f"method {zipfile.ZIP_LZMA}", "expected stored or deflated")


def test_what_is_no_file_in_a_folder_is_refused(crafting, members, tmp_path):
    """path traversal or oversized member in an archive: a pipe, which would keep a reader waiting for ever."""
    folder = crafting.folder(tmp_path / "folder", members)
    os.mkfifo(folder / "train/n01/images/n01_99.JPEG")
    refused(folder, "n01_99.JPEG", "a pipe or a device")
    os.mkfifo(tmp_path / "pipe.zip")
    with pytest.raises(DataError, match=r"pipe\.zip is neither a file nor a folder"):
        open_archive(tmp_path / "pipe.zip")


def test_links_in_a_folder_may_lead_nowhere_or_in_circles(crafting, members, tmp_path):
    """path traversal or oversized member in an archive: the links of a folder are followed, to an end."""
    folder = crafting.folder(tmp_path / "nowhere", members)
    (folder / "train/n01/images/n01_98.JPEG").symlink_to(tmp_path / "gone")
    refused(folder, "n01_98.JPEG", "No such file")
    folder = crafting.folder(tmp_path / "circle", members)
    (folder / "train/n01/images/again").symlink_to(folder)
    refused(folder, "deeper than the Stanford layout allows")


# ---- corrupt JPEG

# Each turns one bit of a name in the contents table, and would make an image vanish without a word
VANISHED = {
    "hidden": (b"n01_3.JPEG", 0, 0x40),  # ".01_3.JPEG" would be clutter
    "another folder": (b"images/n01_3.JPEG", 2, 0x04),  # "imeges/" holds no images
    "no class": (b"train/n01/images/n01_3.JPEG", 0, 0x01),
    "no top": (b"tiny/train/n01/images/n01_3.JPEG", 0, 0x01),
    "the words": (b"tiny/words.txt", 5, 0x01),
}


@pytest.mark.parametrize("case", VANISHED)
def test_a_flipped_bit_in_a_name_makes_no_image_vanish(crafting, members, tmp_path, case):
    """corrupt JPEG: the names in the contents table have no checksum; each is held against the one at its data."""
    name, place, bit = VANISHED[case]
    path = crafting.zip(tmp_path / "flipped.zip", members)
    raw = bytearray(path.read_bytes())
    table = raw.index(b"PK\x01\x02")
    raw[raw.index(name, table) + place] ^= bit
    path.write_bytes(raw)
    refused(path)


def test_a_flipped_length_in_the_contents_table_swallows_no_image(crafting, members, tmp_path):
    """corrupt JPEG: the length of a comment covers the entries behind it; the number of entries tells."""
    path = crafting.zip(tmp_path / "swallowed.zip", members)
    raw = bytearray(path.read_bytes())
    entry = raw.rindex(b"PK\x01\x02", 0, raw.index(b"test/images/test_1.JPEG", raw.index(b"PK\x01\x02")))
    raw[entry + 33] ^= 0x80  # 32,768 bytes of comment
    path.write_bytes(raw)
    refused(path, "its table of contents lists ", " of 65 members")


def test_a_truncated_file_and_overwritten_pixels_are_named(crafting, members, tmp_path):
    """corrupt JPEG: both kinds, through the whole of `load`; the second decodes silently and only the CRC tells."""
    cut = crafting.zip(tmp_path / "cut.zip", members | {IMAGE: members[IMAGE][: len(members[IMAGE]) // 2]})
    with pytest.raises(DataError, match=rf"{IMAGE} in .*cut\.zip is damaged"):
        load(cut)
    path = crafting.zip(tmp_path / "overwritten.zip", members)
    raw, image = path.read_bytes(), members["train/n01/images/n01_5.JPEG"]
    place = raw.index(image) + len(image) - 60
    spoilt = raw[:place] + bytes(20) + raw[place + 20 :]
    path.write_bytes(spoilt)
    inside = spoilt[raw.index(image) : raw.index(image) + len(image)]
    assert Image.open(io.BytesIO(inside)).convert("RGB").size == (64, 64)  # without a checksum nobody would notice
    with pytest.raises(DataError, match=r"n01_5\.JPEG in .*overwritten\.zip is damaged \(Bad CRC-32"):
        load(path)


# ---- greyscale, CMYK, wrong size


def encoded(mode: str, size=(64, 64), kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, 1).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (encoded("CMYK", kind="JPEG"), "colour mode CMYK; expected RGB or greyscale"),
        (encoded("1"), "colour mode 1; expected"),
        (encoded("RGB", (64, 1)), "64×1 pixels; expected 64×64"),
        (encoded("RGB", kind="TIFF"), "is a TIFF; expected JPEG or PNG"),
        (b"", "damaged"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_colour_or_grey_image_of_the_right_size_is_named(raw, said):
    """greyscale, CMYK, wrong size: all others are refused in one line."""
    with pytest.raises(DataError) as caught:
        decode(raw, Wanted(), "train/x.JPEG")
    assert str(caught.value).startswith("train/x.JPEG ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_greyscale_works():
    """greyscale, CMYK, wrong size: grey becomes three equal channels."""
    for kind in ("JPEG", "PNG"):
        pixels, grey, _ = decode(encoded("L", kind=kind), Wanted(), "x")
        assert grey
        assert pixels.shape == (64, 64, 3)
        assert np.ptp(pixels, axis=2).max() == 0
