"""The report's three networks as it wrote them: section 3.3's lines, Table 1's numbers; narrower twins of a line.

A name ("model_1") stands for its line; every function that takes one takes the other.
"""

import re
from dataclasses import dataclass

from tinylab.support.errors import InvalidInputError, check_int, nearest

ARCHITECTURES: dict[str, str] = {
    "model_1": (
        "conv3-32 - relu - conv3-32 - relu - max pool - dropout - "
        "conv3-64 - relu - conv3-64 - relu - max pool - dropout - "
        "fc(512) - relu - dropout - softmax"
    ),
    "model_2": (
        "conv3-32 - relu - conv3-32 - relu - max pool - dropout - "
        "conv3-64 - relu - conv3-64 - relu - max pool - dropout - "
        "conv3-128 - relu - conv3-128 - relu - max pool - dropout - "
        "fc(512) - relu - dropout - softmax"
    ),
    "model_3": (
        "conv5-32 - relu - conv3-32 - relu - max pool - "
        "conv3-64 - relu - max pool - "
        "conv3-128 - relu - max pool - "
        "fc(256) - relu - dropout - fc(200) - softmax"
    ),
}  # section 3.3 of the report, word for word


@dataclass(frozen=True)
class Reported:
    """A row of the report's Table 1: accuracies between 0 and 1, on 200 classes."""

    train: float
    validation: float
    title: str  # as the report writes it


REPORTED: dict[str, Reported] = {
    "model_1": Reported(0.5693, 0.2435, "Model 1"),
    "model_2": Reported(0.1871, 0.1799, "Model 2"),
    "model_3": Reported(0.6236, 0.1560, "Model 3"),
}


def narrower(architecture: str, factor: int) -> str:
    """The line with `factor` times fewer filters and units in each layer, at least one: to try many things with.

    A quarter of the filters takes a fourteenth of Model 1's arithmetic. An fc directly before softmax stays: it has
    one unit per class. Raises InvalidInputError for an unknown network, one that is no line, or a factor below 1.
    """
    check_int("factor", factor, 1)

    def fewer(match: re.Match[str]) -> str:
        return f"{match[1]}{max(1, int(match[2]) // factor)}"

    layers = architecture_of(architecture).split(" - ")
    narrowed = [re.sub(r"^(conv\d+-|fc\()(\d+)", fewer, layer) for layer in layers[:-2]]
    return " - ".join([*narrowed, *layers[-2:]])


def architecture_of(architecture: str, others: tuple[str, ...] = ()) -> str:
    """The line behind a name, or the line itself: a single unknown word is taken for a misspelt name.

    others: names of networks that have no line, for the message. Raises InvalidInputError.
    """
    names = (*ARCHITECTURES, *others)
    if not isinstance(architecture, str):
        raise InvalidInputError(f"a network is a name or a line of notation, got {architecture!r}{nearest('', names)}")
    if architecture in ARCHITECTURES:
        return ARCHITECTURES[architecture]
    if " - " in architecture or architecture.strip() == "softmax":
        return architecture
    raise InvalidInputError(
        f"network {architecture!r} is unknown{nearest(architecture, names)}, or a line whose layers"
        " stand between ' - ', such as 'conv3-32 - relu - max pool - softmax'"
    )
