"""The tiny archives of `tests/data`, for the tests of this folder; computing on one thread; a folder for everybody."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data.crafted import crafting, members, root, sound, source
from tests.tiny import one_thread

__all__ = ["crafting", "members", "one_thread", "root", "sound", "source"]


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that other users may read and write, too; pytest's own are for one user."""
    folder = Path(tempfile.mkdtemp(prefix="tinylab-test-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)
