"""Pictures of what a network has learned to see: synthesised images, the real ones beside them, Grad-CAM, a ranking.

First-layer filters, which are pictures themselves, are drawn by `images.filters`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps

from tinylab.figures.images import Pixels, enlarged, image_grid, pixels, signed, titled
from tinylab.figures.style import BLUE, GREY, VERMILLION, Picture, array, drawn, dress, listed, look
from tinylab.support.errors import InvalidInputError

MAP = "inferno"  # perceptually uniform; JET draws edges where there are none
_STRENGTH = 0.65  # how much of a pixel is the map's colour where the map is 1; the image shines through
_STRIP = 26  # stored pixels between two groups


def with_top_images(
    sought: Sequence[Pixels] | Pixels,
    real: Sequence[Sequence[Pixels]] | Pixels,
    boxes: Sequence[Sequence[tuple[int, int, int, int]]],
    *,
    names: Sequence[str],
    title: str = "",
) -> Picture:
    """For each channel a row: the synthesised image, then the real images it answers to most, with what it saw framed.

    sought: (N, H, W, 3); real: (N, K, H, W, 3), the same size; boxes: (N, K) of top, left, bottom, right in pixels,
    the last two exclusive, which may reach outside the image; names: N.
    """
    if not len(sought) == len(real) == len(boxes) == len(names) or len(sought) == 0:
        raise InvalidInputError(
            f"with_top_images got {len(sought)} made images, {len(real)} rows of real ones, {len(boxes)} of boxes, "
            f"{len(names)} names. Allowed: as many of each, 1 or more"
        )
    zoom = look().zoom - 1
    rows = [
        [enlarged(pixels(one), zoom), *(_framed(pixels(i), box, zoom) for i, box in zip(images, own, strict=True))]
        for one, images, own in zip(sought, real, boxes, strict=True)
    ]
    picture = image_grid(rows, row_labels=names, title=title, zoom=1)
    picture.alt = titled(
        title,
        f"for {listed(list(names))}, the image that was sought, and {len(real[0])} real images that the channel "
        "answers to most, with the patch that it saw framed.",
    )
    return picture


def feature_maps(
    maps: Pixels, *, image: Pixels | None = None, channels: Sequence[int] | None = None, title: str = ""
) -> Picture:
    """The maps of one image, (C, h, w), each on its own scale with zero as mid-grey, the image before them if given.

    channels: how to number them; default: from 0.
    """
    values = array(maps).astype(np.float64)
    if values.ndim != 3 or len(values) == 0:
        raise InvalidInputError(f"feature_maps got maps of shape {values.shape}. Allowed: (C, h, w) of one image")
    numbers = range(len(values)) if channels is None else channels
    if len(numbers) != len(values):
        raise InvalidInputError(f"feature_maps got {len(numbers)} channel numbers for {len(values)} maps")
    side = max(values.shape[1:])
    if image is not None:
        side = max(side, *pixels(image).shape[:2])
    zoom = look().zoom - 1
    shown = [enlarged(pixels(signed(one)), zoom * max(side // max(one.shape), 1)) for one in values]
    titles = [f"{number}" for number in numbers]
    if image is not None:
        shown, titles = [enlarged(pixels(image), zoom), *shown], ["image", *titles]
    picture = image_grid(shown, titles=titles, columns=8, zoom=1, title=title)
    picture.alt = titled(
        title,
        f"{len(values)} feature maps of {values.shape[1]}×{values.shape[2]}, each on its own scale, zero is mid-grey; "
        f"values from {values.min():.3g} to {values.max():.3g}.",
    )
    return picture


def cam_overlay(images: Sequence[Pixels] | Pixels, maps: Pixels, *, titles: Sequence[str], title: str = "") -> Picture:
    """Grad-CAM over its images: above the image, below it in grey under the map, in a perceptually uniform scale.

    images: N of (H, W, 3); maps: (N, h, w), 0..1, from `Cam.relative()`, each of whose numbers is drawn as the square
    of pixels that it stands for; titles: N. An all-zero map leaves its image grey, and its title says so.
    """
    values = array(maps).astype(np.float64)
    shown = [pixels(image) for image in images]
    if values.ndim != 3 or not len(shown) == len(values) == len(titles) or len(shown) == 0:
        raise InvalidInputError(
            f"cam_overlay got {len(shown)} images, maps of shape {values.shape}, {len(titles)} titles. Allowed: N "
            "images, (N, h, w), N titles"
        )
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
        raise InvalidInputError(
            f"cam_overlay got maps from {values.min():.3g} to {values.max():.3g}. Allowed: 0..1, as in cam.relative()"
        )
    if any(side % part for image in shown for side, part in zip(image.shape[:2], values.shape[1:], strict=True)):
        raise InvalidInputError(
            f"cam_overlay got images {shown[0].shape[:2]} and maps {values.shape[1:]}. Allowed: maps that divide "
            "the image"
        )
    over = [_overlaid(image, one) for image, one in zip(shown, values, strict=True)]
    named = [text if one.any() else f"{text}: nothing" for text, one in zip(titles, values, strict=True)]
    under = f"map {values.shape[1]}×{values.shape[2]}"
    picture = image_grid([*shown, *over], titles=[*named, *[under] * len(over)], columns=len(shown), title=title)
    empty = sum(not one.any() for one in values)
    picture.alt = titled(
        title,
        f"{len(shown)} images ({listed(named)}) and below each the same in grey under its map of "
        f"{values.shape[1]}×{values.shape[2]}, from black (nothing) to bright yellow (most)"
        + (f"; {empty} of the maps {'is' if empty == 1 else 'are'} zero everywhere." if empty else "."),
    )
    return picture


@drawn
def rankings(
    qualities: Mapping[str, Sequence[float]], accuracies: Sequence[float], *, errors: Sequence[float] | None = None
) -> Picture:
    """Each quality of several networks against their accuracy (0..1), a panel for each; a dot is a network.

    errors: standard errors of the accuracies, drawn as bars.
    """
    if not qualities or any(len(values) != len(accuracies) for values in qualities.values()) or len(accuracies) == 0:
        raise InvalidInputError(
            f"rankings got {len(accuracies)} accuracies and qualities of lengths "
            f"{[len(values) for values in qualities.values()]}. Allowed: one number for each network in each, 1 or more"
        )
    picture = Picture(max(2.8 * len(qualities), 4.2), 3.1)
    style = picture.style
    panels = np.atleast_1d(picture.subplots(1, len(qualities), sharey=True))
    y = 100 * np.asarray(accuracies, dtype=np.float64)
    bars = None if errors is None else 100 * np.asarray(errors, dtype=np.float64)
    for panel, (name, values) in zip(panels, qualities.items(), strict=True):
        dress(panel, x=name, y="validation accuracy (%)" if panel is panels[0] else "", grid="both")
        panel.errorbar(values, y, yerr=bars, fmt="o", color=BLUE, ecolor=GREY, ms=style.marker * 1.2, elinewidth=1)
        panel.set_ylim(0, max(100.0 if y.max() > 80 else y.max() * 1.3, 1.0))
        panel.margins(x=0.12)
        panel.locator_params(axis="x", nbins=4)
    picture.tell(
        "Does a number for good filters go with accuracy?",
        f"Accuracies {', '.join(f'{value:.0f}' for value in y)} %. "
        + " ".join(f"{name}: {', '.join(f'{value:.3g}' for value in values)}." for name, values in qualities.items()),
    )
    return picture


def _framed(image: np.ndarray, box: tuple[int, int, int, int], zoom: int) -> np.ndarray:
    """The image, enlarged, with a frame round the box: vermillion in white, seen on dark and on bright images."""
    large = enlarged(image, zoom)
    height, width = image.shape[:2]
    top, left, bottom, right = box
    rows = [min(max(value, 0), height) * zoom for value in (top, bottom)]
    columns = [min(max(value, 0), width) * zoom for value in (left, right)]
    for inset, colour in ((0, (255, 255, 255)), (1, _rgb(VERMILLION)), (2, _rgb(VERMILLION))):
        inside = np.zeros(large.shape[:2], bool)
        inside[rows[0] + inset : rows[1] - inset, columns[0] + inset : columns[1] - inset] = True
        core = np.zeros_like(inside)
        core[rows[0] + inset + 1 : rows[1] - inset - 1, columns[0] + inset + 1 : columns[1] - inset - 1] = True
        large[inside & ~core] = colour
    return large


def _overlaid(image: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The image in grey, each pixel moved towards the colour of its map's value."""
    grey = image.astype(np.float64).mean(axis=2, keepdims=True)
    cell = image.shape[0] // values.shape[0], image.shape[1] // values.shape[1]
    wide = values.repeat(cell[0], 0).repeat(cell[1], 1)
    colour = 255 * colormaps[MAP](wide)[..., :3]
    share = _STRENGTH * np.sqrt(wide)[..., None]  # nothing of the map where it is zero
    return np.round((1 - share) * grey + share * colour).astype(np.uint8)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
