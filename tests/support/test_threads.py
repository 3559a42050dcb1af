"""Whether a thread really lets its team go, and computes the same with the next: seen from outside, in /proc."""

import subprocess
import sys

import pytest
import torch

from tinylab.support import threads

COUNT = """
import os, torch
from tinylab.support.threads import release_team
torch.set_num_threads(2)
def threads():
    return len(os.listdir("/proc/self/task"))
before = threads()
x = torch.linspace(0, 1, 1_000_000)
expected = (x.sin() * x).sum()
founded = threads()
release_team()
left = threads()
assert torch.get_num_threads() == 2
assert torch.equal((x.sin() * x).sum(), expected)
print(founded - before, left - before, threads() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="GNU's OpenMP only")
def test_a_team_is_let_go_and_founded_again():
    out = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, check=True, text=True).stdout
    assert out.split() == ["1", "0", "1"]


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(threads.ctypes, "CDLL", lambda name: pytest.fail("opened a library"))
    threads.release_team()


@pytest.mark.parametrize("names", [(), ("omp_pause_resource_all", "__kmpc_fork_call")])
def test_other_runtimes_are_left_alone(monkeypatch, names):
    library = type("Library", (), {name: lambda *_: pytest.fail("called") for name in names})
    monkeypatch.setattr(threads.ctypes, "CDLL", lambda name: library())
    threads.release_team()


@pytest.mark.parametrize(("kind", "threads_", "spare"), [("cpu", 4, False), ("cpu", 3, True), ("cuda", 4, True)])
def test_a_core_is_spare_if_training_leaves_one(monkeypatch, kind, threads_, spare):
    monkeypatch.setattr(threads, "core_count", lambda: 4)
    monkeypatch.setattr(threads.torch, "get_num_threads", lambda: threads_)
    assert threads.spare_core(torch.device(kind)) is spare
