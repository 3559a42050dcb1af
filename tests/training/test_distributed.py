"""One training on two processes, started by torchrun as a user would: the same as on one."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests import tiny
from tests.data.crafted import craft, write_folder
from tests.training import member
from tests.training.made import CPU, DATA, by_hand
from tinylab.support.errors import InvalidInputError, TrainingError
from tinylab.tools import cli
from tinylab.training import History, Recipe, checkpoints, train
from tinylab.training.distributed import ALONE, Team, check, join

ROOT = Path(__file__).parents[2]
PATIENCE = 240  # seconds, for a busy machine; never waited for otherwise


def torchrun(*words: object, **env: str) -> subprocess.CompletedProcess[str]:
    """Two processes on this machine that find each other at a free port."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    return subprocess.run(
        [*command, *map(str, words)], cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"} | env,
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def together(tmp_path_factory) -> tuple[Path, str]:
    """What the two processes left, and what they said on standard error."""
    folder = tmp_path_factory.mktemp("together")
    done = torchrun("tests.training.member", folder, "all")
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, done.stderr


def weights(folder: Path, case: str, rank: int) -> dict[str, torch.Tensor]:
    return torch.load(folder / f"{case}.{rank}.weights", weights_only=True)


@pytest.mark.parametrize("case", ["adam", "sgd", "resumed"])
def test_two_processes_learn_what_one_learns(together, case):
    """Same batches, mean over the whole batch although it is shared 4 : 3, the last one 1 : 0."""
    run = member.training(case, None)
    alone = run.finish()
    other = History.load(together[0] / f"{case}.0.json")
    assert len(other.epochs) == len(alone.epochs)
    for name in ("running_loss", "running_accuracy", "train_loss", "validation_loss", "penalty", "learning_rate"):
        assert other.column(name) == pytest.approx(alone.column(name), rel=1e-3), name
    for name, value in weights(together[0], case, 0).items():
        torch.testing.assert_close(value, run.model.state_dict()[name], rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize("case", member.CASES)
def test_both_processes_hold_the_same_network_and_the_same_record(together, case):
    one, other = (weights(together[0], case, rank) for rank in (0, 1))
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    first, second = (History.load(together[0] / f"{case}.{rank}.json") for rank in (0, 1))
    timeless = [[replace(e, seconds=1, images_per_second=1) for e in history.epochs] for history in (first, second)]
    assert timeless[0] == timeless[1]


@pytest.mark.parametrize("case", member.CASES)
def test_the_record_is_of_the_network_and_all_images(together, case):
    """Also with dropout, mixing and batch normalisation, where two processes cannot learn what one does."""
    network = checkpoints.load(together[0] / f"{case}.pt").network()
    for name, value in network.state_dict().items():
        assert torch.equal(value, weights(together[0], case, 0)[name])
    data = member.data()
    last = History.load(together[0] / f"{case}.0.json").last
    exact = by_hand(network, data.development, data.normalisation)
    assert (last.validation_loss, last.validation_accuracy) == pytest.approx(exact, rel=1e-4)


def test_only_one_process_shows(together):
    assert "epoch 2/2" in together[1]
    bars = re.findall(r"\| 0/\d+ ", together[1])
    assert len(bars) == len(member.CASES) + 1  # one each; the run that was resumed had two


def test_a_process_that_fails_ends_the_others(tmp_path):
    done = torchrun("tests.training.member", tmp_path, "fail")
    assert done.returncode != 0
    assert "the disk of rank 1 is gone" in done.stderr


# ---- as a user starts it


def test_the_command_line_under_torchrun(tmp_path, monkeypatch, capsys):
    source = write_folder(tmp_path / "images", craft())
    line = "conv3-2 - relu - max pool - max pool - fc(4) - relu - softmax"
    words = ["train", line, "--data", source, "--epochs", 2, "--batch", 8, "--recipe", "plain", "--device", "cpu"]
    done = torchrun("tinylab", *words, "--out", tmp_path / "two", TINYLAB_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("epoch 2 of 2") == 1
    monkeypatch.setenv("TINYLAB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(SystemExit) as ended:
        cli.main([*map(str, words), "--out", str(tmp_path / "one")])
    assert ended.value.code == 0, capsys.readouterr().err
    one, two = (checkpoints.load(tmp_path / name / "checkpoint.pt") for name in ("one", "two"))
    for name, value in two.model.items():
        torch.testing.assert_close(value, one.model[name], rtol=2e-3, atol=2e-5)
    assert len(History.load(tmp_path / "two" / "history.json").epochs) == 2
    assert (tmp_path / "two" / "checkpoint.best.pt").exists()


# ---- who is who


def test_alone_nothing_is_asked_and_nothing_changes():
    assert join(CPU) == ALONE
    model, values = tiny.network(), torch.tensor([1.0, 2.0])
    assert ALONE.wrap(model, CPU) is model
    assert ALONE.mean(values, 1.0) is values
    assert ALONE.gradient_of(values, 1.0) is values
    assert ALONE.part(DATA.train) is DATA.train
    ALONE.explain(RuntimeError("a defect"))  # stays what it is


def test_parts_are_each_image_once():
    parts = [Team(rank, 4).part(DATA.development).index.tolist() for rank in range(4)]
    assert sorted(row for part in parts for row in part) == sorted(DATA.development.index.tolist())
    assert [len(part) for part in parts] == [8, 8, 7, 7]


def test_more_processes_than_images():
    with pytest.raises(InvalidInputError, match="batch of 3 images cannot be shared by 4 processes"):
        check(Team(0, 4), 3)
    with pytest.raises(InvalidInputError, match="'development' has 30 images for 31 processes"):
        check(Team(0, 31), 64, DATA.train, DATA.development)


def test_a_lost_connection_is_explained_on_one_line():
    with pytest.raises(TrainingError, match=r"process 1 of 2 cannot go on \(Connection closed by peer") as caught:
        Team(1, 2).explain(RuntimeError("Connection closed\n by peer [127.0.0.1]"))
    assert "\n" not in str(caught.value)
    Team(1, 2).explain(TrainingError("loss is nan"))  # its own line stays


def test_a_run_without_torchrun_is_alone():
    assert train(tiny.network(), DATA, Recipe(), device=CPU).team == ALONE
