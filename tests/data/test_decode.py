"""Decoding gives Pillow's pixels, whatever the JPEG, by the short way and by the long one."""

import io

import numpy as np
import pytest
from PIL import Image

from tinylab.data import decode as decoding

NOISE = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
KINDS = {
    "usual": {"quality": 75},
    "full colour resolution": {"quality": 90, "subsampling": 0},
    "half colour resolution": {"quality": 40, "subsampling": 1},
    "progressive": {"progressive": True},
    "optimised": {"optimize": True},
}


def jpeg(mode: str, **how: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(NOISE).convert(mode).save(buffer, "JPEG", **how)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_those_of_pillow(kind):
    for mode in ("RGB", "L"):
        raw = jpeg(mode, **KINDS[kind])
        assert decoding._plain(raw, 64) is not None
        pixels, grey, _ = decoding.decode(raw, decoding.Wanted(), "x")
        assert pixels.dtype == np.uint8
        assert np.array_equal(pixels, np.asarray(Image.open(io.BytesIO(raw)).convert("RGB")))
        assert grey == (mode == "L")


def test_what_is_unusual_is_left_to_pillow():
    for raw in (jpeg("CMYK"), jpeg("RGB")[:-400], b"", b"\xff\xd8\xff", b"\x89PNG"):
        assert decoding._plain(raw, 64) is None
    assert decoding._plain(jpeg("RGB"), 32) is None
