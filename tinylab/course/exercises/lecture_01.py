"""Checks of lecture 01, the data: counting numbers, normalising, holding out, twins."""

from typing import Any

import numpy as np

from tinylab.course.exercises import counted, exercise, function


@exercise("01.1")
def numbers_in_an_image(answer: Any) -> str | None:
    """Numbers in one image: 64·64 pixels of 3 colours."""
    hints = {
        64 * 64: "So many pixels. How many numbers does one pixel have?",
        64 * 3: "That is one row of pixels. How many rows are there?",
    }
    return counted(answer, 64 * 64 * 3, hints, "Multiply rows, columns and colours.")


@exercise("01.3")
def normalise(answer: Any, random: np.random.Generator) -> str | None:
    """normalise(images, mean, scale): (images - mean) / scale in float64."""
    apply = function(answer)
    images = random.integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    mean = random.uniform(100, 150, (64, 64, 3))
    scale = random.uniform(50, 70, 3)
    before = images.copy()
    result = np.asarray(apply(images, mean, scale))
    expected = (images.astype(np.float64) - mean) / scale
    if not np.array_equal(images, before):
        return "Your function changes the images that it was given. Compute a new array."
    if result.shape != expected.shape:
        return f"For images {images.shape} the result should have the same shape; {result.shape} came."
    if result.dtype == np.uint8:
        return "The result is uint8 again: it has no room for −1.3 or 0.5. Convert before you subtract."
    if np.allclose(result, (images.astype(np.float64) - mean) / scale**2):
        return "That divides by the square of the scale. Once is enough."
    if np.allclose(result, images.astype(np.float64) - mean):
        return "The mean is gone, well done. Now the scale of each channel."
    if not np.allclose(result, expected, rtol=1e-4, atol=1e-4):
        return "The values differ. Try one pixel by hand: (value − mean there) / scale of its colour."
    return None


@exercise("01.4")
def stratified(answer: Any, random: np.random.Generator) -> str | None:
    """stratified(labels, share): distinct positions holding round(share · n) of each class's n images."""
    hold_out = function(answer)
    drawn = 10 * random.permutation([1, 2, 3, 4, 5])[:3]
    return _stratified(hold_out, np.array([50, 20, 10]), 0.2, random) or _stratified(hold_out, drawn, 0.3, random)


def _stratified(hold_out: Any, sizes: np.ndarray, share: float, random: np.random.Generator) -> str | None:
    """One trial with classes of `sizes` images in random order."""
    labels = random.permutation(np.repeat(np.arange(len(sizes)), sizes))
    rows = np.asarray(hold_out(labels, share))
    if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer):
        return f"Return a list of positions, whole numbers; {rows.dtype} of shape {rows.shape} came."
    if len(rows) == 0:
        return "Nothing was held out."
    if rows.min() < 0 or rows.max() >= len(labels):
        return f"Positions run from 0 to {len(labels) - 1}; yours reach {rows.max()}."
    if len(set(rows.tolist())) != len(rows):
        return "Some positions occur twice."
    counts = np.bincount(labels[rows], minlength=3)
    wanted = [round(share * int(size)) for size in sizes]
    of = f"of {sizes[0]}, {sizes[1]} and {sizes[2]}"
    if counts.sum() == sum(wanted) and list(counts) != wanted:
        return f"The number in all is right, but not class by class: {list(map(int, counts))} {of}."
    if list(counts) != wanted:
        return f"With share {share} your part has {list(map(int, counts))} {of} images of a class."
    return None


@exercise("01.5")
def twins_by_heart(answer: Any) -> str | None:
    """How many validation images of a conflicting pair a network that learned the training label gets right: 0."""
    hints = {1: "It answers with the label that it learned. Is that the label which validation expects?"}
    walk = "The group has one image in training and one in validation. Which label does the network give to the second?"
    return counted(answer, 0, hints, walk)
