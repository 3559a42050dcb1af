"""The report's six layers and its loss, each written out from its definition: the reference of lecture 02.

Plain functions on tensors of any floating dtype, differentiable by autograd, written to be read: the networks
train with `torch.nn`, and the tests hold each function here against it, values and gradients, in float64.

    conv2d  max_pool2d  dropout  batch_norm  relu  linear  softmax  softmax_cross_entropy  he_normal_

Shapes: B images of a batch, C channels, H height and W width in pixels, N filters, K kernel size in pixels.
"""

import math

import torch
from torch import Tensor

from tinylab.support.errors import InvalidInputError


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, padding: int = 0) -> Tensor:
    """Slide N filters over the image; at each place, multiply what lies under the filter and add it up.

        out[b, n, i, j] = bias[n] + sum over c, u, v of  weight[n, c, u, v] · x[b, c, i + u, j + v]

    x (B, C, H, W), weight (N, C, K, K), bias (N,) or None
    -> (B, N, H + 2·padding - K + 1, W + 2·padding - K + 1).
    `padding` adds that many rows and columns of zeros on each side; (K - 1) / 2 keeps the size ('same').
    The filter is not flipped, so mathematicians say cross-correlation; deep learning libraries all do it so.
    """
    if x.ndim != 4 or weight.ndim != 4 or x.shape[1] != weight.shape[1]:
        raise _misfit("conv2d", x, weight, "x (B, C, H, W) with weight (N, C, K, K), the same C in both")
    x = torch.nn.functional.pad(x, (padding, padding, padding, padding))
    rows, columns = weight.shape[2:]
    height, width = x.shape[2] - rows + 1, x.shape[3] - columns + 1
    if height < 1 or width < 1:
        raise _misfit("conv2d", x, weight, "a filter no larger than the padded image")
    out = x.new_zeros(len(x), len(weight), height, width)
    for u in range(rows):
        for v in range(columns):
            window = x[:, :, u : u + height, v : v + width]  # what each place sees through this hole of the filter
            out = out + torch.einsum("bchw,nc->bnhw", window, weight[:, :, u, v])
    return out if bias is None else out + bias[:, None, None]


