"""Networks: the report's three from their lines of notation, the modern one of lecture 10, and what they cost.

lines     the report's own lines and its Table 1; narrower twins of a line
building  a network from a name or a line, with freshly drawn weights
modern    residual blocks with batch normalisation, written out
counting  shapes, parameters, multiply-adds and memory, layer by layer

`build("model_1")` parses the report's own line and draws the weights; `summary(model)` counts.
"""

from tinylab.models.building import INITIALISATIONS, LAST_LAYER, NAMES, build, initialise, set_dropout
from tinylab.models.report import ARCHITECTURES, REPORTED, Reported, narrower
from tinylab.models.resnet import SHAPES, Modern, Residual, Shape, modern
from tinylab.models.summary import Row, Summary, summary

__all__ = [
    "ARCHITECTURES",
    "INITIALISATIONS",
    "LAST_LAYER",
    "NAMES",
    "REPORTED",
    "SHAPES",
    "Modern",
    "Reported",
    "Residual",
    "Row",
    "Shape",
    "Summary",
    "build",
    "initialise",
    "modern",
    "narrower",
    "set_dropout",
    "summary",
]
