"""The generated sample: the layout of its zip, read here from the bytes alone, its traps, and its pictures."""

import errno
import hashlib
import io
import itertools
import os
import re
import zipfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinylab.data import drawing, sample
from tinylab.data.archive import open_archive
from tinylab.data.layout import read_layout
from tinylab.data.sample import KINDS, write_sample
from tinylab.support.errors import FileError, InvalidInputError

TRAIN, VAL, TEST, CLASSES = 30, 12, 11, 10


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sample(tmp_path_factory.mktemp("sample") / "new" / "sample.zip", CLASSES, TRAIN, VAL, TEST)


@pytest.fixture(scope="module")
def members(path: Path) -> dict[str, bytes]:
    """Members by path below the root folder."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert {name.split("/")[0] for name in archive.namelist()} == {sample.ROOT}
        return {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def labels(members: dict[str, bytes]) -> dict[str, str]:
    """The wnid of every JPEG, from the folder's name or the annotations."""
    found = {name: name.split("/")[1] for name in members if re.fullmatch(r"train/.*\.JPEG", name)}
    for split in ("val", "test"):
        for line in lines(members, f"{split}/{split}_annotations.txt"):
            found[f"{split}/images/{line.split(chr(9))[0]}"] = line.split("\t")[1]
    return found


def lines(members: dict[str, bytes], name: str) -> list[str]:
    return members[name].decode().splitlines()


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_has_every_member_of_the_real_layout_and_no_other(members: dict[str, bytes]) -> None:
    wnids = lines(members, "wnids.txt")
    expected = {"wnids.txt", "words.txt", "val/val_annotations.txt", "test/test_annotations.txt"}
    for wnid in wnids:
        expected.add(f"train/{wnid}/{wnid}_boxes.txt")
        expected |= {f"train/{wnid}/images/{wnid}_{i}.JPEG" for i in range(TRAIN)}
    expected |= {f"val/images/val_{i}.JPEG" for i in range(VAL * CLASSES)}
    expected |= {f"test/images/test_{i}.JPEG" for i in range(TEST * CLASSES)}
    assert members.keys() == expected


def test_wnids_are_unsorted_and_unlike_wordnet(members: dict[str, bytes]) -> None:
    wnids = lines(members, "wnids.txt")
    assert len(set(wnids)) == CLASSES
    assert wnids != sorted(wnids)
    assert not any(re.match(r"[nvar]\d", wnid) for wnid in KINDS)
    assert sum(a == b for a, b in zip(KINDS, sorted(KINDS), strict=True)) <= 2


def test_words_name_every_class_and_more(members: dict[str, bytes]) -> None:
    words = dict(line.split("\t") for line in lines(members, "words.txt"))
    assert list(words) == sorted(words)
    assert words.keys() > set(KINDS)
    names = [words[wnid] for wnid in KINDS]
    assert len(set(names)) == len(KINDS)
    assert all(re.fullmatch(r"[a-z][a-z -]+[a-z]", name) for name in names)


def test_annotations_give_each_file_a_class_and_a_box_as_in_the_real_archive(members: dict[str, bytes]) -> None:
    wnids = lines(members, "wnids.txt")
    for split, count in (("val", VAL), ("test", TEST)):
        rows = [line.split("\t") for line in lines(members, f"{split}/{split}_annotations.txt")]
        assert [row[0] for row in rows] == [f"{split}_{i}.JPEG" for i in range(count * CLASSES)]
        assert sorted(row[1] for row in rows) == sorted(wnids * count)
        boxes = np.array([row[2:] for row in rows], int)
        assert boxes.shape == (count * CLASSES, 4)
    for wnid in wnids:
        rows = [line.split("\t") for line in lines(members, f"train/{wnid}/{wnid}_boxes.txt")]
        assert [row[0] for row in rows] == [f"{wnid}_{i}.JPEG" for i in range(TRAIN)]
        left, top, right, bottom = np.array([row[1:] for row in rows], int).T
        assert ((left >= 0) & (left < right) & (right < 64) & (top >= 0) & (top < bottom) & (bottom < 64)).all()


def test_file_numbers_of_val_and_test_tell_nothing_about_the_class(labels: dict[str, str]) -> None:
    for split, count in (("val", VAL), ("test", TEST)):
        files = [f"{split}/images/{split}_{i}.JPEG" for i in range(count * CLASSES)]
        numeric = [labels[file] for file in files]
        listed = [labels[file] for file in sorted(files)]
        changes = np.mean([a != b for a, b in itertools.pairwise(numeric)])
        assert changes > 0.8  # 0.9 expected for ten classes at random
        # scoring in the order of sorted(): about chance. That trap is what lecture 09 shows
        assert np.mean([a == b for a, b in zip(numeric, listed, strict=True)]) < 0.3


def test_is_read_by_the_same_code_as_the_real_archive(path: Path, labels: dict[str, str]) -> None:
    with open_archive(path) as archive:
        layout = read_layout(archive)
    assert layout.classes == tuple(KINDS)[:CLASSES]
    assert layout.names == tuple(name for name, _ in KINDS.values())[:CLASSES]
    for listing in layout.splits.values():
        assert listing.labels is not None  # the test images have labels, unlike those of the real one
        for member, label in zip(listing.members, listing.labels, strict=True):
            assert labels[member] == layout.classes[label]


