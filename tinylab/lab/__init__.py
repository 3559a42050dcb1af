"""What one can touch: the live laboratory, a kernel that slides over an image, optimizers that race.

    control      what all share: headless or not, the picture, its text twin, errors, the bundle that is displayed
    convolution  lecture 02: a chosen or typed kernel over an image
    live/        the live laboratory: sliders that steer a running training, rewind, branch, scripts
    scrub        lecture 08: a slider through pictures, such as a network at each epoch
    surfaces     lecture 06: optimizers race down a landscape of two weights

The live laboratory trains in a background thread: widget messages may arrive on any thread or, with the main thread
busy, not at all, so this is the only arrangement that always answers. Headless (no kernel, or $TINYLAB_HEADLESS set)
the same controller takes the same steps at once, in the caller's thread, and shows a still.
"""

from tinylab.lab.convolution import convolution_explorer
from tinylab.lab.live import LiveLab
from tinylab.lab.scrub import scrub
from tinylab.lab.surfaces import surface_explorer

__all__ = ["LiveLab", "convolution_explorer", "scrub", "surface_explorer"]
