"""One thread, and the data set of made.py as a fixture."""

import pytest

from tests.tiny import one_thread
from tests.training import made
from tinylab.data.dataset import Dataset

__all__ = ["data", "one_thread"]


@pytest.fixture
def data() -> Dataset:
    return made.DATA
