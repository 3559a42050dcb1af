"""Two layers of `torch.nn`, computed in a quicker way on a CPU.

They inherit from torch's own classes and have their names. Pooling gives the same numbers, dropout other random ones;
on any other device torch's own arithmetic runs. `layers` has both from their definitions.

Measured on two cores (AMD EPYC without AVX-512, torch 2.13), Model 1, batch 128: dropout, forward and backward, took
103 ms a step and takes 26 ms (medians of 9); `MaxPool2d` takes 33 ms off a step of 743 ms (medians of 12 and 24, in
turn, with convolutions of our own, which have been left out since).
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


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
