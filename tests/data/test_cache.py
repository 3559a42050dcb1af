"""The decoded cache: right pixels, and whatever interrupts or spoils its preparation, never half a cache."""

import ctypes
import hashlib
import io
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import warnings
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

import tinylab.data.cache as room
from tinylab.data import cache_root, info, manifest, open_cache, prepare, prepared_names, verify
from tinylab.support import notebook
from tinylab.support.errors import DataError, InvalidInputError

pytestmark = pytest.mark.usefixtures("root")


def arrays(cache):
    return {
        (split, kind): getattr(getattr(cache, split), kind)
        for split in ("train", "validation", "test")
        for kind in ("images", "labels", "files", "greyscale", "digests")
    }


def prepared(source, name="tiny", **options):
    return prepare(source, name, progress=False, **options)


# --- what is in it --------------------------------------------------------------------------------------------


@pytest.fixture
def cache(source):
    prepared(source)
    return open_cache("tiny")


def test_every_row_is_the_image_its_file_name_says(cache, members):
    folders = {"train": "train/{0}/images/", "validation": "val/images/", "test": "test/images/"}
    for split, folder in folders.items():
        decoded = getattr(cache, split)
        for row, file in enumerate(decoded.files):
            raw = members[folder.format(file.split("_")[0]) + file]
            expected = np.asarray(Image.open(io.BytesIO(raw)).convert("RGB"))
            np.testing.assert_array_equal(decoded.images[row], expected)
            assert bytes(decoded.digests[row]) == hashlib.sha1(raw, usedforsecurity=False).digest()


def test_counts_types_and_order(cache):
    assert cache.classes == ("n03", "n01", "n02")
    assert cache.words == ("Egyptian cat", "goldfish", "crane")
    assert cache.train.images.shape == (36, 64, 64, 3)
    assert cache.train.images.dtype == np.uint8
    assert cache.train.labels.dtype == np.int64
    assert cache.train.labels.tolist() == [0] * 12 + [1] * 12 + [2] * 12
    assert cache.validation.labels.tolist() == [i % 3 for i in range(12)]
    assert cache.test.labels is None
    assert cache.test.files.tolist() == [f"test_{i}.JPEG" for i in range(11)]


def test_greyscale_becomes_colour_and_is_marked(cache):
    row = cache.train.files.tolist().index("n03_2.JPEG")
    assert cache.train.greyscale.nonzero()[0].tolist() == [row]
    assert cache.validation.greyscale.nonzero()[0].tolist() == [5]
    image = cache.train.images[row]
    assert (image[..., 0] == image[..., 1]).all()
    assert (image[..., 0] == image[..., 2]).all()
    assert cache.manifest["splits"]["train"] == {"images": 36, "labelled": True, "greyscale": 1}


def test_images_are_mapped_not_read_and_torch_takes_them_without_a_warning(cache):
    assert isinstance(cache.train.images, np.memmap)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tensor = torch.from_numpy(cache.train.images)
    assert tensor.data_ptr() == cache.train.images.ctypes.data


def test_writing_into_a_loaded_image_does_not_reach_the_disk(cache):
    before = cache.train.images[0].copy()
    cache.train.images[0] = 255 - before
    np.testing.assert_array_equal(open_cache("tiny").train.images[0], before)


def test_threads_make_the_same_as_one(cache, source, monkeypatch):
    monkeypatch.setattr(room, "BLOCK", 5)  # several blocks for each
    prepared(source, "parallel", resize=True)
    one, many = arrays(cache), arrays(open_cache("parallel"))
    for key in one:
        np.testing.assert_array_equal(one[key], many[key])


def test_a_folder_makes_the_same_as_the_zip(cache, crafting, members, tmp_path):
    prepared(crafting.folder(tmp_path / "folder", members), "folder")
    one, other = arrays(cache), arrays(open_cache("folder"))
    for key in one:
        np.testing.assert_array_equal(one[key], other[key])


