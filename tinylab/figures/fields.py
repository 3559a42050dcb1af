"""What one unit sees: receptive fields as nested squares on a picture, and the footprint of a gradient in it."""

from collections.abc import Sequence

import numpy as np
from matplotlib.patches import Rectangle

from tinylab.figures.images import Pixels, pixels
from tinylab.figures.style import HUES, INK, Picture, array, drawn, dress, note
from tinylab.support.errors import InvalidInputError


@drawn
def receptive_field(
    image: Pixels, squares: Sequence[tuple[str, float, float, int]], footprint: Pixels | None = None, *, title: str = ""
) -> Picture:
    """The squares of the image that one unit of each layer sees, nested; beside it how much each pixel counts.

    squares: (layer, top, left, side) in pixels, smallest first; footprint: float (H, W), the size of the gradient of
    one unit of the last layer with respect to each pixel, drawn from white to blue. Raises InvalidInputError for none.
    """
    shown = pixels(image)
    if not squares:
        raise InvalidInputError("receptive_field got no squares. Give (layer, top, left, side), one or more")
    panels = 1 if footprint is None else 2
    picture = Picture(5.4 + 3.2 * (panels - 1), 3.7)
    style = picture.style
    axes = np.atleast_1d(picture.subplots(1, panels))
    grey = shown.mean(axis=2, keepdims=True).repeat(3, axis=2) / 255
    axes[0].imshow(0.45 + 0.55 * grey, interpolation="nearest")
    for i, (name, top, left, side) in enumerate(squares):
        hue = HUES[i % len(HUES)]
        dash = "-" if i < len(HUES) else "--"  # a hue that comes again is told apart by its dashes
        axes[0].add_patch(Rectangle((left - 0.5, top - 0.5), side, side, fill=False, ec=hue, ls=dash, lw=style.line))
        text = f"{name}: {side}" + (" (dashed)" if dash == "--" else "")
        at = (1.03, 1 - (i + 0.5) / max(len(squares), 8))
        note(axes[0], text, at, (0, 0), hue, 0.85, xycoords="axes fraction", va="center", annotation_clip=False)
    dress(axes[0], "side of the square it sees, in pixels", grid=None)
    name, top, left, side = squares[-1]
    said = ", ".join(f"{layer} {width}" for layer, _, _, width in squares)
    alt = f"One unit of each layer sees a square of the image, in pixels: {said}."
    if footprint is not None:
        values = array(footprint).astype(float)
        axes[1].imshow(values, cmap="Blues", interpolation="nearest")
        axes[1].add_patch(Rectangle((left - 0.5, top - 0.5), side, side, fill=False, ec=INK, lw=0.8))
        dress(axes[1], "how much each pixel counts", grid=None)
        total = values.sum()
        order = np.sort(values.reshape(-1))[::-1].cumsum()
        half = int(np.searchsorted(order, total / 2)) + 1 if total else 0
        alt += f" Half of the gradient falls on {half} of the {side * side} pixels of {name}'s square."
    for ax in axes:
        ax.set(xticks=[], yticks=[])
    picture.headline(title := title or "What one unit sees")
    picture.alt = f"{title}: {alt}"
    return picture


@drawn
def window(patch: Pixels, kernel: Pixels, *, title: str = "") -> Picture:
    """One step of a convolution in numbers: pixels under the window, times the weights, added up to one number.

    patch, kernel: float (k, k), k ≤ 5. Raises InvalidInputError for other shapes.
    """
    under, weights = array(patch).astype(float), array(kernel).astype(float)
    if under.shape != weights.shape or under.ndim != 2 or under.shape[0] != under.shape[1] or len(under) > 5:
        raise InvalidInputError(f"window got {under.shape} and {weights.shape}. Allowed: two of (k, k), k up to 5")
    product = under * weights
    picture = Picture(8.3, 2.9)
    style = picture.style
    axes = picture.subplots(1, 4, width_ratios=(1, 1, 1, 0.55))
    most, largest = np.abs(weights).max() or 1.0, max(float(np.abs(product).max()), 1e-12)
    stages = (
        ("pixels", under, "{:.2f}", {"cmap": "gray", "vmin": 0, "vmax": 1}),
        ("× weights", weights, "{:.3g}", {"cmap": "RdBu_r", "vmin": -1.6 * most, "vmax": 1.6 * most}),
        ("= products", product, "{:+.2f}", {"cmap": "RdBu_r", "vmin": -1.6 * largest, "vmax": 1.6 * largest}),
    )
    for ax, (name, values, form, scale) in zip(axes, stages, strict=False):
        ax.imshow(values, **scale)
        for (r, c), value in np.ndenumerate(values):
            ink = "white" if name == "pixels" and value < 0.5 else "black"
            ax.text(c, r, form.format(value), ha="center", va="center", color=ink, fontsize=style.font * 0.9)
        ax.set_title(name, fontsize=style.font, color=INK, loc="left")
        ax.set(xticks=[], yticks=[])
    axes[3].axis("off")
    axes[3].text(0, 0.5, f"sum:\n{product.sum():+.2f}", fontsize=style.font * 1.3, color=INK, va="center")
    rows = "; ".join(" ".join(f"{v:+.2f}" for v in row) for row in product)
    said = f"Products [{rows}], sum {product.sum():+.2f}."
    picture.tell(title or "One window: multiply, add up, one number", said)
    return picture
