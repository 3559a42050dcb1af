"""The exponential moving average of a network's weights (EMA): steadier than the weights of any one step.

Polyak and Juditsky (1992) averaged the whole way; here the mean forgets exponentially, with a decay that grows with
the number of updates, as TensorFlow's ExponentialMovingAverage has it (2015), so that the first weights do not linger.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def averaged(model: nn.Module, decay: float) -> AveragedModel:
    """A copy of `model` whose weights follow it: after update n (from 0) its decay is min(decay, (1 + n) / (10 + n)).

    Statistics of batch normalisation are averaged like weights, since they describe activations that follow from the
    weights; its counters are copied. 0 < decay < 1, a step.
    """

    def follow(means: Sequence[Tensor], weights: Sequence[Tensor], updates: Tensor | int) -> None:
        if not means[0].is_floating_point():
            torch._foreach_copy_(list(means), list(weights))
            return
        n = int(updates) - 1  # torch counted the copy that it began with
        torch._foreach_lerp_(list(means), list(weights), 1 - min(decay, (1 + n) / (10 + n)))

    following = AveragedModel(model, multi_avg_fn=follow, use_buffers=True)
    following.n_averaged += 1  # the copy is the first: otherwise torch would copy once more, after the first update
    return following
