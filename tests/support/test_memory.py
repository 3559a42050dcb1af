"""Whether freed blocks really stay in the process (page faults counted in a fresh one), and how much is left."""

import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest

from tinylab.support import cgroups, memory
from tinylab.support.memory import available_memory

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


# ---------------------------------------------------------------- what is left

GB = 10**9


@pytest.fixture
def container(monkeypatch, tmp_path):
    """A machine with 16 GB free, this process holding 1 GB of it, in a control group with these files."""
    monkeypatch.delenv(memory.VARIABLE, raising=False)
    monkeypatch.setattr(cgroups, "ROOT", tmp_path / "fs")
    monkeypatch.setattr(cgroups, "OWN", tmp_path / "own")
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=16 * GB))
    held = SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=GB))
    monkeypatch.setattr(memory.psutil, "Process", lambda: held)

    def make(own="", files=()):
        (tmp_path / "own").write_text(own)
        for name, text in dict(files).items():
            file = tmp_path / "fs" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(str(text))

    return make


def test_without_a_limit_it_is_what_the_machine_has(container):
    assert available_memory() == 16 * GB  # no control groups at all: Windows, macOS
    container("0::/\n", {"memory.max": "max\n", "memory.current": 5 * GB})
    assert available_memory() == 16 * GB


def test_version_2_leaves_files_pages_out(container):
    stat = f"anon {GB}\ninactive_file {GB // 2}\n"
    container("0::/pod\n", {"pod/memory.max": 2 * GB, "pod/memory.current": 3 * GB // 2, "pod/memory.stat": stat})
    assert available_memory() == GB
    container("0::/pod\n", {"memory.max": 2 * GB, "memory.current": 7 * GB // 4})  # the pod's parent is fuller
    assert available_memory() == GB // 4


def test_version_1(container):
    files = {
        "memory/memory.limit_in_bytes": 2 * GB,
        "memory/memory.usage_in_bytes": GB,
        "memory/memory.stat": f"inactive_file 7\ntotal_inactive_file {GB // 4}\n",
    }
    container("4:memory:/docker/of/the/host\n", files)
    assert available_memory() == GB + GB // 4


def test_a_group_that_is_over_its_limit_leaves_nothing(container):
    container("0::/\n", {"memory.max": GB, "memory.current": 2 * GB})
    assert available_memory() == 0


def test_a_hub_tells_its_limit(container, monkeypatch):
    for told, expected in {"3000000000": 2 * GB, "0": 16 * GB, "": 16 * GB, "2G": 16 * GB}.items():
        monkeypatch.setenv("MEM_LIMIT", told)
        assert available_memory() == expected


def test_this_machine_has_some_left(monkeypatch):
    monkeypatch.delenv(memory.VARIABLE, raising=False)
    assert 0 < available_memory() <= psutil.virtual_memory().total
