"""The fixtures of `crafted`, for the tests of this folder."""

from tests.data.crafted import crafting, members, root, sound, source

__all__ = ["crafting", "members", "root", "sound", "source"]
