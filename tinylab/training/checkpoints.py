"""What is saved of a run, so that it can be resumed or its network used, and how the file is kept whole.

A checkpoint is one file: a line that says what it is, a line with the SHA-256 of the rest, then the rest as
`torch.save` wrote it. The digest is there because a flipped bit in a weight would otherwise load without a
word. Only tensors, numbers, text, lists and dictionaries are read back: a file that asks for code to run is
refused.
"""

import errno
import hashlib
import io
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import ConfigDict, Field, InstanceOf, TypeAdapter
from torch import Tensor, nn

from tinylab.data.normalisation import Normalisation
from tinylab.models import SHAPES, modern, notation
from tinylab.support.errors import TinylabError, TrainingError
from tinylab.support.files import atomic_write
from tinylab.support.validation import validated

_KIND = b"tinylab checkpoint "
_VERSION = b"1"
_REMEDY = "Delete it and train again, or take another checkpoint"


@dataclass(frozen=True)
class Checkpoint:
    """A run after a whole number of epochs, in plain data."""

    architecture: str  # in notation, or a modern network's name
    classes: Annotated[tuple[str, ...], Field(min_length=1)]  # wnids in the order of the network's outputs
    normalisation: InstanceOf[Normalisation]  # of the images that it was trained on
    recipe: dict[str, Any]
    history: dict[str, Any]
    epoch: Annotated[int, Field(ge=0)]  # finished ones
    model: dict[str, Tensor]  # state_dict
    optimizer: dict[str, Any]  # state_dict; empty where only the best weights were kept
    raw: dict[str, Tensor] | None = None  # the weights that learn, where `model` is their running mean

    __pydantic_config__ = ConfigDict(strict=True, revalidate_instances="always", arbitrary_types_allowed=True)

    def network(self) -> nn.Sequential:
        """The trained network, in evaluation mode, on the CPU."""
        if self.architecture in SHAPES:
            network: nn.Sequential = modern(self.architecture, len(self.classes))
        else:
            size = self.normalisation.mean.shape[0]
            network = notation.parse(self.architecture, classes=len(self.classes), size=size)
        network.load_state_dict(self.model)
        return network.eval()


_CHECKPOINT = TypeAdapter(Checkpoint)


def save(path: str | Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint` to `path` so that at every instant either the old file is there, whole, or the new
    one.

    Raises TrainingError if it cannot be written; the previous checkpoint is then still there.
    """
    parts = {field.name: getattr(checkpoint, field.name) for field in fields(checkpoint)}
    norm = checkpoint.normalisation
    parts["normalisation"] = {"mean": torch.from_numpy(norm.mean), "scale": torch.from_numpy(norm.scale)}
    parts["classes"] = list(checkpoint.classes)
    buffer = io.BytesIO()
    torch.save(parts, buffer)
    payload = buffer.getbuffer()
    digest = hashlib.sha256(payload).hexdigest().encode()
    atomic_write(path, b"%s%s\n%s\n" % (_KIND, _VERSION, digest), payload)


def load(path: str | Path) -> Checkpoint:
    """The checkpoint at `path`, tensors on the CPU.

    Raises TrainingError, naming the file and what to do, if it is missing, damaged, or not a checkpoint.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_dir() and not path.is_file():  # a pipe would wait for ever
            raise OSError(errno.EINVAL, "it is a pipe or a device")
        content = memoryview(path.read_bytes())
    except FileNotFoundError:
        raise TrainingError(f"{path}: there is no checkpoint here. Check the path, or train first") from None
    except OSError as error:
        raise TrainingError(f"{path}: the checkpoint cannot be read ({error.strerror}). Check it") from error
    head = bytes(content[:128]).split(b"\n", 2)
    if len(content) == 0:
        raise TrainingError(f"{path}: the checkpoint is empty. {_REMEDY}")
    if len(head) < 3 or not head[0].startswith(_KIND):
        raise TrainingError(f"{path}: this is not a tinylab checkpoint. Name a file that `train` wrote")
    if (version := head[0].removeprefix(_KIND)) != _VERSION:
        raise TrainingError(
            f"{path}: the checkpoint has format {version.decode(errors='replace')}, this tinylab reads "
            f"{_VERSION.decode()}. Train again, or use the tinylab that wrote it"
        )
    payload = content[len(head[0]) + len(head[1]) + 2 :]
    if hashlib.sha256(payload).hexdigest().encode() != head[1]:
        raise TrainingError(f"{path}: the checkpoint is damaged (cut short, or bits changed). {_REMEDY}")
    try:
        parts = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a file made by someone else can make torch.load raise
        raise TrainingError(
            f"{path}: refused, nothing of it was run: it holds more than tensors, numbers and text "
            f"({_first_line(error)}). {_REMEDY}"
        ) from error
    try:
        norm = parts["normalisation"]
        parts["normalisation"] = Normalisation(np.asarray(norm["mean"]), np.asarray(norm["scale"]))
        parts["classes"] = tuple(parts["classes"])
        if "line" in parts:  # as it was called before
            parts["architecture"] = parts.pop("line")
        if parts.pop("teacher", None) is not None:  # written before distillation was left out
            raise ValueError("it belongs to a run with a teacher, which this tinylab no longer has")
        read = Checkpoint(**parts)
        validated(_CHECKPOINT, read, ValueError, "it")  # whoever wrote the file made the digest, too
        return read
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise TrainingError(f"{path}: does not hold a run ({_first_line(error)}). {_REMEDY}") from error


def _first_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".splitlines()[0].split())


def describe(model: nn.Module) -> str:
    """The network's line of notation; outside the notation its own `architecture`, or the name of its class."""
    if isinstance(architecture := getattr(model, "architecture", None), str):
        return architecture
    if not isinstance(model, nn.Sequential):  # whose children need not follow one another
        return type(model).__name__
    try:
        return notation.format(model)
    except TinylabError:
        return type(model).__name__