def max_pool2d(x: Tensor, size: int = 2) -> Tensor:
    """Keep the largest number of each window of size×size pixels; windows do not overlap.

    x (B, C, H, W) -> (B, C, H // size, W // size); rows and columns left over at the end are not looked at.
    The gradient goes to the largest number alone: the first of them, read row by row, if several are equal.
    """
    if x.ndim != 4 or size < 1 or min(x.shape[2:]) < size:
        raise InvalidInputError(
            f"max_pool2d got x {tuple(x.shape)} and size {size}. Allowed: x (B, C, H, W), 1 ≤ size ≤ H and W"
        )
    B, C, H, W = x.shape
    whole = x[:, :, : H // size * size, : W // size * size]
    windows = whole.reshape(B, C, H // size, size, W // size, size).transpose(3, 4).flatten(4)
    return windows.max(dim=-1).values  # windows: (B, C, H // size, W // size, size²)


def dropout(
    x: Tensor,
    p: float,
    training: bool = True,
    generator: torch.Generator | None = None,
    kept: Tensor | None = None,
) -> Tensor:
    """While training, set each number to 0 with probability p and multiply the others by 1 / (1 - p).

    The factor keeps the expected value, so that after training x can come back as it is. This is "inverted"
    dropout; Srivastava et al. (2014) scale at test time instead. x any shape; 0 ≤ p < 1. kept: bool, like x, which
    numbers stay, in place of coins that are tossed here.
    """
    if not 0 <= p < 1:
        raise InvalidInputError(f"dropout is {p!r}. Allowed: a probability, 0 ≤ p < 1")
    if not training:
        return x
    if kept is None:
        kept = torch.rand(x.shape, generator=generator, device=x.device) >= p
    return x * kept / (1 - p)


def batch_norm(
    x: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    eps: float = 1e-5,
    *,
    training: bool = True,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    momentum: float = 0.1,
) -> Tensor:
    """Give each channel mean 0 and variance 1 over the batch, then let the network choose both anew.

        out = gamma · (x - mean) / sqrt(variance + eps) + beta          (Ioffe and Szegedy, 2015)

    x (B, C) or (B, C, H, W), normalised over all but the channels; gamma, beta (C,), None for 1 and 0.
    While training, mean and variance are those of the batch, and the running ones (C,), if given, move
    towards them in place by the share `momentum`; afterwards the running ones are used, so that the answer
    for one image does not depend on its neighbours. `eps=0` without gamma and beta is the report's formula.
    """
    if x.ndim not in (2, 4) or (training and x.numel() == x.shape[1]):
        allowed = "(B, C) or (B, C, H, W), at least two numbers for each channel"
        raise InvalidInputError(f"batch_norm got x {tuple(x.shape)}. Allowed: {allowed}")
    over = [axis for axis in range(x.ndim) if axis != 1]  # all but the channels
    shape = [1, -1] + [1] * (x.ndim - 2)  # (1, C, 1, 1): one number per channel, whatever the rest
    if training:
        mean, variance = x.mean(over), x.var(over, unbiased=False)
        if running_mean is not None and running_var is not None:
            running_mean.lerp_(mean.detach(), momentum)
            running_var.lerp_(x.detach().var(over, unbiased=True), momentum)  # torch keeps the unbiased one
    elif running_mean is not None and running_var is not None:
        mean, variance = running_mean, running_var
    else:
        raise InvalidInputError("batch_norm outside training needs running_mean and running_var, got None")
    out = (x - mean.view(shape)) / torch.sqrt(variance.view(shape) + eps)
    if gamma is not None:
        out = out * gamma.view(shape)
    return out if beta is None else out + beta.view(shape)


def relu(x: Tensor) -> Tensor:
    """max(0, x), number by number; the slope is 0 at and below 0, and 1 above. x any shape."""
    return torch.where(x <= 0, torch.zeros_like(x), x)  # asked this way round, NaN stays NaN and can be found


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The fully connected layer: every unit sees every input.

        out[b, m] = bias[m] + sum over d of  weight[m, d] · x[b, d]

    x (B, D), weight (M, D), bias (M,) or None -> (B, M).
    """
    if x.ndim != 2 or weight.ndim != 2 or x.shape[1] != weight.shape[1]:
        raise _misfit("linear", x, weight, "x (B, D) with weight (M, D), the same D in both")
    out = x @ weight.T
    return out if bias is None else out + bias


def softmax(logits: Tensor) -> Tensor:
    """Logits to probabilities: exp(z) over the sum of all exp(z) of the row. (B, C) -> (B, C)."""
    shifted = logits - logits.amax(dim=1, keepdim=True)  # changes nothing but keeps exp from overflowing
    powers = shifted.exp()
    return powers / powers.sum(dim=1, keepdim=True)


def softmax_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """The softmax loss: minus the logarithm of the probability given to the right class, mean over the batch.

    logits (B, C), targets int64 (B,) with values 0 to C - 1 -> a scalar, 0 at best, ln C for a guess.
    """
    if logits.ndim != 2 or targets.shape != logits.shape[:1] or not len(targets):
        raise _misfit("softmax_cross_entropy", logits, targets, "logits (B, C) with targets (B,)")
    low, high = int(targets.min()), int(targets.max())
    if low < 0 or high >= logits.shape[1]:
        raise InvalidInputError(f"targets run from {low} to {high}. Allowed: 0 to {logits.shape[1] - 1}")
    shifted = logits - logits.amax(dim=1, keepdim=True).detach()  # see softmax
    log_probabilities = shifted - shifted.exp().sum(dim=1, keepdim=True).log()
    return -log_probabilities[torch.arange(len(targets), device=targets.device), targets].mean()


def he_normal_(weight: Tensor, scale: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
    """Fill `weight` (N, C, K, K) or (M, D) with normal numbers, standard deviation scale · sqrt(2 / fan_in).

    fan_in is how many inputs one output adds up: C·K·K, or D. With scale 1 the signal keeps its size through
    many layers with relu (He et al., "Delving Deep into Rectifiers", 2015, section 2.2). Drawn on the CPU in
    float32, so that a seed gives the same weights on every device. Returns `weight`.
    """
    fan_in = weight[0].numel()
    with torch.no_grad():
        drawn = torch.randn(weight.shape, generator=generator)
        return weight.copy_(scale * math.sqrt(2 / fan_in) * drawn)


def _misfit(function: str, x: Tensor, weight: Tensor, allowed: str) -> InvalidInputError:
    return InvalidInputError(f"{function} got shapes {tuple(x.shape)} and {tuple(weight.shape)}. Allowed: {allowed}")
