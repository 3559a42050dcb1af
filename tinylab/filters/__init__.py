"""What a network learned to see: its filters, the images they answer to, and what that says about accuracy.

address          which layer is meant, counted as the report counts; the network up to it; receptive fields
first_layer      filters that are pictures; how alike they are before and after training
parametrisation  how a synthesised image is written down: pixels or waves, colours, a little shaking
maximise         the image that a channel answers to most, as of 2016 and as of today, and the steps between
features         feature maps; the images of a split that a channel answers to most
attribution      Grad-CAM, through captum
quality          numbers for "good filters", and whether they rank networks as accuracy does
"""

from tinylab.filters.address import Address, Field, counted, find, frozen, receptive_field, up_to
from tinylab.filters.attribution import Cam, grad_cam
from tinylab.filters.features import Top, feature_maps, top_images
from tinylab.filters.first_layer import alike, first_filters
from tinylab.filters.maximise import METHOD_2016, MODERN, Method, Synthetic, ladder, maximise
from tinylab.filters.parametrisation import colour_basis
from tinylab.filters.quality import Quality, Ranking, image_roughness, quality, rank_correlation, ranking, roughness

__all__ = [
    "METHOD_2016",
    "MODERN",
    "Address",
    "Cam",
    "Field",
    "Method",
    "Quality",
    "Ranking",
    "Synthetic",
    "Top",
    "alike",
    "colour_basis",
    "counted",
    "feature_maps",
    "find",
    "first_filters",
    "frozen",
    "grad_cam",
    "image_roughness",
    "ladder",
    "maximise",
    "quality",
    "rank_correlation",
    "ranking",
    "receptive_field",
    "roughness",
    "top_images",
    "up_to",
]
