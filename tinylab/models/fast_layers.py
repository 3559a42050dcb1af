"""Three layers of `torch.nn`, computed in a quicker way on a CPU.

They inherit from torch's own classes, with the same parameters and names. Pooling gives the same numbers, a convolution
the same up to rounding, dropout other random ones; on any other device torch's own arithmetic runs. `layers` has all
three from their definitions.

Measured on two cores (AMD EPYC without AVX-512, torch 2.13), Model 1, batch 128: dropout, forward and backward, took
103 ms a step and takes 26 ms (medians of 9); the three large weight gradients 284 ms and 246 ms (medians of 7, in turn,
nothing else running). A step with dropout as here and all else torch's own takes 766 ms; with the weight gradients and
the input gradients of `Conv2d` 743 ms, with `MaxPool2d` as well 710 ms (medians of 12 and 24, in turn).
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d, pad

from tinylab.support.device import cpu_has_avx512

_FEWEST_CHANNELS = 16  # with fewer, such as the 3 of an image, torch's own weight gradient is quicker
_WORKSPACE = 6_000_000  # bytes of copies at a time: about what two cores' caches hold


class Conv2d(nn.Conv2d):
    """`nn.Conv2d`; x float (B, C, H, W) -> (B, N, H', W'). Second derivatives only where torch's own code runs."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not (torch.is_grad_enabled() and weight.requires_grad and _own(self, input, weight)):
            return super()._conv_forward(input, weight, bias)
        result: Tensor = _SameConvolution.apply(input, weight, bias)
        return result


def _own(layer: nn.Conv2d, x: Tensor, weight: Tensor) -> bool:
    """Whether `weight_gradient` is made for this, and quicker."""
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype in (torch.float32, torch.float64)
        and not torch.is_autocast_enabled("cpu")
        and not cpu_has_avx512()  # there torch's own are quicker by 15 %, and in bf16 by more than half
        and x.ndim == 4
        and x.shape[1] >= _FEWEST_CHANNELS
        and layer.kernel_size[0] == layer.kernel_size[1]
        and layer.padding == (layer.kernel_size[0] // 2,) * 2
        and layer.kernel_size[0] % 2 == 1
        and (layer.stride, layer.dilation, layer.groups, layer.padding_mode) == ((1, 1), (1, 1), 1, "zeros")
    )


