"""Every picture of the course: each function takes results and returns a `Picture` with a text twin.

style       what all share: Picture, colours, the styles "page" and "projector", labels at the ends of lines
images      grids of images, augmentations, duplicates, first-layer filters
transforms  what is done to an image: mean image and scale, batch before and after, convolution
curves      training curves of one run, of several, of a run in progress
lines       any few series over the updates of a network
charts      bars, comparisons, times, parameters by layer, activation spread, confusion
"""

from tinylab.figures.charts import (
    activation_spread,
    bars,
    comparison,
    confusion,
    duration,
    parameters_by_layer,
    timing,
)
from tinylab.figures.curves import Progress, best_epoch, curves, live, verdict
from tinylab.figures.images import (
    augmentations,
    duplicates,
    filters,
    image_grid,
    pixels,
    signed,
    stretched,
)
from tinylab.figures.lines import lines
from tinylab.figures.style import STYLES, Picture, Style, look
from tinylab.figures.transforms import batch_before_after, convolution, mean_image

__all__ = [
    "STYLES",
    "Picture",
    "Progress",
    "Style",
    "activation_spread",
    "augmentations",
    "bars",
    "batch_before_after",
    "best_epoch",
    "comparison",
    "confusion",
    "convolution",
    "curves",
    "duplicates",
    "duration",
    "filters",
    "image_grid",
    "lines",
    "live",
    "look",
    "mean_image",
    "parameters_by_layer",
    "pixels",
    "signed",
    "stretched",
    "timing",
    "verdict",
]
