"""Every picture of the course: each function takes results and returns a `Picture` with a text twin.

style       what all share: Picture, colours, the styles "page" and "projector", notes, labels at the ends of lines
images      grids of images, first-layer filters
transforms  what is done to an image: mean image and scale, batch before and after, convolution
curves      training curves of one run, of several, of a run in progress
lines       any few series over the updates of a network; the report's Figure 2 as a sketch
laboratory  the live laboratory: up to four branches, marks where a knob was turned, images with predictions
learned     what a network has learned to see: synthesised images, the real ones beside them, Grad-CAM, rankings
scoring_errors  what each way to score wrongly leaves behind: confusion and class profiles
ablations   a loss with its turning point, one factor at a time
beyond      few images with and without pre-training, longer training, costs, the ladder from the report to the best
surfaces    optimizers: paths down a surface, range tests, several seeds as bands
trajectories  validation over training accuracy, or skill, a dot for each epoch
architecture  networks to scale; where parameters and arithmetic sit
confidence  the probability of the right class, early and late; activations over time
fields      receptive fields and a gradient's footprint; one convolution window in numbers
charts      two methods' time over the number of images, and where they cross
"""

from tinylab.figures.ablations import one_factor, turning
from tinylab.figures.architecture import networks
from tinylab.figures.beyond import costs, few_images, ladder, longer
from tinylab.figures.charts import crossing, duration
from tinylab.figures.confidence import activity, confidence
from tinylab.figures.curves import best_epoch, curves, verdict
from tinylab.figures.fields import receptive_field, window
from tinylab.figures.images import filters, image_grid, pixels, signed, stretched
from tinylab.figures.laboratory import Scene, laboratory
from tinylab.figures.learned import cam_overlay, feature_maps, rankings, with_top_images
from tinylab.figures.lines import lines, reported_losses
from tinylab.figures.scoring_errors import signatures
from tinylab.figures.style import Picture, look
from tinylab.figures.surfaces import bands, range_tests, surface
from tinylab.figures.trajectories import trajectories
from tinylab.figures.transforms import batch_before_after, convolution, mean_image

__all__ = [
    "Picture",
    "Scene",
    "activity",
    "bands",
    "batch_before_after",
    "best_epoch",
    "cam_overlay",
    "confidence",
    "convolution",
    "costs",
    "crossing",
    "curves",
    "duration",
    "feature_maps",
    "few_images",
    "filters",
    "image_grid",
    "laboratory",
    "ladder",
    "lines",
    "longer",
    "look",
    "mean_image",
    "networks",
    "one_factor",
    "pixels",
    "range_tests",
    "rankings",
    "receptive_field",
    "reported_losses",
    "signatures",
    "signed",
    "stretched",
    "surface",
    "trajectories",
    "turning",
    "verdict",
    "window",
    "with_top_images",
]
