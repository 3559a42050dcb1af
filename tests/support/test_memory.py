"""Whether freed blocks really stay in the process: page faults counted in a fresh one."""

import subprocess
import sys

import pytest

from tinylab.support import memory

COUNT = """
import resource, sys, torch
from tinylab.support.memory import keep_freed
if sys.argv[1] == "keep":
    keep_freed()
torch.set_num_threads(1)
def step():
    return torch.ones(16_000_000).sum()  # 64 MB, taken and freed
for _ in range(20):  # until the blocks have found their places
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_large_blocks_are_used_again():
    faults = {
        way: int(subprocess.run([sys.executable, "-c", COUNT, way], capture_output=True, check=True).stdout)
        for way in ("keep", "as it is")
    }
    if faults["as it is"] < 1000:
        pytest.skip("this C library or kernel keeps large blocks by itself")
    assert faults["keep"] < faults["as it is"] / 10


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: pytest.fail("opened a library"))
    memory.keep_freed()


def test_a_library_without_mallopt_is_left_alone(monkeypatch):
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    memory.keep_freed()
