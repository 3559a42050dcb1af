"""`tinylab predict`: what it writes equals the network asked directly; bad input is one line and leaves no file."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from tests import tiny
from tinylab import training
from tinylab.course.results import networks
from tinylab.evaluation import images_in, read_submission
from tinylab.tools import cli
from tinylab.training import checkpoints
from tinylab.training.checkpoints import Checkpoint

SIZE = tiny.SIZE


@pytest.fixture
def call(capsys):
    """Runs the command in this process; gives exit code, standard output and standard error."""

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main(["predict", *[str(argument) for argument in arguments], "--device", "cpu"])
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A checkpoint of a tiny trained network."""
    data, path = tiny.dataset(), tmp_path_factory.mktemp("run") / "checkpoint.pt"
    training.train(tiny.network(), data, training.Recipe(epochs=1, batch=30), checkpoint=path).finish()
    return path


@pytest.fixture
def folder(tmp_path):
    """Twelve images named out of numeric order, one of them grey, and what is no image."""
    where = tmp_path / "test" / "images"
    where.mkdir(parents=True)
    data = tiny.dataset()
    for number, pixels in enumerate(data.test.take(slice(0, 12))[0]):
        image = Image.fromarray(pixels)
        image = image.convert("L") if number == 3 else image
        image.save(where / f"test_{number}.JPEG", "JPEG")
    (where / "notes.txt").write_text("not an image")
    return where


def test_predictions_equal_the_network_asked_one_image_at_a_time(call, saved, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("tinylab.evaluation.folder.EVALUATION_BATCH", 5)
    out = tmp_path / "new" / "predictions.txt"
    code, text, error = call(saved, "--images", folder, "--out", out)
    assert code == 0, error
    assert "12 images, 3 classes, on CPU" in text
    checkpoint = checkpoints.load(saved)
    network, norm = checkpoint.network().double(), checkpoint.normalisation
    expected = {}
    for number in range(12):
        pixels = np.asarray(Image.open(folder / f"test_{number}.JPEG").convert("RGB"), np.float64)
        x = torch.from_numpy(((pixels - norm.mean) / norm.scale).transpose(2, 0, 1))[None]
        expected[f"test_{number}.JPEG"] = checkpoint.classes[int(network(x).argmax())]
    assert [line.split()[0] for line in out.read_text().splitlines()] == list(expected)  # numeric order
    assert read_submission(out, checkpoint.classes, expected) == expected
    assert len(set(expected.values())) > 1


def test_the_likeliest_classes_with_their_words(call, saved, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("tinylab.data.load", lambda name: tiny.dataset())
    code, text, _ = call(saved, "--images", folder, "--out", tmp_path / "p.txt", "--top", "2", "--data", "sample")
    assert code == 0
    row = next(line for line in text.splitlines() if line.startswith("test_0.JPEG"))
    found = re.findall(r"(thing \d) +(\d+\.\d)%", row)
    assert len(found) == 2
    assert float(found[0][1]) >= float(found[1][1]) > 0
    said = (tmp_path / "p.txt").read_text().split()[1]
    assert found[0][0] == dict(zip(tiny.dataset().classes, tiny.dataset().words, strict=True))[said]
    code, text, _ = call(saved, "--images", folder, "--out", tmp_path / "p.txt", "--top", "1")
    assert f"{said} " in text  # without --data, the classes' own names
    code, _, error = call(saved, "--images", folder, "--out", tmp_path / "p.txt", "--top", "4")
    assert (code, "top 4 is not possible. Allowed: a whole number from 1 to 3" in error) == (2, True)


def test_a_network_that_comes_with_tinylab(call, saved, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("tinylab.course.results.store.FOLDER", tmp_path)
    packed = networks.pack(checkpoints.load(saved), tiny.dataset().words, 0.5)
    (tmp_path / "laptop_m_seed-0.network.safetensors").write_bytes(packed)
    code, text, error = call("--network", "laptop", "--images", folder, "--out", tmp_path / "p.txt", "--top", "1")
    assert code == 0, error
    assert "thing" in text  # it knows the classes' words
    assert call(saved, "--images", folder, "--out", tmp_path / "q.txt")[0] == 0
    assert (tmp_path / "p.txt").read_text() == (tmp_path / "q.txt").read_text()
    for wrong, words in (
        ([], "which network?"),
        ([saved, "--network", "laptop"], "not both"),
        (["--network", "labtop"], "did you mean 'laptop'"),
    ):
        code, _, error = call(*wrong, "--images", folder, "--out", tmp_path / "r.txt")
        assert (code, words in error) == (2, True), error


def _another_kind(path):
    norm = checkpoints.Normalisation(np.zeros((SIZE, SIZE, 3)), 1.0)
    line = "Transformer"  # what a network outside the notation is described by
    checkpoints.save(path, Checkpoint(line, ("n1", "n2"), norm, {}, {}, 1, {}, {}))


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("no folder", "nowhere: there is no such folder"),
        ("a file", "notes.txt: is a file, not a folder"),
        ("no images", "there are no images in this folder. Expected files that end in .jpeg"),
        ("one above", "there are no images in this folder. did you mean"),
        ("damaged", "test_7.JPEG is damaged"),
        ("wrong size", f"test_7.JPEG has 32×32 pixels; expected {SIZE}×{SIZE}"),
        ("no checkpoint", "there is no checkpoint here"),
        ("not a checkpoint", "this is not a tinylab checkpoint"),
        ("another network", "network, 'Transformer', cannot be built again"),
        ("spaces", "has spaces, which separate the columns"),
        ("out is a folder", "is a folder. Name a file"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_file(call, saved, folder, tmp_path, what, words):
    checkpoint, images, out = saved, folder, tmp_path / "out" / "p.txt"
    out.parent.mkdir()
    if what == "no folder":
        images = tmp_path / "nowhere"
    elif what == "a file":
        images = folder / "notes.txt"
    elif what == "no images":
        images = tmp_path / "out"
    elif what == "one above":
        images = folder.parent
    elif what == "damaged":
        (folder / "test_7.JPEG").write_bytes((folder / "test_7.JPEG").read_bytes()[:300])
    elif what == "wrong size":
        Image.new("RGB", (32, 32)).save(folder / "test_7.JPEG")
    elif what == "no checkpoint":
        checkpoint = tmp_path / "absent.pt"
    elif what == "not a checkpoint":
        checkpoint = folder / "notes.txt"
    elif what == "another network":
        _another_kind(checkpoint := tmp_path / "other.pt")
    elif what == "spaces":
        (folder / "test_7.JPEG").rename(folder / "test 7.JPEG")
    else:
        out = out.parent
    code, _, error = call(checkpoint, "--images", images, "--out", out)
    assert words in error
    assert error.startswith("tinylab: ")
    assert error.count("\n") == 1, error
    assert code == 2
    assert list((tmp_path / "out").iterdir()) == []


def test_an_old_file_survives_a_failed_run_and_a_good_one_replaces_it(call, saved, folder, tmp_path):
    out = tmp_path / "p.txt"
    out.write_text("old")
    (folder / "test_11.JPEG").write_bytes(b"")
    assert call(saved, "--images", folder, "--out", out)[0] == 2
    assert out.read_text() == "old"
    (folder / "test_11.JPEG").unlink()
    assert call(saved, "--images", folder, "--out", out)[0] == 0
    assert len(out.read_text().splitlines()) == 11


def test_images_are_listed_in_numeric_order(folder):
    assert [path.name for path in images_in(folder)] == [f"test_{number}.JPEG" for number in range(12)]
