"""What a training step cannot do without, and what this machine can do at best.

The floor of a step is the longer of two times: its multiply-adds at the speed of a large matrix product, and its bytes
at the speed of a large copy. Both are measured anew before each round of windows, since a shared machine is quick at
one time and slow at another; what share of the floor a row reaches is floor / measured time, the median over rounds.
"""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from benchmarks.machine import clock
from benchmarks.pace import precision
from tinylab import models


@dataclass(frozen=True)
class Floor:
    """The least that one training step of `batch` images takes."""

    forward: int  # multiply-adds of an image
    training: int  # multiply-adds of an image, forward and backward
    flops: float  # of the step: two for each multiply-add
    bytes: float  # of the step

    def seconds(self, flops_per_second: float, bytes_per_second: float) -> float:
        return max(self.flops / flops_per_second, self.bytes / bytes_per_second)


def floor(model: nn.Sequential, *, batch: int = 128, size: int = 64, width: int = 4) -> Floor:
    """The floor of training `model` with Adam; `width`: bytes of an activation, 4 in float32, 2 in bfloat16.

    Multiply-adds: every convolution and fully connected layer once forward, once for the gradient of its weights, and
    once for the gradient of its input, which the first layer does not need.

    Bytes: as if everything between two of these layers happened on the way, nothing but their inputs being stored.
    An input is written once and read twice (forward, and for the gradient of the weights), its gradient written and
    read once; the images themselves are only read, twice. Weights (float32) are read forward and backward, their
    gradients written and read; Adam reads weight and two running means, and writes the three.
    """
    rows = models.summary(model, size).rows
    layers = [row for row in rows if row.multiply_adds]
    forward = sum(row.multiply_adds for row in layers)
    training = 3 * forward - layers[0].multiply_adds
    images, inputs = _inputs(model, size)
    activations = (2 * images + 5 * inputs) * width * batch
    parameters = sum(row.parameters for row in rows) * 4 * (2 + 2 + 6)
    return Floor(forward, training, 2.0 * training * batch, float(activations + parameters))


def _inputs(model: nn.Sequential, size: int) -> tuple[int, int]:
    """Numbers that enter the first layer with weights, and all the others, of one image."""
    sizes: list[int] = []

    def note(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        sizes.append(inputs[0].numel())

    kept = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_pre_hook(note) for layer in kept]
    modes = model.training
    parameter = next(model.parameters())
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, 3, size, size, device=parameter.device))
    finally:
        model.train(modes)
        for hook in hooks:
            hook.remove()
    return sizes[0], sum(sizes[1:])


# ---------------------------------------------------------------- what the machine can do


def peaks(device: str, repeats: int = 9) -> dict[str, Any]:
    """FLOP/s of a large matrix product and bytes/s of a large copy: the best of `repeats`, and their median.

    The best one, because a limit is what is reached when nothing is in the way.
    """
    large = device == "cuda"
    found: dict[str, Any] = {}
    # bfloat16 where rows compute in it; a CPU without instructions for it would take a minute
    for name in dict.fromkeys(("float32", precision(device))):
        dtype = getattr(torch, name)
        n = 8192 if large else 2048
        a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
        out = torch.empty_like(a)
        times = _times(lambda a=a, b=b, out=out: torch.mm(a, b, out=out), device, repeats)  # type: ignore[misc]
        found[f"matrix_product_{name}"] = _speeds(2.0 * n**3, times, "FLOP/s", f"{n} × {n}, {name}")
    count = 2**28 if large else 2**25
    source, target = torch.ones(count, device=device), torch.empty(count, device=device)
    times = _times(lambda: target.copy_(source), device, repeats)
    found["copy"] = _speeds(2.0 * 4 * count, times, "bytes/s", f"{4 * count / 1e6:.0f} MB, bytes read and written")
    return found


def _times(work: Callable[[], object], device: str, repeats: int) -> list[float]:
    work()
    found = []
    for _ in range(repeats):
        started = clock(device)
        work()
        found.append(clock(device) - started)
    return found


def _speeds(amount: float, times: list[float], unit: str, what: str) -> dict[str, Any]:
    return {
        "best": amount / min(times),
        "median": amount / statistics.median(times),
        "n": len(times),
        "unit": unit,
        "what": what,
    }
