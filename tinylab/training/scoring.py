"""Loss and accuracy of a network in evaluation mode, every image weighing the same."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tinylab.data.batches import Batches
from tinylab.support.errors import InvalidInputError

EVALUATION_BATCH = 128  # images; on a CPU quicker than 64 and 256, and few enough to listen in between


@dataclass(frozen=True)
class Score:
    """Mean cross-entropy (nats) and accuracy (0..1) over `count` images."""

    loss: float
    accuracy: float
    count: int


def score(model: nn.Module, batches: Batches, *, flip: bool = False) -> Score:
    """Loss and accuracy in evaluation mode; the model's own modes are restored. Every image weighs the same.

    flip    look at each normalised image and at its mirror, and take the mean of both logits: test-time augmentation
            (Krizhevsky et al., 2012, who averaged ten views). It costs a second forward pass and changes what is
            measured, so a number obtained with it says so.

    Raises InvalidInputError for images without labels.
    """
    if not batches.labelled:
        raise InvalidInputError(f"split {batches.split.name!r} has no labels. Score one that has, or predict")
    look = _both_ways if flip else nn.Module.__call__
    with evaluating(model), batches.device.autocast():
        sums = [_sums(look(model, x), y) for x, y in batches.epoch()]
    loss, correct = torch.stack(sums).cpu().double().sum(dim=0).tolist()
    return Score(loss / batches.count, correct / batches.count, batches.count)


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
