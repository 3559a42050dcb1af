"""How many cores are counted: bound to some of them, in containers of both kinds, and on systems without either."""

import os

import pytest

from tinylab.support import cgroups
from tinylab.support.cores import core_count


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with so many cores, of which this process may use some, and files of control groups."""
    monkeypatch.setattr(cgroups, "ROOT", tmp_path / "fs")
    monkeypatch.setattr(cgroups, "OWN", tmp_path / "own")

    def make(cores, bound=None, own="", files=()):
        monkeypatch.setattr(os, "cpu_count", lambda: cores)
        if bound is None:
            monkeypatch.delattr(os, "sched_getaffinity", raising=False)
        else:
            monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(bound)), raising=False)
        if own:
            (tmp_path / "own").write_text(own)
        for name, text in dict(files).items():
            file = tmp_path / "fs" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    return make


def test_without_a_container(machine):
    for cores, bound, expected in ((8, 3, 3), (8, None, 8), (None, None, 1)):
        machine(cores, bound)
        assert core_count() == expected


def test_version_2(machine):
    for quota, expected in {"max 100000": 8, "150000 100000": 2, "20000 100000": 1, "nonsense": 8, "": 8}.items():
        machine(8, 8, "0::/\n", {"cpu.max": quota})
        assert core_count() == expected


def test_version_1(machine):
    for quota, expected in {"-1": 8, "250000": 3, "1000": 1}.items():
        files = {"cpu,cpuacct/cpu.cfs_quota_us": quota, "cpu,cpuacct/cpu.cfs_period_us": "100000"}
        machine(8, 8, "4:memory:/else\n3:cpu,cpuacct:/docker/of/the/host\n0::/\n", files)
        assert core_count() == expected


def test_the_tightest_group_on_the_way_up_counts(machine):
    machine(8, 8, "0::/slice/pod\n", {"slice/cpu.max": "300000 100000", "slice/pod/cpu.max": "max 100000"})
    assert core_count() == 3


def test_more_granted_than_there_are(machine):
    machine(4, 2, "0::/\n", {"cpu.max": "800000 100000"})
    assert core_count() == 2