def test_no_test_images_at_all(crafting, members, tmp_path):
    few = {name: raw for name, raw in members.items() if not name.startswith("test/")}
    prepared(crafting.zip(tmp_path / "few.zip", few))
    assert open_cache("tiny").test.images.shape == (0, 64, 64, 3)


def test_other_sizes_on_request(crafting, members, tmp_path):
    images = {name: crafting.jpeg(1, size=(32, 32)) for name in members if name.endswith(".JPEG")}
    prepared(crafting.zip(tmp_path / "small.zip", members | images), size=32)
    assert open_cache("tiny").train.images.shape == (36, 32, 32, 3)


# --- damaged and unsuitable images ----------------------------------------------------------------------------

BAD = "train/n02/images/n02_5.JPEG"


def truncated(crafting) -> bytes:
    raw = crafting.jpeg(5)
    return raw[: len(raw) // 2]


def claiming(crafting, height: int, width: int) -> bytes:
    """A small JPEG whose frame header claims other sides."""
    raw = crafting.jpeg(5)
    place = raw.index(b"\xff\xc0") + 5
    return raw[:place] + struct.pack(">HH", height, width) + raw[place + 4 :]


UNSUITABLE = {
    "CMYK": (lambda c: c.jpeg(5, "CMYK"), "colour mode CMYK; expected RGB or greyscale"),
    "wide": (lambda c: c.jpeg(5, size=(65, 64)), "65×64 pixels; expected 64×64"),
    "bomb": (lambda c: claiming(c, 65_000, 65_000), "claims to be far larger than the 64×64"),
    "large": (lambda c: claiming(c, 5_000, 2_000), "2000×5000 pixels"),
    "truncated": (truncated, "damaged"),
    "empty": (lambda c: b"", "damaged"),
    "a page": (lambda c: b"<html>", "damaged"),
}


@pytest.mark.parametrize("case", UNSUITABLE)
def test_an_unsuitable_image_is_named_and_nothing_is_left(crafting, members, tmp_path, root, case):
    make, expected = UNSUITABLE[case]
    path = crafting.zip(tmp_path / "bad.zip", members | {BAD: make(crafting)})
    with pytest.raises(DataError) as caught:
        prepared(path)
    assert f"{BAD} in {path}" in str(caught.value)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert prepared_names() == []
    assert [p.name for p in (root / "prepared" / "tiny").iterdir() if p.name != ".lock"] == []


def test_overwritten_scan_data_is_found_in_a_zip(source, members, tmp_path):
    raw = source.read_bytes()
    place = raw.index(members[BAD]) + len(members[BAD]) - 30
    source.write_bytes(raw[:place] + b"\x55" + raw[place + 1 :])
    with pytest.raises(DataError, match=r"n02_5\.JPEG.*CRC"):
        prepared(source)


# --- prepared again, interrupted, at the same time ------------------------------------------------------------


def build_of(root, name="tiny"):
    return json.loads((root / "prepared" / name / "manifest.json").read_text())["build"]


def test_what_is_prepared_is_kept(cache, source, root):
    first = build_of(root)
    prepared(source)
    assert build_of(root) == first
    prepared(source, rebuild=True)
    assert build_of(root) != first


def test_a_changed_source_is_prepared_again_and_the_old_build_removed(cache, crafting, members, source, root, caplog):
    first = build_of(root)
    before = cache.validation.images[0].copy()
    crafting.zip(source, members | {"val/images/val_0.JPEG": crafting.jpeg(4711)})
    os.utime(source, ns=(1, 1))  # a clock may be too coarse to tell the two apart
    prepared(source)
    assert "tiny: source changed, rebuilding" in caplog.text
    assert (open_cache("tiny").validation.images[0] != before).any()
    assert not (root / "prepared" / "tiny" / first).exists()
    if os.name == "posix":  # whoever has the old one open keeps it
        np.testing.assert_array_equal(cache.validation.images[0], before)


def test_a_folder_that_gains_an_image_is_prepared_again(crafting, members, tmp_path, root):
    folder = crafting.folder(tmp_path / "folder", members)
    os.utime(folder / "test/images", ns=(1, 1))
    prepared(folder)
    (folder / "test/images/test_11.JPEG").write_bytes(crafting.jpeg(11))
    prepared(folder)
    assert len(open_cache("tiny").test.images) == 12


def test_an_older_schema_is_rebuilt(cache, source, root, caplog, monkeypatch):
    monkeypatch.setattr(manifest, "SCHEMA", manifest.SCHEMA + 1)
    with pytest.raises(DataError, match="another schema version; prepare it: tinylab data prepare"):
        open_cache("tiny")
    prepared(source)
    assert "tiny: schema changed, rebuilding" in caplog.text
    assert len(open_cache("tiny").train.images) == 36


@pytest.mark.parametrize("spoil", ["shorten", "remove", "manifest"])
def test_an_incomplete_cache_is_rebuilt(cache, source, root, caplog, spoil):
    folder = root / "prepared" / "tiny"
    images = folder / build_of(root) / "train_images.npy"
    if spoil == "shorten":
        os.truncate(images, images.stat().st_size - 1)
    elif spoil == "remove":
        images.unlink()
    else:
        (folder / "manifest.json").write_text("{")
    with pytest.raises(DataError, match=r"tiny at .* is incomplete; prepare it"):
        open_cache("tiny")
    prepared(source)
    assert "tiny: incomplete, rebuilding" in caplog.text
    verify("tiny")


KILLED = """
import os, signal, sys
import tinylab.data.cache as room
room.BLOCK = 8
original = room.run_blocks
def run_blocks(*arguments):
    for done, images in enumerate(original(*arguments)):
        if done == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        yield images
room.run_blocks = run_blocks
room.prepare(sys.argv[1], "tiny", progress=False)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_preparation_that_is_killed_is_never_loaded_and_is_rebuilt(source, root, caplog):
    child = subprocess.run([sys.executable, "-c", KILLED, str(source)], check=False)
    assert child.returncode == -signal.SIGKILL
    left = [path for path in (root / "prepared" / "tiny").iterdir() if path.is_dir()]
    assert len(left) == 1
    with pytest.raises(DataError, match="incomplete"):
        open_cache("tiny")
    prepared(source)
    assert "tiny: incomplete, rebuilding" in caplog.text
    assert not left[0].exists()
    verify("tiny")


RACING = """
import sys
from tinylab.data import open_cache, prepare
print("ready", flush=True)
sys.stdin.readline()
prepare(sys.argv[1], "tiny", progress=False)
print(int(open_cache("tiny").train.images.sum(dtype="int64")))
"""


def test_several_processes_at_once_all_succeed_with_one_result(source, members, root):
    children = [
        subprocess.Popen(
            [sys.executable, "-c", RACING, str(source)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()
    answers = [child.communicate(timeout=120)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0, 0]
    expected = int(open_cache("tiny").train.images.sum(dtype=np.int64))
    assert {int(answer) for answer in answers} == {expected}
    assert [path.name for path in (root / "prepared" / "tiny").iterdir() if path.is_dir()] == [build_of(root)]


# --- disks and folders ----------------------------------------------------------------------------------------


def test_a_disk_without_room_is_told_beforehand_and_old_files_stay(cache, source, root, monkeypatch):
    usage = shutil.disk_usage(source)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=700_000))
    with pytest.raises(DataError) as caught:
        prepared(source, rebuild=True)
    assert "needs 0.7 MB, has 0.7 MB at" in str(caught.value)  # 59 images of 12,544 bytes
    assert "TINYLAB_CACHE" in str(caught.value)
    verify("tiny")


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))  # the training images need 442,496
from tinylab.data import prepare
from tinylab.support.errors import DataError
try:
    prepare(sys.argv[1], "tiny", progress=False, rebuild=True)
except DataError as error:
    print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="limits of file size are POSIX")
def test_a_disk_that_fills_up_on_the_way_is_told_and_old_files_stay(cache, source, root):
    child = subprocess.run([sys.executable, "-c", LIMITED, str(source)], capture_output=True, text=True, check=False)
    assert child.stdout.startswith("not enough disk: needs 0.7 MB, has ")
    assert "TINYLAB_CACHE" in child.stdout
    assert [p.name for p in (root / "prepared" / "tiny").iterdir() if p.is_dir()] == [build_of(root)]
    verify("tiny")


def test_a_cache_folder_that_cannot_be_made_is_told(source, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TINYLAB_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DataError, match=r"cannot write to .*file.*; set TINYLAB_CACHE"):
        prepared(source)


READ_ONLY = """
import sys
from pathlib import Path
from tinylab.data import open_cache, prepare
from tinylab.support.errors import DataError
source = Path(sys.argv[1])
prepare(source, "tiny", progress=False)
assert len(open_cache("tiny").train.images) == 36
try:
    prepare(source, "another", progress=False)
except DataError as error:
    print(error)
"""


def as_ordinary_user() -> None:
    """Give up the superuser's right to write anywhere (CAP_DAC_OVERRIDE), for the program that starts next."""
    if os.geteuid() == 0:
        drop_from_bounding_set, dac_override = 24, 1  # linux/prctl.h, linux/capability.h
        ctypes.CDLL(None).prctl(drop_from_bounding_set, dac_override, 0, 0, 0)


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such folder permissions")
def test_a_read_only_cache_still_loads(cache, source, root):
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o500)
    try:
        command = [sys.executable, "-c", READ_ONLY, str(source)]
        child = subprocess.run(command, preexec_fn=as_ordinary_user, capture_output=True, text=True, check=False)
    finally:
        for folder in folders:
            folder.chmod(0o700)
    assert child.returncode == 0, child.stderr
    assert re.search(r"cannot write to .*; set TINYLAB_CACHE", child.stdout), child.stdout


