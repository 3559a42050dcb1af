"""Data sets of the same layout but another kind: each is handled, resized when asked, or refused in one clear line."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.data.crafted import write_folder, write_zip
from tinylab import models, training
from tinylab.data import load, open_cache, prepare
from tinylab.data.decode import LARGEST, Wanted, decode
from tinylab.support.errors import DataError, InvalidInputError
from tinylab.training import Recipe

RESIZED = Wanted(resize=True)
pytestmark = pytest.mark.usefixtures("root")


def image(seed: int, size=(64, 64), mode: str = "RGB", kind: str = "JPEG") -> bytes:
    shape = (size[1], size[0], 3)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, kind)
    return stream.getvalue()


def turned(pixels: np.ndarray, kind: str = "JPEG") -> bytes:
    """An image that says it was taken upside down."""
    exif = Image.Exif()
    exif[0x0112] = 3
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, exif=exif)
    return stream.getvalue()


def made(counts: dict[str, int], suffix: str = "JPEG", words: bool = True, test: int = 0, **kind) -> dict[str, bytes]:
    """A data set with so many training images of each class, and one validation image of each."""
    content = {"wnids.txt": "".join(f"{wnid}\n" for wnid in counts).encode()}
    seed, lines = 0, []
    for number, (wnid, count) in enumerate(counts.items()):
        for position in range(count):
            seed += 1
            content[f"train/{wnid}/images/{wnid}_{position}.{suffix}"] = image(seed, **kind)
        content[f"val/images/val_{number}.{suffix}"] = image(1000 + number, **kind)
        lines.append(f"val_{number}.{suffix}\t{wnid}\t0\t0\t1\t1\n")
    content["val/val_annotations.txt"] = "".join(lines).encode()
    for number in range(test):
        content[f"test/images/test_{number}.{suffix}"] = image(2000 + number, **kind)
    if words:
        content["words.txt"] = "".join(f"{wnid}\tthing {wnid}\n" for wnid in counts).encode()
    return content


HANDLED = {
    "two classes": made({"a": 4, "b": 4}),
    "many classes": made({f"k{i}": 2 for i in range(40)}),
    "unequal classes": made({"a": 3, "b": 9, "c": 2}),
    "PNG": made({"a": 3, "b": 3}, "png", kind="PNG"),
    "JPG, a PNG in truth": made({"a": 3, "b": 3}, "jpg", kind="PNG"),
    "all grey": made({"a": 3, "b": 3}, mode="L"),
    "no words": made({"cat": 3, "dog": 3}, words=False),
    "no test": made({"a": 3, "b": 3}, test=0),
    "names with spaces": made({"a cat": 3, "ein Hünd": 3}),
}


@pytest.mark.parametrize("case", HANDLED)
def test_these_are_loaded_and_trained_on(tmp_path, case):
    """another kind of data set: handled, from the folder to a trained epoch."""
    data = load(write_folder(tmp_path / "set", HANDLED[case]))
    counts = [name.split("/")[1] for name in HANDLED[case] if name.startswith("train/")]
    assert len(data.train) + len(data.development) == len(counts)
    assert len(data.classes) == len(set(counts))
    assert set(data.words) == ({f"thing {c}" for c in data.classes} if case != "no words" else {"cat", "dog"})
    assert data.train.greyscale.all() == (case == "all grey")
    model = models.build("max pool - max pool - max pool - max pool - softmax", len(data.classes))
    history = training.train(model, data, Recipe(epochs=1, batch=8)).finish()
    assert np.isfinite(history.last.train_loss)


def test_one_class_loads_and_cannot_be_told_from_others(tmp_path):
    """another kind of data set: one class is a data set; there is nothing to train."""
    data = load(write_zip(tmp_path / "one.zip", made({"a": 5})))
    assert data.classes == ("a",)
    with pytest.raises(InvalidInputError, match=r"classes 1 is not possible\. Allowed: a whole number from 2"):
        models.build("model_1", len(data.classes))


def test_a_class_of_one_image_cannot_be_divided(tmp_path):
    """another kind of data set: too few to hold any out; and how to load it all the same."""
    path = write_zip(tmp_path / "few.zip", made({"a": 5, "b": 1}))
    with pytest.raises(InvalidInputError, match=r"class b, which has 1; use a smaller share, or 0"):
        load(path)
    assert len(load(path, development=0).train) == 6


# ---- sizes


@pytest.mark.parametrize(
    ("size", "kind"), [((1, 1), "PNG"), ((64, 48), "JPEG"), ((65, 64), "PNG"), ((640, 480), "JPEG")]
)
def test_other_sizes_are_named_or_made_to_fit(tmp_path, size, kind):
    """another kind of data set: refused with the remedy, handled when a resize is asked for."""
    path = write_zip(tmp_path / "sized.zip", made({"a": 2, "b": 2}, size=size, kind=kind, test=1))
    with pytest.raises(DataError) as caught:
        load(path)
    assert f"{size[0]}×{size[1]} pixels; expected 64×64, or ask for a resize" in str(caught.value)
    assert "\n" not in str(caught.value)
    prepare(path, "fitted", resize=True, progress=False)
    assert open_cache("fitted").manifest["resized"]
    assert load("fitted").train.images.shape == (4, 64, 64, 3)


def test_a_resize_keeps_the_middle_and_the_camera_s_way_up():
    """another kind of data set: the shorter side fits, the middle stays, an EXIF turn is obeyed; grey stays grey."""
    wide = np.zeros((60, 120, 3), np.uint8)
    wide[:, 30:90] = (200, 100, 50)  # the square in the middle
    wide[:, :30] = (0, 0, 255)
    stream = io.BytesIO()
    Image.fromarray(wide).save(stream, "PNG")
    pixels, grey, _ = decode(stream.getvalue(), Wanted(20, resize=True), "x")
    assert pixels.shape == (20, 20, 3)
    assert not grey
    np.testing.assert_allclose(pixels[:, 2:18], np.broadcast_to((200, 100, 50), (20, 16, 3)), atol=2)
    top = np.zeros((128, 128, 3), np.uint8)
    top[:32] = 255
    pixels = decode(turned(top), RESIZED, "x")[0]
    assert pixels[-8:].mean() > 240 > 10 > pixels[:8].mean()
    stream = io.BytesIO()
    Image.fromarray(top).convert("L").save(stream, "JPEG")
    assert decode(stream.getvalue(), RESIZED, "x")[1]


def test_images_that_fit_are_the_same_with_and_without_a_resize(source):
    """another kind of data set: a resize changes nothing that fits; what the camera held upside down is turned."""
    prepare(source, "plain", progress=False)
    prepare(source, "resized", resize=True, progress=False)
    one, other = open_cache("plain"), open_cache("resized")
    np.testing.assert_array_equal(one.train.images, other.train.images)
    np.testing.assert_array_equal(one.train.greyscale, other.train.greyscale)
    for kind in ("JPEG", "PNG"):
        raw = turned(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8), kind)
        np.testing.assert_array_equal(decode(raw, RESIZED, "x")[0], decode(raw, Wanted(), "x")[0])


def test_asking_again_without_a_resize_does_not_take_the_resized_one(tmp_path, caplog):
    """another kind of data set: what was made to fit is not passed off as what fits."""
    path = write_zip(tmp_path / "sized.zip", made({"a": 2, "b": 2}, size=(80, 80)))
    prepare(path, "x", resize=True, progress=False)
    prepare(path, "x", resize=True, progress=False)
    assert "rebuilding" not in caplog.text
    with pytest.raises(DataError, match="80×80 pixels; expected 64×64"):
        prepare(path, "x", progress=False)
    assert "x: prepared with other images made to fit, rebuilding" in caplog.text
    assert len(load("x").train) == 2  # and the old one is still there


def test_an_image_too_large_to_resize_is_refused_by_its_header():
    """another kind of data set: a few bytes that claim to be a poster."""
    stream = io.BytesIO()
    Image.new("1", (9_000, 9_000)).save(stream, "PNG")
    assert LARGEST < 9_000**2
    with pytest.raises(DataError, match=r"x has 9000×9000 pixels; expected at most 50,000,000 of them"):
        decode(stream.getvalue(), RESIZED, "x")
