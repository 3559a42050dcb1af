"""Data as people have it: class folders, tidied-up layouts, tars, photographs of every kind; used, or named."""

import io
import logging
import os
import tarfile

import numpy as np
import pytest
from PIL import Image

from tests import tiny
from tests.data.crafted import craft, jpeg, write_folder, write_zip
from tests.faults.test_other_data import made, turned
from tests.tools.notebooks import crafted
from tinylab import course, training
from tinylab.data import Normalisation, load, open_archive, open_cache, prepare
from tinylab.data.decode import Wanted, decode
from tinylab.support.errors import DataError, InvalidInputError
from tinylab.training import checkpoints

pytestmark = pytest.mark.usefixtures("root")


def image_folders(top: str = "", val: str = "val") -> dict[str, bytes]:
    """Two classes, 4 + 2 images, whose numbers begin anew in each class, as torchvision reads them."""
    names = [f"train/{c}/{n}.jpg" for c in ("dog", "cat") for n in range(4)]
    names += [f"{val}/{c}/{n}.jpg" for c in ("dog", "cat") for n in range(2)]
    return {top + name: jpeg(number) for number, name in enumerate(names)}


# ---- images dropped without a word


@pytest.mark.parametrize(
    ("write", "top", "val"),
    [(write_zip, "", "val"), (write_zip, "again/", "validation"), (write_folder, "again/", "valid")],
)
def test_a_folder_for_each_class(tmp_path, write, top, val):
    """images dropped without a word: torchvision's layout, also with its top folder doubled, is read."""
    data = load(write(tmp_path / "pets.zip", image_folders(top, val)), development=0)
    assert data.classes == ("cat", "dog")
    assert np.bincount(data.train.targets).tolist() == [4, 4]
    assert data.validation.names.tolist() == ["cat/0.jpg", "cat/1.jpg", "dog/0.jpg", "dog/1.jpg"]
    assert data.validation.targets.tolist() == [0, 0, 1, 1]
    assert len(data.test) == 0


def test_pixels_of_a_class_are_its_own(tmp_path):
    """images dropped without a word: rows, labels and names belong together."""
    content = image_folders()
    data = load(write_zip(tmp_path / "pets.zip", content), development=0)
    for name, pixels, label in zip(data.train.names, *data.train.take(slice(None)), strict=True):
        assert name.startswith(data.classes[label])
        np.testing.assert_array_equal(pixels, decode(content[f"train/{name}"], Wanted(), name)[0])


def test_a_class_folder_half_flattened_and_a_flat_test(tmp_path):
    """images dropped without a word: some images beside `images/`, all of `test` without it: all are used."""
    content = craft()
    for number in range(6):
        name = f"train/n01/images/n01_{number}.JPEG"
        content[name.replace("images/", "")] = content.pop(name)
    for number in range(11):
        content[f"test/test_{number}.JPEG"] = content.pop(f"test/images/test_{number}.JPEG")
    data = load(write_folder(tmp_path / "half", content), development=0)
    whole = load(write_zip(tmp_path / "whole.zip", craft()), development=0)
    for split, same in zip(data.splits, whole.splits, strict=True):
        assert sorted(split.names) == sorted(same.names)
    assert len(data.train) == 36
    assert len(data.test) == 11


def test_a_labelled_test_in_folders(tmp_path):
    """images dropped without a word: a folder for each class in `test`, too."""
    content = image_folders() | {"test/dog/9.jpg": jpeg(99)}
    data = load(write_zip(tmp_path / "pets.zip", content), development=0)
    assert data.test.targets.tolist() == [1]


@pytest.mark.parametrize(
    ("stray", "words"),
    [
        ("train/cat/more/1.jpg", "train/cat/more/1.jpg .* lies where no image is expected"),
        ("val/1.jpg", "val/1.jpg .* beside the folders of classes"),
        ("val/cow/1.jpg", "val/cow .* is a class that train does not have"),
    ],
)
def test_an_image_in_an_odd_place_is_named(tmp_path, stray, words):
    """images dropped without a word: what cannot be used is named."""
    with pytest.raises(DataError, match=words) as caught:
        load(write_zip(tmp_path / "pets.zip", image_folders() | {stray: jpeg(1)}))
    assert "\n" not in str(caught.value)


def test_images_outside_the_splits_are_counted(tmp_path, caplog):
    """images dropped without a word: a picture beside the splits is not a part of the data, and that is said."""
    caplog.set_level(logging.WARNING)
    load(write_zip(tmp_path / "pets.zip", image_folders() | {"icon.png": b"", "more/x.jpg": b""}), development=0)
    assert "not used, since it is outside train, val and test: icon.png (and 1 more)" in caplog.text


