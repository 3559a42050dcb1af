"""One thread, and the data set of made.py as a fixture."""

import pytest
import torch

from tests.training import made
from tinylab.data.dataset import Dataset


@pytest.fixture
def data() -> Dataset:
    return made.DATA


@pytest.fixture(autouse=True)
def one_thread():
    """Networks this small only lose by sharing their work out."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