def test_a_warm_cache_is_not_written_to(cache, source, root):
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    prepared(source)
    open_cache("tiny")
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_the_variable_moves_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("TINYLAB_CACHE", str(tmp_path / "elsewhere"))
    assert cache_root() == tmp_path / "elsewhere"


def test_verify_finds_one_flipped_bit(cache, root):
    verify("tiny")
    path = root / "prepared" / "tiny" / build_of(root) / "validation_images.npy"
    with path.open("r+b") as stream:
        stream.seek(5000)
        byte = stream.read(1)[0]
        stream.seek(5000)
        stream.write(bytes([byte ^ 4]))
    with pytest.raises(DataError, match=r"validation_images.npy is damaged"):
        verify("tiny")


def test_names_that_cannot_be(source):
    for name in ("", "../x", "a/b", ".hidden", "x" * 101, "sample"):
        with pytest.raises(InvalidInputError):
            prepared(source, name)


def test_info_says_what_is_where(cache, root):
    (root / "tiny-imagenet-200.zip").write_bytes(b"x" * 3_000_000)
    (root / "prepared" / "broken" / "123").mkdir(parents=True)
    text = str(info())
    assert str(root) in text
    assert "TINYLAB_CACHE" in text
    assert [row[:5] for row in info().rows] == [
        ["archive", "downloaded", "–", "–", "3.0 MB"],
        ["broken", "incomplete", "–", "–", "–"],
        ["tiny", "ready", 3, "36 + 12 + 11", "0.7 MB"],
    ]


def test_info_of_nothing():
    assert "Nothing is prepared yet" in str(info())
    assert info().rows == []


@pytest.mark.parametrize("terminal", [True, False])
def test_a_progress_bar_counts_images_where_somebody_sees_it(source, monkeypatch, terminal):
    bars = []

    class Bar(notebook.tqdm):
        def close(self):
            bars.append((self.n, self.total, self.disable))
            super().close()

    monkeypatch.setattr(notebook, "tqdm", Bar)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    prepare(source, "tiny")
    assert ((59, 59, False) in bars) == terminal
    assert bool(bars[0][2]) != terminal


def test_the_zip_is_closed_again(source):
    prepared(source)
    if os.path.isdir("/proc/self/fd"):
        opened = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
        assert str(source) not in opened
    with zipfile.ZipFile(source) as archive:
        assert archive.testzip() is None
