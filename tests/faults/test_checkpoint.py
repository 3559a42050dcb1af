"""Faults of checkpoints beside those in `tests/test_checkpoints.py`: kills, limits, several writers, bad parts."""

import contextlib
import hashlib
import io
import os
import pickle
import random
import re
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import tiny
from tests.faults import kills
from tinylab import figures
from tinylab.data import loading
from tinylab.support.errors import FileError, TinylabError, TrainingError
from tinylab.tools import cli
from tinylab.training import History, Recipe, checkpoints, train
from tinylab.training.checkpoints import Checkpoint

IMPORTED = (figures, loading)  # here, and by `state`, so that a kill does not fall into importing them
RECIPE = Recipe(epochs=1, batch=32, l2=0.01, dropout=0.25)


@pytest.fixture(scope="module")
def state() -> Checkpoint:
    run = train(tiny.network(), tiny.dataset(), RECIPE)
    run.finish()
    return run.state()


@pytest.fixture
def path(state, tmp_path) -> Path:
    checkpoints.save(tmp_path / "run.ckpt", state)
    return tmp_path / "run.ckpt"


# ---- killed during a checkpoint


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_sigkill_at_100_random_instants_never_costs_the_checkpoint(state, path):
    """killed during a checkpoint: a child that writes without pause; the previous one, or the next, is whole."""
    dice = random.Random(12)
    print("seed 12")

    def write() -> None:
        for epoch in range(1, 1_000_000):
            checkpoints.save(path, replace(state, epoch=epoch))

    strays = 0
    for _ in range(100):
        assert kills.killed(write, dice.uniform(0.001, 0.02))
        assert torch.equal(checkpoints.load(path).model["conv3-4.weight"], state.model["conv3-4.weight"])
        strays += len(list(path.parent.iterdir())) > 1
    assert strays > 0  # some of the hundred were hit while a temporary file was there
    checkpoints.save(path, state)
    assert list(path.parent.iterdir()) == [path]  # and those are swept


def test_strays_are_swept_whatever_the_name(state, tmp_path):
    """killed during a checkpoint: also with characters in the name that mean something in a pattern."""
    path = tmp_path / "run [1]*.ckpt"
    (tmp_path / ".run [1]*.ckpt.0123abcd.tmp").write_bytes(b"half")
    (tmp_path / ".run 1x.ckpt.0123abcd.tmp").write_bytes(b"another's")
    checkpoints.save(path, state)
    assert {p.name for p in tmp_path.iterdir()} == {path.name, ".run 1x.ckpt.0123abcd.tmp"}


def test_several_processes_write_one_file(state, path):
    """killed during a checkpoint: nobody's temporary file is taken for a stray so that a write fails."""

    def write(number: int) -> None:
        for _ in range(40):
            checkpoints.save(path, replace(state, epoch=number))

    kills.together(*[lambda number=number: write(number) for number in (1, 2, 3)])
    assert checkpoints.load(path).epoch in (1, 2, 3)
    assert list(path.parent.iterdir()) == [path]


def test_a_training_killed_at_random_instants_ends_as_if_undisturbed(crafting, members, state, tmp_path, root):
    """resume: `tinylab train` killed again and again, and each time resumed by the next process, byte for byte."""
    source = crafting.zip(tmp_path / "tiny.zip", members)
    whole, hurt = tmp_path / "whole", tmp_path / "hurt"
    kills.undisturbed(lambda: training(source, whole))
    dice, count = random.Random(3), 0
    instants = [dice.uniform(0.1, 0.8) for _ in range(4)]
    print(instants)
    for instant in instants:
        count += kills.killed(lambda: training(source, hurt), instant)
    assert count >= 1
    kills.undisturbed(lambda: training(source, hurt))
    assert result(hurt) == result(whole)


def training(source: Path, out: Path) -> None:
    """What a user types, and types again with --resume."""
    torch.set_num_threads(1)
    line = "conv3-4 - batch norm - relu - max pool - max pool - fc(8) - relu - dropout - softmax"
    resume = ["--resume"] if (out / "checkpoint.pt").exists() else []
    quiet = [
        "--data",
        str(source),
        "--device",
        "cpu",
        "--recipe",
        "well",
        "--batch",
        "8",
        "--epochs",
        "6",
        "--dropout",
        "0.3",
    ]
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        cli.main(["train", line, "--out", str(out), *quiet, *resume])


def result(out: Path) -> tuple[dict[str, bytes], list[dict[str, float]]]:
    """Weights and optimizer byte for byte, and the history without its timings."""
    saved = checkpoints.load(out / "checkpoint.pt")
    weights = {name: value.numpy().tobytes() for name, value in saved.model.items()}
    for number, part in saved.optimizer["state"].items():
        weights |= {f"{number} {name}": torch.as_tensor(value).numpy().tobytes() for name, value in part.items()}
    epochs = [asdict(epoch) for epoch in History.from_dict(saved.history).epochs]
    return weights, [{k: v for k, v in e.items() if k not in ("seconds", "images_per_second")} for e in epochs]


# ---- disk full


@pytest.mark.parametrize("room", [0, 10, 1_000, 10_000])
def test_a_disk_that_fills_while_a_checkpoint_is_written(state, path, room):
    """disk full: file, size and reason; the previous checkpoint is intact and nothing is left beside it."""
    old = path.read_bytes()
    assert len(old) > 10_000

    def with_little_room() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        with pytest.raises(FileError, match=r"run\.ckpt: 0\.0 MB could not be written \(File too large\)"):
            checkpoints.save(path, state)

    kills.undisturbed(with_little_room)
    assert path.read_bytes() == old
    assert list(path.parent.iterdir()) == [path]


