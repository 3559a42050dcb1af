"""What real images make of a layer: feature maps, and the images and places that a channel answers to most."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor, nn

from tinylab.data.batches import Batches
from tinylab.data.normalisation import Normalisation
from tinylab.filters.address import Address, Field, chosen, find, receptive_field, up_to
from tinylab.support.device import pick
from tinylab.support.errors import InvalidInputError, check_int
from tinylab.training import EVALUATION_BATCH, evaluating, gathered

if TYPE_CHECKING:
    from tinylab.data.split import Split


def feature_maps(
    model: nn.Sequential, images: np.ndarray, normalisation: Normalisation, layer: int | str
) -> np.ndarray:
    """What the layer makes of each image: float32 (B, C, h, w); of a convolution, the values before the relu.

    images: uint8 (B, H, W, 3), as decoded. Evaluation mode; the model's modes are restored.
    """
    x = seen_by(model, images, normalisation)
    with evaluating(model):
        maps: Tensor = up_to(model, layer)(x)
    return maps.float().cpu().numpy()


def seen_by(model: nn.Module, images: np.ndarray, normalisation: Normalisation) -> Tensor:
    """Decoded images as the network takes them, where it is. InvalidInputError for none, and for what does not fit."""
    if len(images) == 0:
        raise InvalidInputError("there is no image to look at. Allowed: uint8 (B, H, W, 3) with B from 1")
    return normalisation.apply(images).to(next(model.parameters()).device)


def walk(model: nn.Sequential, split: "Split", normalisation: Normalisation, layer: int | str) -> Iterator[Tensor]:
    """The layer's maps (B, C, h, w) for all images of a split, batch by batch, in its order; evaluation mode."""
    device = pick()
    device.place(model)
    batches = Batches(split, normalisation, batch=EVALUATION_BATCH, device=device)
    part = up_to(model, layer)
    for x, _ in batches.epoch():
        with evaluating(model):  # left before each yield: the caller may train in between, or never come back
            maps = part(x).float()
        yield maps


@dataclass(frozen=True, eq=False)
class Top:
    """For N channels, the K images with the highest value anywhere in the channel's map, highest first."""

    address: Address
    channels: np.ndarray  # int64 (N,)
    rows: np.ndarray  # int64 (N, K), of the split
    values: np.ndarray  # float32 (N, K), before the relu
    places: np.ndarray  # int64 (N, K, 2), row and column of that value in the map
    field: Field  # from places to pixels

    def box(self, channel: int, rank: int) -> tuple[int, int, int, int]:
        """Top, left, bottom, right, in pixels, of what the channel saw: the first two belong to it, the others not.

        channel, rank: positions 0..N-1 and 0..K-1 in the arrays above. May reach outside the image.
        """
        row, column = self.places[channel, rank].tolist()
        return self.field.box(row, column)


def top_images(
    model: nn.Sequential,
    split: "Split",
    normalisation: Normalisation,
    layer: int | str,
    *,
    count: int = 5,
    channels: np.ndarray | list[int] | None = None,
) -> Top:
    """The `count` images of a split that each channel answers to most, and where in them.

    An image counts once, with its highest value; of equal ones, the earlier row, and the place read first.
    channels: from 0; None: all. Raises InvalidInputError for a layer without maps, channels that are not there, or
    more images than the split has.
    """
    check_int("count", count, 1, len(split))
    field = receptive_field(model, layer)
    width = 0

    def found() -> Iterator[tuple[Tensor, ...]]:
        nonlocal width
        for maps in walk(model, split, normalisation, layer):
            width = maps.shape[-1]
            yield tuple(maps.flatten(2).max(dim=2))  # values and places, (B, C)

    address = find(model, layer)
    values, places = (each.cpu().numpy().T for each in gathered(found(), len(split)))  # (C, M)
    wanted = chosen(channels, len(values), address)
    values, places = values[wanted], places[wanted]
    rows = np.argsort(-values, axis=1, kind="stable")[:, :count]
    flat = np.take_along_axis(places, rows, axis=1)
    return Top(
        address,
        wanted,
        rows,
        np.take_along_axis(values, rows, axis=1),
        np.stack([flat // width, flat % width], axis=-1),
        field,
    )
