"""The tiny archives of `tests/data`, for the tests of this folder; and computing on one thread."""

import pytest
import torch

from tests.data.crafted import crafting, members, root, sound, source

__all__ = ["crafting", "members", "root", "sound", "source"]


@pytest.fixture(autouse=True)
def one_thread():
    """Networks this small only lose by sharing their work out."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
