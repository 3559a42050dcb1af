"""Tiny archives in the Stanford layout, made from scratch, and the fixtures that tests of data and faults share."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Members = dict[str, bytes]

CLASSES = ("n03", "n01", "n02")  # wnids.txt is not sorted in the real archive either
TRAIN, VALIDATION, TEST = 12, 4, 11  # images a class; a class; in all


def jpeg(seed: int, mode: str = "RGB", size: tuple[int, int] = (64, 64), quality: int = 90) -> bytes:
    """A JPEG of smooth noise that nobody has seen before."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, len(mode)), np.uint8)
    image = Image.merge(mode, [Image.fromarray(np.ascontiguousarray(coarse[..., c])) for c in range(len(mode))])
    buffer = io.BytesIO()
    image.resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def craft() -> Members:
    """Members of a sound archive: three classes, two greyscale files, three byte-identical pairs."""
    members: Members = {
        "wnids.txt": "".join(f"{wnid}\n" for wnid in CLASSES).encode(),
        "words.txt": b"n01\tgoldfish, Carassius auratus\nn02\tcrane\nn03\tEgyptian cat\nn99\tunused\n",
    }
    seed = 0
    for wnid in CLASSES:
        members[f"train/{wnid}/{wnid}_boxes.txt"] = b"ignored\t0\t0\t1\t1\n"
        for number in range(TRAIN):
            seed += 1
            members[f"train/{wnid}/images/{wnid}_{number}.JPEG"] = jpeg(seed)
    lines = []
    for number in range(VALIDATION * len(CLASSES)):
        seed += 1
        members[f"val/images/val_{number}.JPEG"] = jpeg(seed)
        lines.append(f"val_{number}.JPEG\t{CLASSES[number % 3]}\t0\t0\t9\t9\n")
    members["val/val_annotations.txt"] = "".join(reversed(lines)).encode()  # order must not matter
    for number in range(TEST):
        seed += 1
        members[f"test/images/test_{number}.JPEG"] = jpeg(seed)
    members["train/n03/images/n03_2.JPEG"] = jpeg(1000, "L")
    members["val/images/val_5.JPEG"] = jpeg(1001, "L")
    members["train/n01/images/n01_3.JPEG"] = members["train/n03/images/n03_3.JPEG"]  # labels conflict
    members["val/images/val_0.JPEG"] = members["train/n03/images/n03_7.JPEG"]
    members["test/images/test_4.JPEG"] = members["train/n02/images/n02_0.JPEG"]
    return members


def write_zip(path: Path, members: Members, top: str = "tiny/") -> Path:
    """Members in an order that is neither sorted nor numeric, as zips have them."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(members, reverse=True):
            archive.writestr(top + name, members[name])
    return path


def write_folder(path: Path, members: Members) -> Path:
    for name, raw in members.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(raw)
    return path


class Crafting:
    """The functions above, for tests (which need not know how this file is imported)."""

    jpeg = staticmethod(jpeg)
    zip = staticmethod(write_zip)
    folder = staticmethod(write_folder)
    classes = CLASSES


@pytest.fixture
def crafting() -> Crafting:
    return Crafting()


@pytest.fixture(scope="session")
def sound() -> Members:
    return craft()


@pytest.fixture
def members(sound: Members) -> Members:
    """A sound archive's members, to be spoilt as the test likes."""
    return dict(sound)


@pytest.fixture
def source(tmp_path: Path, members: Members) -> Path:
    """A sound archive as a zip."""
    return write_zip(tmp_path / "tiny.zip", members)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test's own, so that it does not touch the user's."""
    monkeypatch.setenv("TINYLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
