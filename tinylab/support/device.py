"""The one place that decides device, precision and memory format; no other code asks "is there a GPU?"."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn

from tinylab.support.errors import InvalidInputError, nearest
from tinylab.support.threads import release_team

VARIABLE = "TINYLAB_DEVICE"
PRECISION_VARIABLE = "TINYLAB_PRECISION"
PRECISIONS = ("float32", "bf16")

if hasattr(os, "register_at_fork"):  # a forked child knows its parent's threads, has none of them, and waits for ever
    os.register_at_fork(before=release_team)


@dataclass(frozen=True)
class Device:
    """Where tensors live and how they are computed with."""

    target: torch.device
    label: str  # for people: "CPU (2 threads)", "CPU (2 threads, bf16)", "NVIDIA H200 (bf16)"
    autocast_dtype: torch.dtype | None = None  # None: float32 throughout
    # NHWC in memory: the decoded images already lie that way, and on CPU training measured 1.5 times faster
    memory_format: torch.memory_format = torch.channels_last

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """The context for forward passes: mixed precision where it is faster, nothing elsewhere."""
        if self.autocast_dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.target.type, dtype=self.autocast_dtype)

    def place(self, module: nn.Module) -> nn.Module:
        """Move a module here (in place): float32, whatever torch's default is, convolutions in this memory format."""
        return module.to(device=self.target, dtype=torch.float32, memory_format=self.memory_format)  # type: ignore[call-overload]


def _cuda() -> Device | None:
    if not torch.cuda.is_available():
        return None
    target = torch.device("cuda")
    try:
        name = torch.cuda.get_device_name(target)
        torch.ones(1, device=target).add_(1)  # a GPU may be reported and yet be of no use: driver, compute capability
    except RuntimeError as error:
        why = " ".join(str(error).split())[:160]
        raise InvalidInputError(f"the GPU is reported but cannot be used ({why}). Set {VARIABLE}=cpu") from None
    return Device(target, name, torch.bfloat16)


def _mps() -> Device | None:
    if not torch.backends.mps.is_available():
        return None
    return Device(torch.device("mps"), "Apple GPU (MPS)", None, torch.contiguous_format)


def _cpu() -> Device:
    threads = torch.get_num_threads()
    label = f"CPU ({threads} thread{'s' if threads > 1 else ''})"
    return Device(torch.device("cpu"), label, torch.bfloat16 if cpu_computes_in_bf16() else None)


def cpu_computes_in_bf16() -> bool:
    """Whether the processor multiplies bfloat16 numbers itself, as far as torch can say.

    Measured, Model 1, batch 128, two cores, torch 2.13: with such instructions (AVX512-BF16) bf16 trains 2.0 times as
    fast as float32 (466 and 230 images/s); on a processor without them (AVX2) it was slower than float32.
    """
    try:
        able = torch.cpu.get_capabilities()
    except (AttributeError, RuntimeError):  # a torch that cannot be asked
        return False
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


_KINDS: dict[str, Callable[[], Device | None]] = {"cuda": _cuda, "mps": _mps, "cpu": _cpu}  # best first


def pick(name: str | None = None, precision: str | None = None) -> Device:
    """The device to train on: `name` ("cuda", "mps", "cpu"), else $TINYLAB_DEVICE, else the best there is.

    precision  of the forward and backward passes: "float32"; "bf16", mixed precision, in which weights, loss and
               updates stay float32. Else $TINYLAB_PRECISION, else whichever is faster there. Two precisions, and two
               kinds of processor, give other last digits; one of each gives the same bits again and again.

    Raises InvalidInputError for an unknown name or precision, or one that this machine does not have.
    """
    device = _named(name or os.environ.get(VARIABLE) or None)
    precision = precision or os.environ.get(PRECISION_VARIABLE) or None
    if precision is not None and precision not in PRECISIONS:
        raise InvalidInputError(f"precision {precision!r} is unknown{nearest(precision, PRECISIONS)}")
    if precision == "bf16" and device.target.type == "mps":
        raise InvalidInputError("precision 'bf16' was never tried on Apple's GPU. Allowed there: float32")
    if precision is not None:
        device = replace(device, autocast_dtype=torch.bfloat16 if precision == "bf16" else None)
    return device if device.autocast_dtype is None else replace(device, label=_in_bf16(device.label))


def _named(name: str | None) -> Device:
    if name is None:
        return next(device for kind in _KINDS.values() if (device := kind()) is not None)
    if name not in _KINDS:
        raise InvalidInputError(f"device {name!r} is unknown{nearest(name, _KINDS)}")
    device = _KINDS[name]()
    if device is None:
        here = [kind for kind, make in _KINDS.items() if make() is not None]
        raise InvalidInputError(f"device {name!r} is not available on this machine. Available: {', '.join(here)}")
    return device


def _in_bf16(label: str) -> str:
    """ "CPU (2 threads)" is "CPU (2 threads, bf16)", "NVIDIA H200" is "NVIDIA H200 (bf16)"."""
    return f"{label[:-1]}, bf16)" if label.endswith(")") else f"{label} (bf16)"
