"""The first layer's filters, which can be drawn as they are, and how alike filters are before and after training."""

import numpy as np
from torch import Tensor, nn

from tinylab.support.errors import InvalidInputError


def first_filters(model: nn.Module) -> np.ndarray:
    """A copy of the first convolution's weights, float32 (N, 3, k, k): its inputs are colours, so they are pictures.

    Raises InvalidInputError for a network without a convolution.
    """
    for one in model.modules():
        if isinstance(one, nn.Conv2d):
            return one.weight.detach().float().cpu().numpy().copy()
    raise InvalidInputError("this network has no convolution, so it has no filters to show")


def alike(before: Tensor, after: Tensor) -> float:
    """The median, over filters, of the correlation of a filter's numbers before and after; both (N, C, k, k), N ≥ 1.

    1: each is what it was, up to brightness and contrast; near 0: nothing of the start is left. A filter of equal
    numbers, such as one that a penalty has taken to zero, counts as 0.
    """
    centred = [w.flatten(1).double().numpy() for w in (before, after)]
    a, b = (w - w.mean(axis=1, keepdims=True) for w in centred)
    sizes = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(np.median(np.divide((a * b).sum(axis=1), sizes, out=np.zeros_like(sizes), where=sizes > 0)))
