"""Whole trained networks that come with tinylab, small enough for a package: what is on a photograph of one's own?

`<record>.network.safetensors` holds one network of a plan with `ship = true`: its weights, in float16 if that takes at
most 3 MB, else in 8 bits (a whole number from -127 to 127, times a scale for each output channel), the mean image of
its training, what its outputs are called, and a digest of it all. What it scores was measured in that form.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tinylab.data.normalisation import Normalisation
from tinylab.support.errors import InvalidInputError, TrainingError, nearest
from tinylab.training.checkpoints import Checkpoint

ENDING = ".network.safetensors"
LARGEST = 3_000_000  # bytes of a file
_PLAIN = ("architecture", "classes", "recipe", "history", "epoch")  # of a checkpoint, kept as JSON
_SCALE = "scale of "


@dataclass(frozen=True)
class Network(Checkpoint):
    """A checkpoint whose `network()` can be asked, by whoever has no images of its training."""

    words: tuple[str, ...] = ()  # of the classes
    accuracy: float = float("nan")  # 0..1, of the official validation images, or of the development split


def pack(checkpoint: Checkpoint, words: tuple[str, ...], accuracy: float) -> bytes:
    """The bytes of a file. Raises TrainingError for a network that is too large even in 8 bits."""
    from safetensors.torch import save

    norm = checkpoint.normalisation
    beside = {"mean image": torch.from_numpy(norm.mean), "scale": torch.from_numpy(norm.scale)}
    about = {name: getattr(checkpoint, name) for name in _PLAIN} | {"words": words, "accuracy": accuracy}
    for kept in (_halves, _eighths):
        tensors = {name: tensor.contiguous() for name, tensor in (beside | kept(checkpoint.model)).items()}
        told = json.dumps(about | {"digest": _digest(tensors)})
        packed = save(tensors, {"network": told})
        if len(packed) <= LARGEST:
            return packed
    raise TrainingError(
        f"the network takes {len(packed) / 1e6:.1f} MB in 8 bits; one that is shipped may take {LARGEST / 1e6:.1f}. "
        "Leave `ship` out of the plan, or train a narrower one"
    )


def unpack(packed: bytes) -> Network:
    """The network in the bytes of a file. Raises TrainingError if they are not what `pack` gave."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(packed)
        head = json.loads(packed[8 : 8 + int.from_bytes(packed[:8], "little")])
        about = json.loads(head["__metadata__"]["network"])
        if about.pop("digest") != _digest(tensors):
            raise ValueError("its digest differs")
        norm = Normalisation(tensors.pop("mean image").numpy(), tensors.pop("scale").numpy())
        model = {name: _whole(name, tensors) for name in tensors if not name.startswith(_SCALE)}
        about |= {name: tuple(about[name]) for name in ("classes", "words")}
        return Network(normalisation=norm, model=model, optimizer={}, **about)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"this is no network that tinylab ships ({' '.join(str(error).split())[:100]})") from None


def names(folder: Path) -> dict[str, Path]:
    """The networks of a folder: the names of their plans, or of their records where a plan has several."""
    paths = sorted(folder.glob(f"*{ENDING}"))
    plans = [path.name.partition("_")[0] for path in paths]
    return {
        plan if plans.count(plan) == 1 else path.name.removesuffix(ENDING): path
        for plan, path in zip(plans, paths, strict=True)
    }


def find(name: str, folder: Path) -> Network:
    """The network of that name. Raises InvalidInputError for an unknown one, TrainingError for a damaged file."""
    known = names(folder)
    if name not in known:
        hint = nearest(name, known) if known else ". There is none: a plan with `ship = true` makes them"
        raise InvalidInputError(f"network {name!r} is unknown{hint}")
    try:
        return unpack(known[name].read_bytes())
    except (OSError, TrainingError) as error:
        raise TrainingError(f"{known[name]}: {' '.join(str(error).split())}") from None


def _halves(model: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.half() if _many(value) else value for name, value in model.items()}


def _eighths(model: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = {}
    for name, value in model.items():
        found[name] = value
        if _many(value):
            scale = value.abs().flatten(1).amax(dim=1).clamp_min(1e-12) / 127  # (outputs,)
            found[name] = (value / scale.view(-1, *[1] * (value.ndim - 1))).round().to(torch.int8)
            found[_SCALE + name] = scale.float()
    return found


def _whole(name: str, tensors: Mapping[str, Tensor]) -> Tensor:
    value = tensors[name]
    if value.dtype == torch.int8:
        value = value.float() * tensors[_SCALE + name].view(-1, *[1] * (value.ndim - 1))
    return value.float() if value.dtype == torch.float16 else value


def _many(value: Tensor) -> bool:
    """Whether it is a matrix or a bank of filters: vectors (biases, batch normalisation) stay as they are."""
    return value.is_floating_point() and value.ndim > 1


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + np.ascontiguousarray(tensors[name].numpy()).tobytes())
    return digest.hexdigest()
