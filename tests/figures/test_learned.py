"""Pictures of what a network has learned: text twin, the pixels that were given, frames and maps where they belong."""

import numpy as np
import pytest

from tinylab import figures
from tinylab.figures.learned import _framed, _overlaid
from tinylab.support.errors import InvalidInputError

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
VERMILLION = (0xD5, 0x5E, 0x00)


def drawn(picture: figures.Picture) -> np.ndarray:
    return np.asarray(picture.axes[0].images[0].get_array())


def inside(canvas: np.ndarray, image: np.ndarray, zoom: int) -> bool:
    """Whether the image, enlarged, is somewhere on the canvas, pixel by pixel."""
    large = image.repeat(zoom, 0).repeat(zoom, 1)
    rows, columns = np.nonzero((canvas == large[0, 0]).all(axis=-1))
    h, w = large.shape[:2]
    return any(np.array_equal(canvas[r : r + h, c : c + w], large) for r, c in zip(rows, columns, strict=True))


def test_the_frame_lies_round_the_box_and_is_cut_at_the_border() -> None:
    grey = np.full((16, 16, 3), 128, np.uint8)
    framed = _framed(grey, (4, 5, 9, 12), 3)
    changed = np.nonzero((framed != 128).any(axis=-1))
    assert (changed[0].min(), changed[1].min(), changed[0].max() + 1, changed[1].max() + 1) == (12, 15, 27, 36)
    assert (framed[12, 20] == 255).all()
    assert tuple(framed[13, 20]) == VERMILLION
    assert (framed[20, 25] == 128).all()  # what the channel saw stays visible
    cut = np.nonzero((_framed(grey, (-4, 12, 3, 22), 3) != 128).any(axis=-1))
    assert (cut[0].min(), cut[1].min(), cut[0].max() + 1, cut[1].max() + 1) == (0, 36, 9, 48)


def test_with_top_images() -> None:
    boxes = [[(0, 0, 4, 4), (2, 2, 8, 8)]] * 2
    picture = figures.with_top_images(
        IMAGES[:2], [IMAGES[2:4], IMAGES[4:6]], boxes, names=["channel 3", "channel 5"], title="Wanted"
    )
    assert inside(drawn(picture), IMAGES[0], 2)
    assert inside(drawn(picture), IMAGES[1], 2)
    assert not inside(drawn(picture), IMAGES[2], 2)  # framed
    assert picture.alt.startswith("Wanted: for channel 3 and channel 5, the image that was sought, and 2 real images")
    with pytest.raises(InvalidInputError, match="Allowed: as many of each"):
        figures.with_top_images(IMAGES[:2], [IMAGES[2:4]], boxes, names=["a", "b"])


def test_feature_maps_have_zero_as_mid_grey() -> None:
    maps = np.zeros((2, 8, 8))
    maps[0, 0, 0], maps[1, 7, 7] = 2.0, -5.0
    picture = figures.feature_maps(maps, image=IMAGES[0], channels=[4, 9], title="Maps")
    assert [text.get_text().replace("\n", "") for text in picture.axes[0].texts] == ["image", "4", "9"]
    assert "2 feature maps of 8×8, each on its own scale, zero is mid-grey; values from -5 to 2" in picture.alt
    white = np.full((8, 8, 3), 128, np.uint8)
    white[0, 0] = 255
    black = np.full((8, 8, 3), 128, np.uint8)
    black[7, 7] = 0
    assert inside(drawn(picture), white, 4)  # as large as the image, which is twice as fine
    assert inside(drawn(picture), black, 4)
    with pytest.raises(InvalidInputError, match=r"Allowed: \(C, h, w\)"):
        figures.feature_maps(np.zeros((1, 2, 8, 8)))
    with pytest.raises(InvalidInputError, match="3 channel numbers for 2 maps"):
        figures.feature_maps(maps, channels=[1, 2, 3])


def test_the_overlay_is_grey_where_the_map_is_zero_and_grows_brighter_with_it() -> None:
    values = np.zeros((4, 4))
    values[1, 2] = 1.0
    values[3, 3] = 0.5
    over = _overlaid(np.full((16, 16, 3), 90, np.uint8), values)
    assert (over[0, 0] == 90).all()
    cell = over[4:8, 8:12].reshape(-1, 3)
    assert (cell == cell[0]).all()
    brightness = over.mean(axis=2)
    assert brightness[5, 9] > brightness[13, 13]
    changed = (over != 90).any(axis=-1)
    assert changed.sum() == 2 * 16


def test_cam_overlay_says_the_size_and_names_empty_maps() -> None:
    maps = np.zeros((2, 4, 4))
    maps[0, 1, 1] = 1.0
    images = IMAGES[:2].repeat(4, 1).repeat(4, 2)  # 64×64, which have room for words
    picture = figures.cam_overlay(images, maps, titles=["star", "fish"], title="Grad-CAM")
    assert "under its map of 4×4" in picture.alt
    assert picture.alt.endswith("1 of the maps is zero everywhere.")
    texts = [text.get_text().replace("\n", " ") for text in picture.axes[0].texts]
    assert texts == ["star", "fish: nothing", "map 4×4", "map 4×4"]
    assert inside(drawn(picture), images[0], 3)


@pytest.mark.parametrize(
    ("maps", "titles", "says"),
    [
        (np.zeros((1, 4, 4)), ["a", "b"], "Allowed: N images"),
        (np.full((2, 4, 4), 1.5), ["a", "b"], "Allowed: 0..1"),
        (np.full((2, 4, 4), -0.5), ["a", "b"], "Allowed: 0..1"),
        (np.full((2, 4, 4), np.nan), ["a", "b"], "Allowed: 0..1"),
        (np.zeros((2, 5, 5)), ["a", "b"], "divide the image"),
    ],
)
def test_cam_overlay_bad_input(maps: np.ndarray, titles: list[str], says: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        figures.cam_overlay(IMAGES[:2], maps, titles=titles)
    assert says in str(caught.value)


def test_rankings_draws_the_numbers_that_were_given() -> None:
    qualities = {"dead": [0.1, 0.0, 0.3], "roughness": [0.38, 0.37, 0.35]}
    picture = figures.rankings(qualities, [0.2, 0.3, 0.5], errors=[0.04, 0.05, 0.05])
    for panel, (name, values) in zip(picture.axes, qualities.items(), strict=True):
        assert panel.get_xlabel() == name
        assert panel.lines[0].get_xdata() == pytest.approx(values)
        assert panel.lines[0].get_ydata() == pytest.approx([20, 30, 50])
    assert "Accuracies 20, 30, 50 %" in picture.alt
    assert "roughness: 0.38, 0.37, 0.35" in picture.alt
    for bad in ({}, {"dead": [1, 2]}):
        with pytest.raises(InvalidInputError, match="one number for each network"):
            figures.rankings(bad, [0.2, 0.3, 0.5])
