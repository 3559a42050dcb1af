"""Grad-CAM: which places of the image raised the score of a class (Selvaraju et al., 2017), through captum."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from tinylab.data.normalisation import Normalisation
from tinylab.filters.address import Address, find, frozen, module
from tinylab.filters.features import seen_by
from tinylab.support.errors import InvalidInputError


@dataclass(frozen=True, eq=False)
class Cam:
    """Grad-CAM of B images. A map is as coarse as its layer; where nothing in it speaks for the class, it is zero."""

    address: Address
    classes: np.ndarray  # int64 (B,), the class that each map explains
    maps: np.ndarray  # float32 (B, h, w), ≥ 0, in units of the class's score

    def relative(self) -> np.ndarray:
        """float32 (B, h, w), each map divided by its largest value: 0..1. An empty map stays zero."""
        largest = self.maps.max(axis=(1, 2), keepdims=True)
        return np.divide(self.maps, largest, out=np.zeros_like(self.maps), where=largest > 0)


def grad_cam(
    model: nn.Sequential,
    images: np.ndarray,
    normalisation: Normalisation,
    layer: int | str,
    *,
    classes: Sequence[int] | np.ndarray | None = None,
) -> Cam:
    """The layer's maps, weighted by how much each raises the score (logit) of the class, added up; below zero cut off.

    images   uint8 (B, H, W, 3), as decoded
    layer    one with maps, such as the last convolution or what follows it
    classes  of each image, the one to explain; None: the one that the network would answer
    Evaluation mode; modes and flags are restored, captum removes its hooks, also when something fails.

    Raises InvalidInputError for a layer without maps, or classes that do not fit.
    """
    from captum.attr import LayerGradCam  # slow to import, and only this function needs it

    address = find(model, layer)
    if any(isinstance(one, nn.Flatten | nn.Linear) for one in list(model)[: address.number]):
        raise InvalidInputError(f"{address} has no maps. Allowed: a layer before the first fully connected one")
    x = seen_by(model, images, normalisation)
    with frozen(model):
        with torch.no_grad():
            logits = model(x)
        wanted = logits.argmax(dim=1).cpu().numpy() if classes is None else np.asarray(classes)
        if wanted.shape != (len(x),) or not np.isin(wanted, range(logits.shape[1])).all():
            raise InvalidInputError(
                f"grad_cam got classes {wanted.tolist()} for {len(x)} images. Allowed: one each, 0 to "
                f"{logits.shape[1] - 1}"
            )
        target = torch.from_numpy(wanted.astype(np.int64)).to(x.device)
        x.requires_grad_()  # the weights are frozen, so it is the image that gradients are asked for
        found = LayerGradCam(model, module(model, layer)).attribute(x, target, relu_attributions=True)
    return Cam(address, wanted, found.detach().float().cpu().numpy()[:, 0])
