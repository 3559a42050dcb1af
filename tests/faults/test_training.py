"""Faults of training beside those in `tests/training`: memory by other names, one image, other images, lost records."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests import tiny
from tests.faults import kills
from tests.faults.test_checkpoint import training as train_by_command
from tinylab import models
from tinylab.support.errors import InvalidInputError, TinylabError, TrainingError
from tinylab.training import Recipe, train
from tinylab.training.history import History

ROOT = Path(__file__).parents[2]
NORMED = "conv3-4 - batch norm - relu - max pool - fc(8) - batch norm - relu - softmax"
SAID = (
    "MPS backend out of memory (MPS allocated: 8.00 GB, other allocations: 1.00 GB, max allowed: 9.07 GB)",
    "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory",
    "CUDA error: out of memory",
)


@pytest.mark.parametrize("text", SAID)
def test_other_devices_say_out_of_memory_in_a_plain_error(text):
    """out of GPU memory: Apple's GPU and the CPU have no class of their own for it; the run can go on."""
    run = train(tiny.network(), tiny.dataset(), Recipe(epochs=1, batch=32))

    def fail(*_: object) -> None:
        raise RuntimeError(text)

    hook = run.model[0].register_forward_pre_hook(fail)
    with pytest.raises(TrainingError, match=r"ran out of memory with 32 images a batch.*Recipe\(batch=16\)"):
        run.finish()
    hook.remove()
    assert run.finish().last.epoch == 1


def test_another_runtime_error_is_not_taken_for_memory():
    """out of GPU memory: a defect stays a defect."""
    run = train(tiny.network(), tiny.dataset(), Recipe(epochs=1, batch=32))
    run.model[0].register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(RuntimeError("something else")))
    with pytest.raises(RuntimeError, match="something else") as caught:
        run.finish()
    assert not isinstance(caught.value, TinylabError)


def test_memory_that_really_ends():
    """out of GPU memory: the CPU's, with a real limit on this process's child."""

    def with_little_room() -> None:
        import resource

        run = train(tiny.network(), tiny.dataset(), Recipe(epochs=1, batch=32))
        huge = torch.nn.Conv2d(3, 4, 3, padding=1)

        def demand(*_: object) -> None:
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + 50_000_000, resource.RLIM_INFINITY))
            try:
                huge(torch.empty(64, 3, 1024, 1024))
            finally:
                resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

        run.model[0].register_forward_pre_hook(demand)
        with pytest.raises(TrainingError, match="ran out of memory with 32 images a batch"):
            run.finish()

    kills.undisturbed(with_little_room)


@pytest.mark.parametrize("batch", [1, 89])
def test_a_batch_of_one_image_under_batch_norm_is_refused_at_once(batch):
    """bad parameter: 90 images in batches of 89 end with one; torch would say so after most of an epoch."""
    with pytest.raises(InvalidInputError, match=f"with 90 training images, batch {batch} leaves a last batch of one"):
        train(tiny.network(line=NORMED), tiny.dataset(), Recipe(epochs=1, batch=batch))
    train(tiny.network(line=NORMED), tiny.dataset(), Recipe(epochs=1, batch=45)).finish()
    train(tiny.network(), tiny.dataset(), Recipe(epochs=1, batch=89)).finish()  # without batch norm it may


def test_images_of_another_size_than_the_network_s_are_named():
    """another kind of data set: prepared for 16 pixels, a network for 64."""
    with pytest.raises(InvalidInputError, match=r"cannot take an image of 3×16×16 .*size=16"):
        train(models.build(tiny.LINE, 3), tiny.dataset(), Recipe(epochs=1))
    train(models.build(tiny.LINE, 3, size=16), tiny.dataset(), Recipe(epochs=1)).finish()


def test_a_history_nested_too_deeply_is_refused(tmp_path):
    """loading a record executes nothing: nor does it exhaust the stack."""
    path = tmp_path / "deep.json"
    path.write_text("[" * 100_000)
    with pytest.raises(TrainingError, match=r"deep\.json: "):
        History.load(path)


def test_a_run_killed_after_its_last_checkpoint_gets_its_whole_history(crafting, members, tmp_path, root):
    """killed during a checkpoint: between it and the history beside it; the next call writes what is missing."""
    source, out = crafting.zip(tmp_path / "tiny.zip", members), tmp_path / "out"
    with pytest.raises(SystemExit, match="0"):
        train_by_command(source, out)
    whole = History.load(out / "history.json")
    replace(whole, epochs=whole.epochs[:-1]).save(out / "history.json")
    (out / "curves.png").unlink()
    with pytest.raises(SystemExit, match="0"):
        train_by_command(source, out)
    assert History.load(out / "history.json") == whole
    assert (out / "curves.png").exists()


FORKS = """
import os, torch
from tests import tiny
from tinylab.training import Recipe, train

def trained():
    return train(tiny.network(), tiny.dataset(), Recipe(epochs=1, batch=16)).finish().last.train_loss
def shared():  # large enough for both threads
    return float(torch.linspace(0, 1, 1_000_000).sin().sum())
here = (trained(), shared())
child = os.fork()
if child == 0:
    os._exit(0 if (trained(), shared()) == here else 1)
print(os.waitpid(child, 0)[1], (trained(), shared()) == here)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="GNU's OpenMP only")
def test_a_child_forked_after_a_training_trains_too():
    """forking after training: the child has its parent's team of threads in name only, and used to wait for it."""
    environment = os.environ | {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"}  # no spinning on a busy machine
    command = ["timeout", "-s", "KILL", "300", sys.executable, "-c", FORKS]  # the child, too: it holds the output open
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "0 True\n", done.stderr
