"""Pictures made of images: grids, filters.

Images are drawn pixel by pixel: each of theirs becomes a square of `Style.zoom` stored pixels, never smoothed.
Accepted everywhere, from numpy or torch: uint8 (H, W, 3) or (H, W); float (H, W, 3), (3, H, W) or (H, W) with
values in 0..1 or in 0..255.
"""

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties

from tinylab.figures.style import DPI, INK, Picture, Style, array, drawn, listed, look
from tinylab.support.errors import InvalidInputError

Pixels = Any  # numpy array or torch tensor
_GAP = 6  # stored pixels between neighbouring images


def pixels(image: Pixels) -> np.ndarray:
    """Any accepted image as uint8 (H, W, 3). Raises InvalidInputError for other shapes and ranges."""
    values = array(image)
    if values.ndim == 3 and values.shape[0] in (1, 3) and values.shape[2] not in (1, 3):
        values = values.transpose(1, 2, 0)  # (C, H, W) to (H, W, C)
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim != 3 or values.shape[2] not in (1, 3):
        raise InvalidInputError(
            f"an image of shape {array(image).shape} cannot be drawn. Allowed: (H, W, 3), (3, H, W) or (H, W)"
        )
    if values.dtype != np.uint8:
        low, high = float(values.min()), float(values.max())
        if not (np.isfinite([low, high]).all() and low >= 0 and high <= 255):
            raise InvalidInputError(
                f"an image with values from {low:.3g} to {high:.3g} cannot be drawn. Allowed: 0..1 or 0..255. "
                "Normalised images need figures.stretched(images) first"
            )
        values = np.round(values * (255 if high <= 1 else 1)).astype(np.uint8)
    return np.repeat(values, 3 // values.shape[2], axis=2)


def stretched(values: Pixels, low: float | None = None, high: float | None = None) -> np.ndarray:
    """Values of any range as uint8: `low` (else their minimum) becomes black, `high` (else maximum) white."""
    values = array(values).astype(np.float64)
    low, high = values.min() if low is None else low, values.max() if high is None else high
    return np.round(np.clip((values - low) / max(high - low, 1e-12), 0, 1) * 255).astype(np.uint8)


def signed(values: Pixels) -> np.ndarray:
    """Values around zero as uint8: zero is mid-grey, `w / (2·max|w|) + 0.5`, so that signs can be seen."""
    values = array(values).astype(np.float64)
    largest = max(float(np.abs(values).max()), 1e-12)
    return np.round(np.clip(values / (2 * largest) + 0.5, 0, 1) * 255).astype(np.uint8)


def enlarged(image: np.ndarray, zoom: int) -> np.ndarray:
    """Each pixel of an image (H, W, 3) as a square of `zoom` pixels."""
    return image.repeat(zoom, 0).repeat(zoom, 1)


def titled(title: str, said: str) -> str:
    """The text twin of a picture that may have a title."""
    return f"{title}: {said}" if title else said


def _fit(text: str, width: float, style: Style) -> str:
    """Text broken into at most three lines of `width` stored pixels; the rest becomes an ellipsis."""
    letters = max(int(width / (0.56 * style.em)), 4)
    return "\n".join(textwrap.wrap(str(text), letters, max_lines=3, placeholder=" …", break_long_words=True))


def _headline_width(text: str, style: Style) -> float:
    """Stored pixels that the headline takes: bold, and a tenth larger than the rest."""
    bold = FontProperties(size=1.1 * style.font, weight="bold")
    width, _, _ = RendererAgg(1, 1, DPI).get_text_width_height_descent(text, bold, ismath=False)
    return float(width)


@drawn
def _mosaic(
    rows: Sequence[Sequence[np.ndarray]],
    title: str,
    zoom: int,
    row_labels: Sequence[str] | None = None,
    cell_titles: Sequence[Sequence[str]] | None = None,
) -> Picture:
    """Rows of uint8 (H, W, 3) images of one size, placed by the pixel, with labels. Rows may be ragged."""
    style = look()
    height, width = (side * zoom for side in rows[0][0].shape[:2])
    columns = max(map(len, rows))
    em = style.em
    titles = [[_fit(text, width, style) for text in line] for line in cell_titles] if cell_titles else None
    most_lines = max((text.count("\n") + bool(text) for line in titles or [] for text in line), default=0)
    head = 1.3 * em * most_lines
    labels = [_fit(text, 11 * em, style) for text in row_labels or []]
    left = max((0.6 * em * max(map(len, t.split("\n"))) for t in labels), default=0) + (em if labels else _GAP)
    top = 2.1 * em if title else _GAP
    grid_width = columns * (width + _GAP)
    grid_height = len(rows) * (height + head + _GAP)
    needed = 2 * _GAP + (_headline_width(title, style) if title else 0)
    total_width = math.ceil(max(left + grid_width + _GAP, needed))
    total_height = math.ceil(top + grid_height + _GAP)
    picture = Picture(1, 1, layout=None)
    picture.set_size_inches(total_width / DPI, total_height / DPI)  # to the pixel, in any style
    ax = picture.add_axes((0, 0, 1, 1))  # in stored pixels, downwards
    ax.set(xlim=(0, total_width), ylim=(total_height, 0))
    ax.axis("off")
    if title:
        picture.headline(title, x=_GAP / total_width, y=1 - 0.5 * em / total_height)
    canvas = np.full((total_height, total_width, 3), 255, np.uint8)
    name: dict[str, Any] = {"fontsize": style.font, "color": INK, "parse_math": False}
    for r, row in enumerate(rows):
        y = round(top + r * (height + head + _GAP) + head)
        if labels:
            ax.text(left - em / 2, y + height / 2, labels[r], ha="right", va="center", **name)
        for c, image in enumerate(row):
            x = round(left + c * (width + _GAP))
            canvas[y : y + height, x : x + width] = enlarged(image, zoom)
            if titles and titles[r][c]:
                ax.text(x, y - 0.25 * em, titles[r][c], va="bottom", **name | {"fontsize": 0.9 * style.font})
    ax.imshow(canvas, interpolation="nearest", extent=(0, total_width, total_height, 0), aspect="auto")
    return picture


def image_grid(
    images: Sequence[Any] | Pixels,
    *,
    row_labels: Sequence[str] | None = None,
    titles: Sequence[str] | None = None,
    columns: int | None = None,
    title: str = "",
    zoom: int | None = None,
) -> Picture:
    """Images side by side, unsmoothed: labelled rows, or a flat grid with a title over each image.

    images:     with `row_labels`, one row of images for each label (R, C, H, W, 3); else flat (N, H, W, 3)
    titles:     N short texts for a flat grid
    columns:    of a flat grid; default: as many as fit the page
    zoom:       stored pixels per image pixel; default: the style's
    Raises InvalidInputError when labels and images do not match, or there is no image.
    """
    zoom = zoom or look().zoom
    if len(images) == 0:
        raise InvalidInputError("image_grid got no images; it needs at least one")
    if row_labels is not None:
        if len(row_labels) != len(images):
            raise InvalidInputError(f"image_grid got {len(row_labels)} row labels for {len(images)} rows of images")
        rows = [[pixels(image) for image in row] for row in images]
        count = max(map(len, rows))
        picture = _mosaic(rows, title, zoom, row_labels)
        what = f"{len(rows)} rows of {count} images, one row for each of: {listed(row_labels)}."
    else:
        flat = [pixels(image) for image in images]
        if titles is not None and len(titles) != len(flat):
            raise InvalidInputError(f"image_grid got {len(titles)} titles for {len(flat)} images")
        fit = max(1200 // (flat[0].shape[1] * zoom), 1)
        columns = min(columns or fit, len(flat))
        rows = [flat[i : i + columns] for i in range(0, len(flat), columns)]
        named = [list(titles[i : i + columns]) for i in range(0, len(flat), columns)] if titles is not None else None
        picture = _mosaic(rows, title, zoom, cell_titles=named)
        what = f"{len(flat)} image{'s' * (len(flat) > 1)}" + (f": {listed(titles)}." if titles is not None else ".")
    picture.alt = titled(title, what)
    return picture


def filters(weights: Pixels, *, title: str = "") -> Picture:
    """First-layer filters, (N, 3, k, k) or (N, 1, k, k), as small colour images in which zero is mid-grey.

    Each filter is shown on its own scale, as `w / (2·max|w|) + 0.5`.
    Raises InvalidInputError for deeper layers, whose channels are not colours.
    """
    values = array(weights)
    if values.ndim != 4 or values.shape[1] not in (1, 3):
        raise InvalidInputError(
            f"filters of shape {values.shape} cannot be drawn as colours. Allowed: the first layer's (N, 3, k, k)"
        )
    zoom = max(look().zoom * 24 // values.shape[-1], 1)
    picture = image_grid([pixels(signed(one)) for one in values], columns=8, title=title, zoom=zoom)
    side = f"{values.shape[2]}×{values.shape[3]}"
    picture.alt = titled(
        title,
        f"{len(values)} filters of {side} pixels, each on its own scale, zero is mid-grey; largest weight "
        f"{np.abs(values).max():.3g}.",
    )
    return picture
