"""Batches in which two images become one: mixup and cutmix. The label is shared out as the pixels are."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

Targets = tuple[tuple[float, Tensor], ...]  # shares that add up to 1, each with labels int64 (B,)


def mix(x: Tensor, y: Tensor, *, mixup: float, cutmix: float, seed: int) -> tuple[Tensor, Targets]:
    """Each image of x, float32 (B, C, H, W), with a part of the one before it in the batch (which is shuffled).

    mixup   α: the images are added, the shares drawn from Beta(α, α) (Zhang et al., 2017)
    cutmix  α: a box of the other image is pasted in, its share of the area drawn likewise; a box that sticks out is cut
            off and the share corrected (Yun et al., 2019)

    One draw for the whole batch, as in both papers' programs; with both given a fair coin decides.
    """
    rng = np.random.default_rng(seed)
    paste = bool(cutmix) and (not mixup or rng.random() < 0.5)
    alpha = cutmix if paste else mixup
    share = float(rng.beta(alpha, alpha))  # that stays
    other = torch.arange(len(y), device=y.device).roll(1)
    if paste:
        rows, columns = _box(share, x.shape[2], x.shape[3], rng)
        mixed = x.clone()
        mixed[:, :, rows, columns] = x[other][:, :, rows, columns]
        share = 1 - len(range(*rows.indices(x.shape[2]))) * len(range(*columns.indices(x.shape[3]))) / x[0, 0].numel()
    else:
        mixed = x.lerp(x[other], 1 - share)
    return mixed, ((share, y), (1 - share, y[other]))


def _box(share: float, height: int, width: int, rng: np.random.Generator) -> tuple[slice, slice]:
    """Rows and columns of a box of the image's shape that covers 1 - share of it, around any pixel."""
    sides = []
    for size in (height, width):
        middle, half = int(rng.integers(size)), round(size * math.sqrt(1 - share)) / 2
        sides.append(slice(max(0, math.ceil(middle - half)), min(size, math.ceil(middle + half))))
    return sides[0], sides[1]


def shared_loss(logits: Tensor, targets: Targets, smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy (nats, scalar) of logits float32 (B, classes), each label weighing its share."""
    return torch.stack([share * cross_entropy(logits, y, label_smoothing=smoothing) for share, y in targets]).sum()


def shared_accuracy(logits: Tensor, targets: Targets) -> Tensor:
    """Share of right answers (scalar, 0..1), each label weighing its share."""
    answers = logits.argmax(dim=1)
    return torch.stack([share * (answers == y).float().mean() for share, y in targets]).sum()
