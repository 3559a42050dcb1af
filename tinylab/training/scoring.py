"""Loss and accuracy of a network in evaluation mode, every image weighing the same."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from tinylab.data.batches import Batches
from tinylab.support.device import Device
from tinylab.support.errors import InvalidInputError

EVALUATION_BATCH = 128  # images; on a CPU quicker than 64 and 256, and few enough to listen in between


@dataclass(frozen=True)
class Score:
    """Mean cross-entropy (nats) and accuracy (0..1) over `count` images."""

    loss: float
    accuracy: float
    count: int


def score(model: nn.Module, batches: Batches, *, flip: bool = False, size: int | None = None) -> Score:
    """Loss and accuracy in evaluation mode; the model's own modes are restored. Every image weighs the same.

    flip    look at each normalised image and at its mirror, and take the mean of both logits: test-time augmentation
            (Krizhevsky et al., 2012, who averaged ten views). It costs a second forward pass and changes what is
            measured, so a number obtained with it says so.
    size    pixels that the images are scaled to first; None: as they are

    Raises InvalidInputError for images without labels.
    """
    if not batches.labelled:
        raise InvalidInputError(f"split {batches.split.name!r} has no labels. Score one that has, or predict")
    look = _both_ways if flip else nn.Module.__call__
    with evaluating(model), batches.device.autocast():
        shown = ((scaled(x, size or x.shape[2], batches.device), y) for x, y in batches.epoch())
        (sums,) = gathered(([_sums(look(model, x), y)[None]] for x, y in shown), len(batches))
    loss, correct = sums.cpu().double().sum(dim=0).tolist()
    return Score(loss / batches.count, correct / batches.count, batches.count)


def scaled(x: Tensor, size: int, device: Device) -> Tensor:
    """The square images in another size, smoothed before they shrink; float32 (B, 3, H, H) -> (B, 3, size, size)."""
    if size == x.shape[2]:
        return x
    other = interpolate(x, size=(size, size), mode="bilinear", antialias=True)
    return other.contiguous(memory_format=device.memory_format)


def gathered(parts: Iterable[Sequence[Tensor]], count: int) -> list[Tensor]:
    """Results that come batch by batch, tensors (B, …), as whole tensors of `count` rows, laid out once.

    A list of small tensors would do, but on a CPU each of them would lie where the next batch's activations were to
    go: 30 MB of memory are lost with every batch of Model 3 in bf16, 15 GB with the training images of 200 classes.
    """
    whole: list[Tensor] = []
    done = 0
    for part in parts:
        whole = whole or [torch.empty(count, *rows.shape[1:], dtype=rows.dtype, device=rows.device) for rows in part]
        for place, rows in zip(whole, part, strict=True):
            place[done : done + len(rows)] = rows
        done += len(part[0])
    return whole


def _both_ways(model: nn.Module, x: Tensor) -> Tensor:
    """Mean logits, float32 (B, classes), of the images (B, 3, H, W) and their mirrors."""
    return (model(x).float() + model(x.flip(3)).float()) / 2


def _sums(logits: Tensor, targets: Tensor) -> Tensor:
    """Summed loss and number of right answers, float32 (2,); stays on the device, so that nothing waits."""
    loss = cross_entropy(logits.float(), targets, reduction="sum")
    return torch.stack([loss, (logits.argmax(dim=1) == targets).sum()])


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients inside, every module's own mode again after."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
