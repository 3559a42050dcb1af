"""The one place that decides device, precision and memory format; no other code asks "is there a GPU?"."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from tinylab.errors import InvalidInputError, nearest

VARIABLE = "TINYLAB_DEVICE"


@dataclass(frozen=True)
class Device:
    """Where tensors live and how they are computed with."""

    target: torch.device
    label: str  # for people: "CPU (2 threads)", "NVIDIA H200"
    autocast_dtype: torch.dtype | None = None  # None: float32 throughout
    # NHWC in memory: the decoded images already lie that way, and on CPU training measured 1.5 times faster
    memory_format: torch.memory_format = torch.channels_last

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """The context for forward passes: mixed precision where it is faster, nothing elsewhere."""
        if self.autocast_dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.target.type, dtype=self.autocast_dtype)

    def place(self, module: nn.Module) -> nn.Module:
        """Move a module here (in place), its convolution weights in this device's memory format."""
        return module.to(device=self.target, memory_format=self.memory_format)  # type: ignore[call-overload]


def _cuda() -> Device | None:
    if not torch.cuda.is_available():
        return None
    rank = os.environ.get("LOCAL_RANK")  # set by torchrun: which process of this machine, each with a GPU of its own
    target = torch.device("cuda") if rank is None else torch.device("cuda", int(rank))
    if int(rank or 0) >= (count := torch.cuda.device_count()):
        raise InvalidInputError(f"process {int(rank or 0) + 1} of this machine has no GPU: it has {count}. Start fewer")
    return Device(target, torch.cuda.get_device_name(target), torch.bfloat16)


def _mps() -> Device | None:
    if not torch.backends.mps.is_available():
        return None
    return Device(torch.device("mps"), "Apple GPU (MPS)", None, torch.contiguous_format)


def _cpu() -> Device:
    threads = torch.get_num_threads()
    return Device(torch.device("cpu"), f"CPU ({threads} thread{'s' if threads > 1 else ''})")


_KINDS: dict[str, Callable[[], Device | None]] = {"cuda": _cuda, "mps": _mps, "cpu": _cpu}  # best first


def pick(name: str | None = None) -> Device:
    """The device to train on: `name` ("cuda", "mps", "cpu"), else $TINYLAB_DEVICE, else the best there is.

    Raises InvalidInputError for an unknown name, or one that this machine does not have.
    """
    name = name or os.environ.get(VARIABLE) or None
    if name is None:
        return next(device for kind in _KINDS.values() if (device := kind()) is not None)
    if name not in _KINDS:
        raise InvalidInputError(f"device {name!r} is unknown{nearest(name, _KINDS)}")
    device = _KINDS[name]()
    if device is None:
        here = [kind for kind, make in _KINDS.items() if make() is not None]
        raise InvalidInputError(f"device {name!r} is not available on this machine. Available: {', '.join(here)}")
    return device