def test_every_image_is_a_64_pixel_jpeg_and_a_few_are_greyscale(members: dict[str, bytes]) -> None:
    modes = defaultdict(int)
    for name, data in members.items():
        if name.endswith(".JPEG"):
            with Image.open(io.BytesIO(data)) as image:
                image.load()
                assert (image.format, image.size) == ("JPEG", (64, 64))
                modes[image.mode] += 1
    total = (TRAIN + VAL + TEST) * CLASSES
    assert set(modes) == {"RGB", "L"}
    assert 1 <= modes["L"] <= 0.06 * total  # 0.018 expected


def test_identical_files_carry_conflicting_labels_within_train_and_across_splits(
    members: dict[str, bytes], labels: dict[str, str]
) -> None:
    groups = defaultdict(list)
    for name in labels:
        groups[hashlib.md5(members[name], usedforsecurity=False).digest()].append(name)
    twins = [names for names in groups.values() if len(names) > 1]
    assert all(len({labels[name] for name in names}) == len(names) == 2 for names in twins)
    splits = sorted("–".join(sorted(name.split("/")[0] for name in names)) for names in twins)
    assert splits == ["test–train", "train–train", "train–train", "train–train", "train–val"]


def test_it_has_the_same_bytes_whatever_the_threads(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "core_count", lambda: 1)
    again = write_sample(tmp_path / "again.zip", CLASSES, TRAIN, VAL, TEST)
    assert again.read_bytes() == path.read_bytes()


def test_a_smaller_sample_holds_pictures_of_the_larger(members: dict[str, bytes], tmp_path: Path) -> None:
    small = write_sample(tmp_path / "small.zip", 3, 5, 4, 3)
    large = set(members.values())
    with zipfile.ZipFile(small) as archive:
        images = [name for name in archive.namelist() if name.endswith(".JPEG")]
        assert len(images) == 3 * (5 + 4 + 3)
        # all but the copies that stand for a last picture: those come from train, which the larger has too
        assert all(archive.read(name) in large for name in images)


def test_an_interrupted_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    destination = tmp_path / "sample.zip"
    destination.write_bytes(b"the old one")
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(FileError, match=r"could not be written \(No space left on device\)"):
        write_sample(destination, 2, 1, 1, 1)
    assert [file.name for file in tmp_path.iterdir()] == ["sample.zip"]
    assert destination.read_bytes() == b"the old one"


def test_impossible_counts_are_refused(tmp_path: Path) -> None:
    for name, count, words in (("classes", 21, "2 to 20"), ("train", 0, "1 to 10000"), ("test", 10_001, "1 to 10000")):
        with pytest.raises(InvalidInputError, match=f"{name} {count} .* {words}"):
            write_sample(tmp_path / "sample.zip", **{name: count})
    assert not list(tmp_path.iterdir())


# --- the pictures ---


def test_every_class_draws_an_object_without_gaps_varied_and_in_its_box() -> None:
    for _, kind, *_ in KINDS.values():
        images, boxes = drawing.draw(kind, 12, np.random.default_rng(5))
        again, _ = drawing.draw(kind, 12, np.random.default_rng(5))
        assert images.shape == (12, 64, 64, 3)
        assert images.dtype == np.uint8
        assert np.array_equal(images, again)
        spread = images.reshape(12, -1).astype(float).std(axis=1)
        assert spread.min() > 8  # nothing is a flat colour
        width, height = boxes[:, 2] - boxes[:, 0] + 1, boxes[:, 3] - boxes[:, 1] + 1
        assert min(width.min(), height.min()) >= 12  # pixels: large enough to be seen
        assert len({tuple(box) for box in boxes}) >= 10

        grid = np.mgrid[-2:2:161j, -2:2:161j]
        distance, accent = kind.shape(grid[1], grid[0])
        inside = distance > 0
        assert 0.06 < inside.mean() * 16 / np.pi < 1.1  # of the unit disc's area
        assert not inside[np.hypot(*grid) > 1.6].any()
        if accent is not None:
            assert (inside & (accent > 0)).sum() > 20  # the accent is on the object
            assert (inside & (accent < 0)).sum() > 20  # and not all over it
        amount = kind.texture(grid[1], grid[0], np.ones((1, 1)), np.zeros_like(distance))
        assert amount.min() >= 0
        assert amount.max() <= 1


def test_boxes_enclose_the_true_pixels_edges_included() -> None:
    mask = np.zeros((2, 64, 64), bool)
    mask[0, 10:21, 5:9] = True  # rows 10..20, columns 5..8
    mask[1, 63, 0] = True
    assert drawing._boxes(mask).tolist() == [[5, 10, 8, 20], [0, 63, 0, 63]]


def test_colours_agree_with_the_standard_library() -> None:
    from colorsys import hsv_to_rgb

    hsv = np.random.default_rng(0).random((3, 50))
    hsv[0] = hsv[0] * 4 - 2  # hues go round
    expected = np.array([hsv_to_rgb(hue % 1, saturation, value) for hue, saturation, value in hsv.T]).T
    np.testing.assert_allclose(drawing._rgb(hsv), expected, atol=1e-12)


def test_neighbouring_classes_share_a_shape_or_a_palette() -> None:
    kinds = [kind for _, kind in KINDS.values()]
    for a, b in zip(kinds[:10:2], kinds[1:10:2], strict=True):
        assert a.shape is b.shape or a.first == b.first
        assert a != b
