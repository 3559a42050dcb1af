"""Which device is picked: by name, by variable, the best; the GPU of a process that torchrun started."""

import pytest
import torch

from tinylab.device import VARIABLE, pick
from tinylab.errors import InvalidInputError


@pytest.fixture
def two_gpus(monkeypatch):
    """As if this machine had them: what torch is asked, and nothing else."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: f"GPU {device}")


def test_by_name_and_by_variable(monkeypatch):
    monkeypatch.setenv(VARIABLE, "cpu")
    assert pick().target == pick("cpu").target == torch.device("cpu")
    monkeypatch.setenv(VARIABLE, "gpu")
    with pytest.raises(InvalidInputError, match="device 'gpu' is unknown"):
        pick()


def test_alone_it_is_the_gpu_that_is_current(two_gpus, monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert pick("cuda").target == torch.device("cuda")


def test_under_torchrun_each_process_has_a_gpu_of_its_own(two_gpus, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert pick("cuda").target == torch.device("cuda", 1)
    assert pick("cuda").label == "GPU cuda:1"
    assert pick("cpu").target == torch.device("cpu")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(InvalidInputError, match=r"process 3 of this machine has no GPU: it has 2\. Start fewer"):
        pick("cuda")
