"""Looking at a network without leaving a trace: copies to train on, and random numbers of one's own."""

import contextlib
import copy
from collections.abc import Iterator
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tinylab import optimizers
from tinylab.models import set_dropout
from tinylab.support.errors import InvalidInputError

T = TypeVar("T")


def check_batch(x: Tensor, y: Tensor | None = None, *, least: int = 1) -> None:
    """Raises InvalidInputError unless x is float (B, …) with B ≥ least, and y int64 (B,) if there is one."""
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.ndim < 2 or len(x) < least:
        shape = f"a tensor {x.dtype} {tuple(x.shape)}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
        raise InvalidInputError(
            f"a batch of images as {shape} cannot be checked. Allowed: float (B, C, H, W) with B from {least}, such as "
            "`x, y = next(run.batches.epoch(1))` gives"
        )
    if y is not None and (not isinstance(y, Tensor) or y.shape != x.shape[:1] or y.dtype != torch.int64):
        shape = f"a tensor {y.dtype} {tuple(y.shape)}" if isinstance(y, Tensor) else f"a {type(y).__name__}"
        raise InvalidInputError(f"labels as {shape} do not fit {len(x)} images. Allowed: int64 ({len(x)},)")


@contextlib.contextmanager
def own_random(x: Tensor) -> Iterator[None]:
    """Torch's random numbers, on the device of `x`, start from seed 0 inside; the caller's go on untouched."""
    with torch.random.fork_rng([x.device] if x.device.type == "cuda" else []):
        torch.manual_seed(0)
        yield


def copied(thing: T) -> T:
    """A deep copy of a network, or of several things that belong together, without hooks: those of the original
    would write what the copy does into their owner's results."""
    twin = copy.deepcopy(thing)
    for part in twin if isinstance(twin, tuple) else (twin,):
        for module in part.modules() if isinstance(part, nn.Module) else ():
            module._forward_hooks.clear()
            module._forward_pre_hooks.clear()
            module._backward_hooks.clear()
            module._backward_pre_hooks.clear()
    return twin


def losses_of_a_copy(model: nn.Module, x: Tensor, y: Tensor, steps: int, enough: float = 0.0) -> list[float]:
    """Train a copy on one batch with Adam, without dropout or decay: the loss before and after each of `steps` updates.

    Stops early, with a shorter list, at a loss of `enough` or below.
    """
    twin, losses = copied(model).train(), []
    set_dropout(twin, 0.0)
    optimizer = optimizers.build("adam", twin, learning_rate=1e-3)
    with own_random(x), torch.enable_grad():
        for _ in range(steps + 1):
            optimizer.zero_grad()
            loss = cross_entropy(twin(x).float(), y)
            losses.append(loss.item())
            if not losses[-1] > enough:  # also ends at NaN
                break
            loss.backward()
            optimizer.step()
    return losses