def test_several_data_sets_in_one_folder_are_named(tmp_path):
    """images dropped without a word: which of two is meant has to be said."""
    for name in ("one", "two"):
        write_folder(tmp_path / name, image_folders())
    with pytest.raises(DataError, match=r"several data sets \(in one, two\)"):
        load(tmp_path)


# ---- remedies that do not exist


@pytest.mark.parametrize("mode", ["w", "w:xz"])
def test_a_tar_reads_like_the_zip(tmp_path, mode):
    """remedies that do not exist: `.tar.gz` is read, with the same result, in one thread and in several."""
    path, expected = tmp_path / "tiny.tar.gz", load(write_zip(tmp_path / "tiny.zip", craft()), development=0)
    with tarfile.open(path, mode) as tar:
        tar.add(write_folder(tmp_path / "source", craft()), "./tiny")
    for resize in (False, True):
        prepare(path, "packed", progress=False, rebuild=True, resize=resize)
        data = load("packed", development=0)
        for split, same in zip(data.splits, expected.splits, strict=True):
            np.testing.assert_array_equal(split.take(slice(None))[0], same.take(slice(None))[0])
            assert split.names.tolist() == same.names.tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "source", "tiny.tar.gz", "tiny.zip"]


def test_a_damaged_or_hostile_tar_is_refused(tmp_path):
    """images dropped without a word: a tar cut short, with a flipped byte, with a link, with a way out."""
    source = write_folder(tmp_path / "source", craft())
    whole = tmp_path / "whole.tar.gz"
    with tarfile.open(whole, "w:gz") as tar:
        tar.add(source, "tiny")
    raw = whole.read_bytes()
    for broken in (raw[: len(raw) // 2], raw[:-20], raw[:5000] + bytes([raw[5000] ^ 255]) + raw[5001:]):
        whole.write_bytes(broken)
        with pytest.raises(DataError) as caught:
            prepare(whole, "broken", progress=False)
        assert "\n" not in str(caught.value)
    for name, words in (("../escaped", "points outside"), ("link", "is a link or a device")):
        path = tmp_path / "hostile.tar"
        with tarfile.open(path, "w") as tar:
            tar.add(source, "tiny")
            entry = tarfile.TarInfo(name)
            entry.type = tarfile.SYMTYPE if name == "link" else tarfile.REGTYPE
            tar.addfile(entry)
        with pytest.raises(DataError, match=words):
            prepare(path, "hostile", progress=False)


GREEN = (20, 160, 60)


def photograph(kind: str, size=(64, 64)) -> tuple[bytes, str]:
    """A green picture of an unusual kind, and its file's ending; half of it is transparent where it can be."""
    plain = Image.new("RGB", size, GREEN)
    stream, ending = io.BytesIO(), "png"
    if kind == "RGBA":
        plain.putalpha(Image.new("L", size, 255))
        plain.paste((0, 0, 0, 0), (0, 0, size[0] // 2, size[1]))
    elif kind == "LA":
        plain = Image.merge("LA", [Image.new("L", size, 100), Image.new("L", size, 255)])
    elif kind == "P":
        plain = plain.quantize(8)
    elif kind == "CMYK":
        plain, ending = plain.convert("CMYK"), "jpg"
    elif kind == "I;16":
        plain = Image.fromarray(np.full(size[::-1], 100 * 257, np.uint16))
    elif kind == "WEBP":
        plain.save(stream, "WEBP", lossless=True)
        return stream.getvalue(), "webp"
    plain.save(stream, "JPEG" if ending == "jpg" else "PNG")
    return stream.getvalue(), ending


EXPECTED = {
    "RGBA": (GREEN, False), "LA": ((100, 100, 100), True), "P": (GREEN, False), "CMYK": (GREEN, False),
    "I;16": ((100, 100, 100), True), "WEBP": (GREEN, False),
}  # fmt: skip


@pytest.mark.parametrize("kind", EXPECTED)
def test_other_kinds_are_named_or_converted(kind):
    """remedies that do not exist: grey with alpha, palette, RGBA, CMYK, 16 bits, WebP become RGB if asked for."""
    raw, _ = photograph(kind)
    with pytest.raises(DataError, match="or ask for it to be converted"):
        decode(raw, Wanted(), "x")
    pixels, grey, _ = decode(raw, Wanted(convert=True), "x")
    colour, was_grey = EXPECTED[kind]
    np.testing.assert_allclose(pixels[:, 40:], np.broadcast_to(colour, (64, 24, 3)), atol=3)
    assert grey == was_grey
    if kind == "RGBA":
        assert (pixels[:, :30] == 255).all()  # transparent is white
    large = photograph(kind, (100, 80))[0]
    assert decode(large, Wanted(resize=True, convert=True), "x")[0].shape == (64, 64, 3)


def test_what_was_converted_is_counted_and_what_was_not_is_named(tmp_path, call):
    """remedies that do not exist: the options that the error names are there, and do it."""
    content = made({"a": 6, "b": 4}, "jpg")
    for number, kind in enumerate(EXPECTED):
        raw, ending = photograph(kind)
        del content[f"train/a/images/a_{number}.jpg"]
        content[f"train/a/images/a_{number}.{ending}"] = raw
    content["train/b/images/b_0.jpg"] = jpeg(1, size=(90, 70))
    path = write_zip(tmp_path / "all.zip", content)
    command = ["data", "prepare", "--from", path, "--name", "all"]
    code, _, error = call(*command)
    assert code == 2
    assert error.count("\n") == 1
    assert f"To have them made so: tinylab data prepare --from {path} --resize --convert" in error
    listed = (tmp_path / "cache/prepared/all/unusable.txt").read_text()
    for member in ("a_0.png", "a_1.png", "a_2.png", "a_3.jpg", "a_4.png", "a_5.webp", "b_0.jpg"):
        assert f"images/{member} in {path}" in listed
    assert "unusable.txt" in error
    code, out, _ = call(*command, "--resize", "--convert")
    assert code == 0
    assert "6 images converted: 1 CMYK, 1 I;16, 1 LA, 1 P, 1 RGBA, 1 WEBP" in out
    assert open_cache("all").manifest["converted"]["CMYK"] == 1
    assert not (tmp_path / "cache/prepared/all/unusable.txt").exists()
    prepare(path, "all", progress=False, resize=True, convert=True)
    with pytest.raises(DataError):  # what was converted is not passed off as what needed no conversion
        prepare(path, "all", progress=False, resize=True)


def test_an_image_of_the_right_size_is_turned_too():
    """remedies that do not exist: what the camera held upside down is turned, and nobody has to ask."""
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:16] = 255
    for kind in ("JPEG", "PNG"):
        found = decode(turned(pixels, kind), Wanted(), "x")[0]
        assert found[-10:].mean() > 240 > 10 > found[:10].mean()


def test_notes_that_are_damaged_spoil_no_pixel():
    """images dropped without a word: Exif that nobody can read."""
    raw = turned(np.full((64, 64, 3), 128, np.uint8))
    place = raw.index(b"Exif\0\0") + 6
    broken = raw[:place] + b"\xff" * 8 + raw[place + 8 :]
    assert decode(broken, Wanted(), "x")[0].mean() == pytest.approx(128, abs=2)


def test_photographs_are_predicted_as_they_were_trained_on(tmp_path, call):
    """remedies that do not exist: --resize of `predict`, with the very pixels that --resize of `prepare` made."""
    network, norm = tiny.network(), Normalisation(np.full((16, 16, 3), 100.0), 50.0)
    data, path = tiny.dataset(), tmp_path / "checkpoint.pt"
    training.train(network, data, training.Recipe(epochs=1, batch=30), checkpoint=path).finish()
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number in range(3):
        (folder / f"p_{number}.jpg").write_bytes(jpeg(number, size=(60, 40)))
    (folder / "q.png").write_bytes(photograph("RGBA")[0])
    command = ["predict", path, "--images", folder, "--out", tmp_path / "p.txt"]
    code, _, error = call(*command)
    assert (code, error.count("\n")) == (2, 1)
    assert "or ask for a resize: --resize" in error
    code, _, error = call(*command, "--resize")
    assert "or ask for it to be converted: --convert" in error
    code, _, error = call(*command, "--resize", "--convert")
    assert code == 0, error
    assert len((tmp_path / "p.txt").read_text().splitlines()) == 4
    assert checkpoints.load(path).normalisation.mean.shape == norm.mean.shape


# ---- hidden files, names with spaces, doubled notebooks


def test_hidden_files_and_names_with_spaces(tmp_path, call, monkeypatch):
    """hidden files, names with spaces, doubled notebooks: the first are skipped, the second refused at once."""
    path = tmp_path / "checkpoint.pt"
    training.train(tiny.network(), tiny.dataset(), training.Recipe(epochs=1, batch=30), checkpoint=path).finish()
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "test_0.JPEG").write_bytes(jpeg(0, size=(16, 16)))
    (folder / "._test_0.JPEG").write_bytes(b"what macOS leaves")
    command = ["predict", path, "--images", folder, "--out", tmp_path / "p.txt"]
    assert call(*command)[0] == 0
    assert (tmp_path / "p.txt").read_text().startswith("test_0.JPEG ")
    (folder / "test 1.JPEG").write_bytes(jpeg(0, size=(16, 16)))
    monkeypatch.setattr("tinylab.evaluation.folder.predict", lambda *_: pytest.fail("asked before it was refused"))
    code, _, error = call(*command)
    assert code == 2
    assert "'test 1.JPEG' has spaces" in error


def test_a_zip_with_backslashes(tmp_path):
    """hidden files, names with spaces, doubled notebooks: a zip of a program that writes Windows' separators."""
    path = write_zip(tmp_path / "windows.zip", {n.replace("/", "\\"): raw for n, raw in craft().items()}, "tiny\\")
    with open_archive(path) as archive:
        assert archive.read("val/images/val_1.JPEG") == craft()["val/images/val_1.JPEG"]
    assert len(load(path, development=0).train) == 36


def test_a_failed_preparation_leaves_no_row(tmp_path, call):
    """hidden files, names with spaces, doubled notebooks: what was never prepared is not listed as absent."""
    path = write_zip(tmp_path / "bad.zip", craft() | {"train/n01/images/n01_0.JPEG": b""})
    assert call("data", "prepare", "--from", path, "--name", "bad")[0] == 2
    code, out, _ = call("data", "info")
    assert code == 0
    assert "bad" not in out
    with pytest.raises(InvalidInputError):
        prepare(path, "sample")


# ---- another kind of data set: what the lectures ask for


@pytest.fixture
def five(tmp_path):
    """Five classes of 32 pixels: 12 training images each, one to validate."""
    return write_zip(tmp_path / "five.zip", made({c: 12 for c in "abcde"}, size=(32, 32)))


def test_lectures_ask_for_what_there_is(five, call, monkeypatch):
    """another kind of data set: fewer classes and images than the profile asks for; the sample as ever."""
    monkeypatch.delenv("TINYLAB_CLASSES", raising=False)
    assert call("data", "prepare", "--from", five, "--name", "five", "--size", "32")[0] == 0
    settings = course.settings("lecture", "five")
    assert (settings.classes, settings.per_class, settings.watched) == (5, 11, 1)
    assert (settings.many_classes, settings.many_per_class) == (5, 11)
    part = settings.part(load("five", settings.classes))
    assert len(part.train) == 55
    assert part.train.images.shape[1:] == (32, 32, 3)
    assert course.settings("full", "five").classes is None
    assert (course.settings("lecture").classes, course.settings("lecture").per_class) == (10, 36)
    assert course.settings("lecture", "not-there").classes == 10  # `load` will say so
    monkeypatch.setenv("TINYLAB_CLASSES", "3")
    assert course.settings("lecture", "five").classes == course.settings("full", "five").classes == 3
    assert course.settings("lecture", "five").many_classes == 3
    monkeypatch.setenv("TINYLAB_CLASSES", "one")
    with pytest.raises(InvalidInputError, match=r"TINYLAB_CLASSES='one' is not possible\. Allowed: a whole"):
        course.settings()


def test_run_takes_a_number_of_classes(five, tmp_path, call, monkeypatch):
    """another kind of data set: `run --classes` reaches the notebooks, and ends with the command."""
    call("data", "prepare", "--from", five, "--name", "five", "--size", "32")
    cell = "import tinylab\nfrom tinylab import course\nprint(course.settings(profile, data, seed).classes)"
    lecture = crafted.write(tmp_path, "01_data", crafted.notebook(cell))
    command = ["run", lecture, "--data", "five", "--profile", "smoke", "--out", tmp_path / "pages"]
    code, _, error = call(*command, "--classes", "3")
    assert code == 0, error
    assert ">3\n<" in (tmp_path / "pages" / "01_data.html").read_text()
    assert "TINYLAB_CLASSES" not in os.environ
    code, _, error = call(*command, "--classes", "9")
    assert code == 2
    assert "classes=9; five has 5" in error
    code, _, error = call(*command, "--classes", "1")
    assert (code, error) == (2, "tinylab: classes 1 is not possible. Allowed: a whole number from 2\n")
