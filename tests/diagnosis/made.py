"""Histories made by hand, and batches and networks that train in a moment."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tests import tiny
from tinylab.data.batches import Batches
from tinylab.training import Epoch, History, Recipe

CLASSES = tuple(f"n{i:08d}" for i in range(200))


def history(
    eval_loss: Sequence[float],
    train_loss: Sequence[float] | None = None,
    train: Sequence[float] | None = None,
    validation: Sequence[float] | None = None,
    classes: int = 200,
) -> History:
    """A run with these numbers for each epoch; by default training falls from 5 to 1 and from 1 % to 60 %."""
    count = len(eval_loss)

    def column(values: Sequence[float] | None, start: float, end: float) -> list[float]:
        line = [start + (end - start) * i / max(count - 1, 1) for i in range(count)]
        return line if values is None else list(values)

    losses, accuracies, validations = column(train_loss, 5, 1), column(train, 0.01, 0.6), column(validation, 0.01, 0.25)
    made = History(Recipe(epochs=max(count, 1)), "fc(200) - softmax", "by hand", "development", CLASSES[:classes])
    for i, loss in enumerate(eval_loss):
        made.epochs.append(
            Epoch(i + 1, 1e-3, losses[i] + 0.1, accuracies[i], losses[i], accuracies[i], loss, validations[i], 0, 1, 99)
        )
    return made


def batch(count: int = 20) -> tuple[Tensor, Tensor]:
    """Images float32 (count, 3, 16, 16), normalised, and labels int64 (count,) of 3 classes."""
    data = tiny.dataset()
    x, y = next(Batches(data.train, data.normalisation, batch=count).epoch())
    return x, y


def state(model: torch.nn.Module) -> dict[str, object]:
    """Everything about a network that a check could have changed."""
    return {
        "weights": {name: value.clone() for name, value in model.state_dict().items()},
        "modes": [module.training for module in model.modules()],
        "gradients": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "requires_grad": [p.requires_grad for p in model.parameters()],
        "dropout": [module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)],
        "hooks": [len(module._forward_hooks) for module in model.modules()],
        "random": torch.get_rng_state(),
    }


def same(one: object, other: object) -> bool:
    """Whether two states agree, bit for bit."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return one == other
