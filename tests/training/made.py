"""What the tests of this folder share: recipes small enough, measures by hand in float64, comparisons bit for bit."""

import copy
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tests import tiny
from tinylab.support.device import pick
from tinylab.training import History, Recipe

CPU = pick("cpu")
DATA = tiny.dataset()  # 90 images: batches of 32, 32 and 26
SHORT = Recipe(epochs=2, batch=32)
BUSY = Recipe(epochs=4, batch=32, flip=True, crop=2, l2=0.01, dropout=0.3, schedule="cosine")
NORMED = "conv3-4 - batch norm - relu - max pool - dropout - fc(8) - relu - dropout - softmax"


def copied(model: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(model.state_dict())


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def assert_same(one: nn.Module, other: nn.Module) -> None:
    assert same(one.state_dict(), other.state_dict())


def untimed(history: History) -> list[dict[str, float]]:
    return [{k: v for k, v in asdict(e).items() if k not in ("seconds", "images_per_second")} for e in history.epochs]


def by_hand(model: nn.Module, split, normalisation) -> tuple[float, float]:
    """Loss and accuracy in evaluation mode, in float64."""
    images, labels = split.take(np.arange(len(split)))
    scaled = (images.astype(np.float64) - normalisation.mean) / normalisation.scale
    logits = copy.deepcopy(model).double().eval()(torch.from_numpy(scaled.transpose(0, 3, 1, 2))).detach()
    target = torch.from_numpy(labels)
    return cross_entropy(logits, target).item(), (logits.argmax(1) == target).double().mean().item()
