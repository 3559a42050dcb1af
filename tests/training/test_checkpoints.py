"""Checkpoints: what comes back, and every way in which a file can be bad."""

import hashlib
import io
import os
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests import tiny
from tinylab import models
from tinylab.evaluation import predict
from tinylab.support.errors import FileError, TrainingError
from tinylab.training import History, Recipe, checkpoints, train


@pytest.fixture(scope="module")
def run():
    run = train(tiny.network(), tiny.dataset(), Recipe(epochs=1, batch=32, l2=0.01, dropout=0.25))
    run.finish()
    return run


@pytest.fixture
def path(run, tmp_path):
    path = tmp_path / "run.ckpt"
    checkpoints.save(path, run.state())
    return path


def test_everything_comes_back(run, path):
    back, state = checkpoints.load(path), run.state()
    assert back.architecture == "conv3-4 - relu - max pool - fc(8) - relu - dropout(0.25) - softmax"
    assert back.classes == ("n00000000", "n00000001", "n00000002")
    assert (back.epoch, back.recipe, back.history) == (1, state.recipe, state.history)
    assert History.from_dict(back.history) == run.history
    np.testing.assert_array_equal(back.normalisation.mean, run.normalisation.mean)
    np.testing.assert_array_equal(back.normalisation.scale, run.normalisation.scale)
    for name, value in state.model.items():
        assert torch.equal(back.model[name], value)
    for number, part in state.optimizer["state"].items():
        assert all(torch.equal(value, back.optimizer["state"][number][key]) for key, value in part.items())
    assert back.optimizer["param_groups"] == state.optimizer["param_groups"]


def test_the_network_predicts_as_before(run, path):
    data = tiny.dataset()
    back = checkpoints.load(path)
    network = back.network()
    assert not network.training
    before = predict(run.model, data.validation, run.normalisation)
    after = predict(network, data.validation, back.normalisation)
    np.testing.assert_array_equal(before.probabilities, after.probabilities)


def test_head_says_what_the_file_is_and_holds_the_digest(path):
    kind, digest, payload = path.read_bytes().split(b"\n", 2)
    assert kind == b"tinylab checkpoint 1"
    assert digest.decode() == hashlib.sha256(payload).hexdigest()


# ---- bad files


def refused(path, said):
    with pytest.raises(TrainingError, match=said) as caught:
        checkpoints.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_folder(tmp_path):
    refused(tmp_path / "none.ckpt", "there is no checkpoint here")
    refused(tmp_path, "cannot be read")


def test_empty(path):
    path.write_bytes(b"")
    refused(path, "is empty")


@pytest.mark.parametrize("share", [0.001, 0.3, 0.99])
def test_truncated(path, share):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    refused(path, "not a tinylab checkpoint|damaged")


def test_every_flipped_bit_is_found(path):
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for position in [0, 30, 90, len(whole) - 1, *rng.integers(90, len(whole), 40)]:
        broken = bytearray(whole)
        broken[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(broken)
        refused(path, "damaged|not a tinylab checkpoint")


def test_appended_bytes_are_found(path):
    path.write_bytes(path.read_bytes() + b"\0")
    refused(path, "damaged")


@pytest.mark.parametrize("content", [b"hello", b"\x89PNG\r\n\x1a\n\0\0", b"a\nb\nc\nd", b"\n\n\n", bytes(300)])
def test_foreign_file(path, content):
    path.write_bytes(content)
    refused(path, "not a tinylab checkpoint")


def test_a_plain_torch_file_is_foreign(path):
    torch.save({"a": torch.zeros(2)}, path)
    refused(path, "not a tinylab checkpoint")


def test_another_format_version(path):
    path.write_bytes(path.read_bytes().replace(b"checkpoint 1\n", b"checkpoint 2\n", 1))
    refused(path, "has format 2, this tinylab reads 1")


def test_a_checkpoint_from_before_the_field_was_called_architecture(run, path):
    now, buffer = checkpoints.load(path), io.BytesIO()
    parts = torch.load(io.BytesIO(path.read_bytes().split(b"\n", 2)[2]), weights_only=True)
    torch.save({"line" if key == "architecture" else key: value for key, value in parts.items()}, buffer)
    sealed(path, buffer.getvalue())
    assert checkpoints.load(path).architecture == now.architecture


def sealed(path, payload: bytes) -> None:
    """With a right head and digest, as an attacker or a careless program would write it."""
    head = b"tinylab checkpoint 1\n" + hashlib.sha256(payload).hexdigest().encode() + b"\n"
    path.write_bytes(head + payload)


class Malicious:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("way", ["torch", "pickle"])
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(path, tmp_path, way):
    target = tmp_path / "proof"
    buffer = io.BytesIO()
    torch.save({"architecture": Malicious(target)}, buffer)
    sealed(path, buffer.getvalue() if way == "torch" else pickle.dumps(Malicious(target), protocol=2))
    refused(path, "refused")
    assert not target.exists()


@pytest.mark.parametrize("content", [{}, {"architecture": "relu - softmax"}, [1, 2], "text", {"normalisation": 3}])
def test_right_head_wrong_content(path, content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    sealed(path, buffer.getvalue())
    refused(path, "does not hold a run")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epoch": True}, "epoch True .* Allowed: a whole number"),
        ({"epoch": -1}, "epoch -1 .* Allowed: 0 or more"),
        ({"classes": ()}, r"classes \(\) .* Allowed: at least 1"),
        ({"history": []}, r"history \[\] .* Allowed: a table"),
        ({"model": {"fc.weight": 1.0}}, "model.fc.weight 1.0 .* Allowed: an instance of Tensor"),
    ],
)
def test_a_part_of_another_kind(run, path, changes, said):
    checkpoints.save(path, replace(run.state(), **changes))
    refused(path, said)


# ---- writing


class Crash(BaseException):
    """Stands for the process being killed: nothing may catch it."""


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_killed_while_writing_leaves_the_old_one_and_the_stray_is_swept(run, path, monkeypatch, where):
    old = path.read_bytes()

    def crash(*args):
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(os, where, crash)
        with pytest.raises(Crash):
            checkpoints.save(path, replace(run.state(), epoch=7))
    assert path.read_bytes() == old
    assert len(list(path.parent.iterdir())) == 2
    checkpoints.save(path, replace(run.state(), epoch=8))
    assert list(path.parent.iterdir()) == [path]
    assert checkpoints.load(path).epoch == 8


def test_a_full_disk_is_named_and_the_old_one_stays(run, path, monkeypatch):
    old = path.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match=r"run\.ckpt: 0\.0 MB could not be written \(No space left"):
        checkpoints.save(path, run.state())
    assert path.read_bytes() == old
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_cannot_be_made(run, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FileError, match="could not be written"):
        checkpoints.save(tmp_path / "file" / "run.ckpt", run.state())


def test_other_checkpoints_temporaries_are_left_alone(run, path):
    neighbour = path.with_name(".other.ckpt.1234abcd.tmp")
    neighbour.write_bytes(b"being written")
    checkpoints.save(path, run.state())
    assert neighbour.exists()


def test_a_modern_network_comes_back_by_its_name(tmp_path):
    network = models.build("modern-small", classes=3)
    run = train(network, tiny.dataset(), Recipe(epochs=1, batch=32), checkpoint=tmp_path / "run.pt")
    run.finish()
    back = checkpoints.load(tmp_path / "run.pt").network()
    x = torch.randn(2, 3, tiny.SIZE, tiny.SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(back(x), network.eval()(x))  # weights lie differently in memory
