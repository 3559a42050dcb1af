"""The tiny archives of `tests/data`, for the tests of this folder; and computing on one thread."""

from tests.data.crafted import crafting, members, root, sound, source
from tests.tiny import one_thread

__all__ = ["crafting", "members", "one_thread", "root", "sound", "source"]
