"""Pictures of what is done to an image: mean and scale, normalisation of a batch, convolution."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from tinylab.figures.images import Pixels, pixels, signed, stretched, titled
from tinylab.figures.style import BLUE, GREY, INK, VERMILLION, Picture, array, drawn, dress, style_of
from tinylab.support.errors import InvalidInputError

if TYPE_CHECKING:
    from tinylab.data import Normalisation


def _show(ax: Axes, image: np.ndarray, title: str, below: str = "") -> None:
    """One image in a panel of a larger picture."""
    font = style_of(ax).font
    ax.imshow(image, interpolation="nearest")
    ax.set_title(title, fontsize=font, color=INK, loc="left", parse_math=False)
    ax.set_xlabel(below, fontsize=font * 0.9, color=GREY)
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_color(GREY)


@drawn
def mean_image(normalisation: "Normalisation") -> Picture:
    """The mean of all training images, its contrast stretched, and mean ± scale of each colour channel."""
    mean = array(normalisation.mean).astype(np.float64)  # (H, W, 3), 0..255
    scale = np.broadcast_to(array(normalisation.scale).astype(np.float64), (3,))
    channels = mean.mean(axis=(0, 1))
    picture = Picture(8.3, 3.0)
    style = picture.style
    left, middle, right = picture.subplots(1, 3, width_ratios=(1, 1, 1.25))
    _show(left, pixels(np.clip(mean, 0, 255).astype(np.uint8)), "mean image")
    _show(middle, stretched(mean), "same, contrast stretched")
    names = ("red", "green", "blue")
    dress(right, "mean ± one scale", x="pixel value (0 to 255)", grid="x")
    look = {"ms": style.marker * 1.3, "lw": style.line, "capsize": 4}
    right.errorbar(channels, [2, 1, 0], xerr=scale, fmt="o", color=BLUE, **look)
    right.set(xlim=(0, 255), ylim=(-0.6, 2.6), xticks=[0, 64, 128, 192, 255])
    right.set_yticks([2, 1, 0], names)
    numbers = [f"{m:.0f} ± {s:.0f}" for m, s in zip(channels, scale, strict=True)]
    for y, m, number in zip((2, 1, 0), channels, numbers, strict=True):
        right.text(m, y + 0.2, number, ha="center", fontsize=style.font * 0.9, color=INK)
    picture.headline(title := "What is subtracted from every image, and what it is then divided by")
    each = ", ".join(f"{name} {number}" for name, number in zip(names, numbers, strict=True))
    picture.alt = (
        f"{title}: the mean of the training images, a blur whose values span {mean.min():.0f} to "
        f"{mean.max():.0f} of 255; mean and scale per channel: {each}."
    )
    return picture


@drawn
def batch_before_after(raw: Pixels, normalised: Pixels, *, title: str = "") -> Picture:
    """The first six images of a batch as decoded and as the network gets them, each with its histogram.

    raw: uint8 (B, H, W, 3); normalised: float (B, 3, H, W). Normalised images are drawn with the middle 98 %
    of their values between black and white, since screens have no negative light. title: the usual one says
    that the values are around zero, about one wide.
    """
    before, after = array(raw), array(normalised).transpose(0, 2, 3, 1).astype(np.float64)
    if before.shape != after.shape:
        raise InvalidInputError(
            f"batch_before_after got raw images {before.shape}, normalised ones {array(normalised).shape}. "
            "Allowed: (B, H, W, 3) and (B, 3, H, W) of the same batch"
        )
    count = min(6, len(before))
    picture = Picture(8.3, 3.3)
    style = picture.style
    panels = picture.subplots(2, 2, width_ratios=(count * 0.7, 1.6), squeeze=False)
    low, high = np.percentile(after, (0.1, 99.9))
    visible = stretched(after, *np.percentile(after, (1, 99)))
    stages = (
        ("as decoded", "pixel value", before, before, np.linspace(0, 256, 65), VERMILLION),
        ("as the network gets them", "normalised value", after, visible, np.linspace(low, high, 65), BLUE),
    )
    facts = []
    for (strip, ax), (name, unit, values, shown, edges, colour) in zip(panels, stages, strict=True):
        gap = np.full((shown.shape[1], 3, 3), 255, np.uint8)
        row = np.hstack([part for image in shown[:count] for part in (image, gap)][:-1])
        strip.imshow(row, interpolation="nearest")
        strip.set_title(name, fontsize=style.font, color=INK, loc="left")
        strip.axis("off")
        strip.set_anchor("W")
        mean, deviation = float(values.mean()), float(values.std())
        facts.append(f"{name}: mean {mean:.2f}, standard deviation {deviation:.2f}")
        dress(ax, f"mean {mean:.2f}, std {deviation:.2f}", x=unit, grid=None)
        ax.hist(values.reshape(-1), bins=edges, color=colour)
        ax.axvline(mean, color=INK, lw=style.line * 0.7)
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
    said = "; ".join(facts) + f". Shown for {count} images, with histograms of {len(before)}."
    picture.tell(title or "A batch before and after: values around zero, about one wide", said)
    return picture


@drawn
def convolution(image: Pixels, kernel: Pixels, response: Pixels, *, title: str = "") -> Picture:
    """What a kernel makes of an image: image, kernel with its numbers, response.

    kernel: (k, k); response: (H, W). A response with both signs is drawn with zero as mid-grey, others from
    black to white; the range is written above it.
    """
    weights, values = array(kernel).astype(np.float64), array(response).astype(np.float64)
    if weights.ndim != 2 or values.ndim != 2:
        raise InvalidInputError(
            f"convolution got a kernel {weights.shape}, a response {values.shape}. Allowed: (k, k) and (H, W)"
        )
    picture = Picture(8.3, 3.3, layout=None)  # a slider waits for it: no time for a layout
    style = picture.style
    left, middle, right = (picture.add_axes((0.005 + place / 3, 0.056, 0.323, 0.813)) for place in range(3))
    _show(left, pixels(image), "image")
    below = f"{weights.shape[0]}×{weights.shape[1]}, sum {weights.sum():.2g}"
    _show(middle, pixels(signed(weights)), "kernel", below)
    largest = max(float(np.abs(weights).max()), 1e-12)
    small = style.font * min(1.0, 4 / max(weights.shape))
    for (r, c), weight in np.ndenumerate(weights):
        ink = "white" if weight / largest < -0.1 else "black"
        middle.text(c, r, f"{weight:.2g}", ha="center", va="center", fontsize=small, color=ink)
    low, high = float(values.min()), float(values.max())
    both = low < -0.02 * max(abs(low), abs(high))
    total = float(weights.sum())
    bright = total * (1 if max(abs(low), high) <= 8 * abs(total) else 255)  # what a white area becomes
    if total >= 0.5 and both:  # still a picture: on the picture's own scale, or it looks washed out
        shown, meaning = stretched(values, 0, bright), "on the image's own grey scale, clipped"
    else:
        shown = signed(values) if both else stretched(values, 0, max(high, 1e-12))
        meaning = "zero is mid-grey" if both else "zero is black"
    _show(right, pixels(shown), f"response: {low:.2g} to {high:.2g}", meaning)
    rows = "; ".join(" ".join(f"{w:.3g}" for w in row) for row in weights)
    if title:
        picture.headline(title)
    said = f"an image, the kernel [{rows}], and the response, from {low:.3g} to {high:.3g}; {meaning}."
    picture.alt = titled(title, said)
    return picture