# ---- malicious pickle


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, target: Path) -> None:
        self.target = str(target)

    def __reduce__(self) -> object:
        return os.mkdir, (self.target,)


class Indirect(Touch):
    """The same through `exec`, as text."""

    def __reduce__(self) -> object:
        return exec, (f"import os; os.mkdir({self.target!r})",)


class Attribute(Touch):
    """Through a state that `__setstate__` would take."""

    def __reduce__(self) -> object:
        return getattr, (Indirect(Path(self.target)), "target")


def sealed(path: Path, payload: bytes) -> None:
    """With a right head and digest, as an attacker would write it."""
    path.write_bytes(b"tinylab checkpoint 1\n" + hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload)


@pytest.mark.parametrize("where", ["alone", "weight", "history", "list", "key", "optimizer"])
@pytest.mark.parametrize("kind", [Touch, Indirect, Attribute])
def test_a_pickle_that_runs_code_is_refused_wherever_it_hides(state, path, tmp_path, kind, where):
    """malicious pickle: also deep inside an otherwise sound checkpoint."""
    proof = tmp_path / "proof"
    bad = kind(proof)
    norm = state.normalisation
    parts = {field.name: getattr(state, field.name) for field in fields(state)}
    parts["normalisation"] = {"mean": torch.from_numpy(norm.mean), "scale": torch.from_numpy(norm.scale)}
    parts["classes"] = list(state.classes)
    match where:
        case "alone":
            parts = bad
        case "weight":
            parts["model"] = {**state.model, "extra": bad}
        case "history":
            parts["history"] = {**state.history, "deep": {"er": [{"still": bad}]}}
        case "list":
            parts["classes"].append(bad)
        case "key":
            parts["recipe"] = {**state.recipe, bad: 1}
        case "optimizer":
            parts["optimizer"] = {"state": {}, "param_groups": [{"params": [bad]}]}
    for payload in (_torch(parts), pickle.dumps(parts, protocol=2), pickle.dumps(parts, protocol=5)):
        sealed(path, payload)
        with pytest.raises(TrainingError, match=r"run\.ckpt: refused, nothing of it was run") as caught:
            checkpoints.load(path)
        assert "\n" not in str(caught.value)
        assert not proof.exists()
    with contextlib.suppress(AttributeError):
        pickle.loads(pickle.dumps(kind(proof)))
    assert proof.exists()  # the weapon is loaded


def _torch(parts: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(parts, buffer)
    return buffer.getvalue()


# ---- corrupt or foreign checkpoint


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": 3},
        {"architecture": None},
        {"epoch": "many"},
        {"epoch": -1},
        {"classes": []},
        {"classes": [1, 2, 3]},
        {"recipe": []},
        {"history": "none"},
        {"model": []},
        {"model": {"weight": "heavy"}},
        {"model": {3: torch.zeros(1)}},
        {"optimizer": None},
        {"normalisation": {"mean": torch.zeros(2), "scale": torch.ones(3)}},
        {"normalisation": {"mean": torch.full((4, 4, 3), float("nan")), "scale": torch.ones(3)}},
        {"normalisation": None},
        {"unknown": 1},
    ],
    ids=str,
)
def test_a_sealed_file_with_parts_of_another_kind_is_refused(state, path, change):
    """corrupt or foreign checkpoint: a digest proves nothing, whoever wrote the file made it, too."""
    norm = state.normalisation
    parts = {field.name: getattr(state, field.name) for field in fields(state)} | {"classes": list(state.classes)}
    parts["normalisation"] = {"mean": torch.from_numpy(norm.mean), "scale": torch.from_numpy(norm.scale)}
    sealed(path, _torch(parts))
    assert checkpoints.load(path).epoch == 1
    sealed(path, _torch(parts | change))
    with pytest.raises(TrainingError, match=r"run\.ckpt: does not hold a run .*Delete it and train again") as caught:
        checkpoints.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change", [{"architecture": "conv3-4 - softmax"}, {"architecture": "nonsense"}, {"history": {}}, {"model": {}}]
)
def test_parts_that_contradict_each_other_are_told_when_they_are_used(state, path, change):
    """corrupt or foreign checkpoint: right kinds, other architecture; a run that resumes from it is not touched."""
    checkpoints.save(path, replace(state, **change))
    model = tiny.network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(TinylabError) as caught:
        train(model, tiny.dataset(), RECIPE, checkpoint=path, resume=True)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_pipe_is_no_checkpoint(tmp_path):
    """corrupt or foreign checkpoint: reading a pipe would wait for ever."""
    os.mkfifo(tmp_path / "pipe.ckpt")
    with pytest.raises(TrainingError, match=r"pipe\.ckpt: the checkpoint cannot be read \(it is a pipe or a device\)"):
        checkpoints.load(tmp_path / "pipe.ckpt")


def test_random_bytes_behind_a_right_head(path):
    """corrupt or foreign checkpoint: whatever stands there, one line."""
    rng = np.random.default_rng(5)
    for size in (0, 1, 100, 5_000):
        sealed(path, rng.bytes(size))
        with pytest.raises(TrainingError, match=re.escape(str(path))) as caught:
            checkpoints.load(path)
        assert "\n" not in str(caught.value)


assert sys.platform != "win32", "these tests fork"