class _SameConvolution(torch.autograd.Function):
    """A convolution that keeps the size; torch's own but for the gradient of the weights."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return conv2d(x, weight, bias, padding=weight.shape[2] // 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        wanted, size = ctx.needs_input_grad, weight.shape[2]
        # a convolution again, with every filter turned round: torch's forward is quicker than its backward
        of_x = conv2d(gradient, weight.flip(2, 3).transpose(0, 1), padding=size // 2) if wanted[0] else None
        of_weight = weight_gradient(x, gradient, size) if wanted[1] else None
        return of_x, of_weight, gradient.sum(dim=(0, 2, 3)) if wanted[2] else None


def weight_gradient(x: Tensor, gradient: Tensor, size: int) -> Tensor:
    """The gradient (N, C, K, K) of a same-size convolution's weights, from x (B, C, H, W) and that of its output.

        dW[n, c, u, v] = sum over b, i, j of  gradient[b, n, i, j] · x[b, c, i + u - K // 2, j + v - K // 2]

    For one (u, v) that is a matrix product, N×BHW by BHW×C, too narrow to keep a processor busy. Here x is laid out K
    times side by side, a column further each time, and the gradient K times, a row further each time: then one product
    of KN×BHW by BHW×KC holds all K² at once, for 2K copies instead of K² (as im2col makes).
    """
    B, C, H, W = x.shape
    N, reach = gradient.shape[1], size // 2
    x, gradient = x.permute(0, 2, 3, 1), gradient.permute(0, 2, 3, 1)  # as they lie in memory: channels_last
    at_once = max(1, _WORKSPACE // (H * W * size * (C + N) * x.element_size()))
    total = x.new_zeros(size * N, size * C)
    for start in range(0, B, at_once):
        columns = pad(x[start : start + at_once], (0, 0, reach, reach))  # (b, H, W + K - 1, C)
        rows = pad(gradient[start : start + at_once], (0, 0, 0, 0, reach, reach))  # (b, H + K - 1, W, N)
        b, (image, row, column, channel) = len(columns), columns.stride()
        wide = columns.as_strided((b, H, W, size, C), (image, row, column, column, channel))
        image, row, column, channel = rows.stride()
        tall = rows.as_strided((b, H, W, size, N), (image, row, column, row, channel))
        total.addmm_(tall.reshape(-1, size * N).T, wide.reshape(-1, size * C))
    # the u-th copy of the gradient, a row further each, stands for row K - 1 - u of the filter
    return total.view(size, N, size, C).flip(0).permute(1, 3, 0, 2)


class MaxPool2d(nn.MaxPool2d):
    """`nn.MaxPool2d`; x float (B, C, H, W). Its gradient arrives in the memory format of x.

    It comes out of `flatten` in torch's standard order; torch would bring x and its gradient into that order, and the
    result back.
    """

    def forward(self, input: Tensor) -> Tensor:
        pooled: Tensor = super().forward(input)
        if pooled.requires_grad and input.ndim == 4 and input.is_contiguous(memory_format=torch.channels_last):
            pooled.register_hook(lambda gradient: gradient.contiguous(memory_format=torch.channels_last))
        return pooled


class Dropout(nn.Dropout):
    """`nn.Dropout`, with torch's global random numbers or, where there is one, those of `generator`.

    On the CPU p counts in steps of 1 / 65,536: torch draws one number after the other, and four fit into one draw.
    """

    generator: torch.Generator | None = None

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return input
        if input.device.type != "cpu" or self.p == 1:
            if self.generator is None:
                return super().forward(input)
            kept = torch.empty_like(input).bernoulli_(1 - self.p, generator=self.generator)
            return input * kept.div_(1 - self.p)
        dense = input if _dense(input) else input.contiguous()
        drawn = torch.empty(-(-dense.numel() // 4), dtype=torch.int64).random_(-(2**63), None, generator=self.generator)
        kept = drawn.view(torch.int16).as_strided(dense.shape, dense.stride()) >= round(self.p * 2**16) - 2**15
        return dense * kept.to(dense.dtype).div_(1 - self.p)  # numbers, not truths: quicker by a fifth


@contextlib.contextmanager
def drawing_from(generator: torch.Generator, model: nn.Module, *, everything: bool = False) -> Iterator[None]:
    """Inside, the dropout of `model` takes its random numbers from `generator`, which lives on the model's device.

    Layers of ours do; if the network has random layers of torch's own, or draws numbers elsewhere (`everything`),
    torch's global state is set to the generator's seed for as long, which two threads cannot do at the same time.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, nn.modules.dropout._DropoutNd)]
    ours = [layer for layer in layers if isinstance(layer, Dropout)]
    foreign = _globally(generator) if everything or len(ours) < len(layers) else contextlib.nullcontext()
    for layer in ours:
        layer.generator = generator
    try:
        with foreign:
            yield
    finally:
        for layer in ours:
            layer.generator = None


@contextlib.contextmanager
def _globally(generator: torch.Generator) -> Iterator[None]:
    """Torch's own random numbers start from the generator's seed inside; the caller's go on untouched."""
    if generator.device.type == "cpu":  # torch.manual_seed notes the whole call stack: a millisecond from a notebook
        before = torch.default_generator.get_state()
        torch.default_generator.manual_seed(generator.initial_seed())
        try:
            yield
        finally:
            torch.default_generator.set_state(before)
    else:
        with torch.random.fork_rng([generator.device] if generator.device.type == "cuda" else []):
            torch.manual_seed(generator.initial_seed())
            yield


def _dense(x: Tensor) -> bool:
    """Whether the elements lie side by side in memory, in whatever order."""
    return x.is_contiguous() or (x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last))
