"""A network from a name or a line of notation, with freshly drawn weights; its dropout, all layers at once."""

import torch
from torch import nn

from tinylab.layers import he_normal_
from tinylab.models import notation
from tinylab.models.report import ARCHITECTURES, architecture_of
from tinylab.models.resnet import SHAPES, modern
from tinylab.support.errors import InvalidInputError, nearest

NAMES = (*ARCHITECTURES, *SHAPES)
INITIALISATIONS = ("he", "he everywhere")
LAST_LAYER = 0.1  # how much smaller the last layer starts under "he"


def build(
    architecture: str,
    classes: int = 200,
    *,
    size: int = 64,
    dropout: float | None = None,
    seed: int | None = 0,
    initialisation: str = "he",
) -> nn.Sequential:
    """A network from a name ("model_1", "modern") or a line of notation, with freshly drawn weights.

    Input float32 (B, 3, size, size); output float32 (B, classes), logits. The modern networks take images of any size.

    dropout         replaces the probability of every dropout layer, 0 ≤ p < 1; None: as the line says, and 0 in a
                    modern network, which has one dropout, before its last layer
    seed            the same seed gives the same weights on every machine of a kind; None: new ones each time.
                    The global random state is neither read nor moved.
    initialisation  see `initialise`

    Raises InvalidInputError for an unknown name (with the nearest one) or a bad line (with the layer).
    """
    with torch.random.fork_rng(devices=[]):  # the modules' own first draw, which `initialise` replaces
        if isinstance(architecture, str) and architecture in SHAPES:
            model: nn.Sequential = modern(architecture, classes)
        else:
            model = notation.parse(architecture_of(architecture, tuple(SHAPES)), classes=classes, size=size)
    initialise(model, initialisation, seed=seed)
    if dropout is not None:
        set_dropout(model, dropout)
    return model


def initialise(model: nn.Module, initialisation: str = "he", *, seed: int | None = 0) -> None:
    """Draw all weights of convolutions and fully connected layers anew; biases become 0.

    "he"             normal with standard deviation sqrt(2 / fan_in) (He et al., 2015), the report's "Gaussian
                     initialization scaled by fan in"; a tenth of that in the last layer, where no relu
                     follows: logits near 0 make the first loss ln(classes), that of someone who only guesses.
    "he everywhere"  the report to the letter, the last layer included. Its first guesses are confident and
                     wrong: on 200 classes the first loss measured 8 to 17 (5.3 is ln 200).

    Batch normalisation is left as it is.
    """
    if initialisation not in INITIALISATIONS:
        raise InvalidInputError(
            f"initialisation {initialisation!r} is unknown{nearest(initialisation, INITIALISATIONS)}"
        )
    generator = torch.Generator()
    generator.seed() if seed is None else generator.manual_seed(seed)
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        for layer in layers:
            small = LAST_LAYER if layer is layers[-1] and initialisation == "he" else 1.0
            he_normal_(layer.weight, small, generator)
            if layer.bias is not None:
                layer.bias.zero_()


def set_dropout(model: nn.Module, p: float) -> None:
    """Set every dropout layer of `model` to probability `p`, 0 ≤ p < 1, also in the middle of a run."""
    if isinstance(p, bool) or not isinstance(p, int | float) or not 0 <= p < 1:
        raise InvalidInputError(f"dropout is {p!r}. Allowed: a probability, 0 ≤ p < 1")
    for layer in model.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = float(p)
