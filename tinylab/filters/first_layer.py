"""The filters of the first layer, which can be drawn as they are, and how filters change while a network learns."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor, nn

from tinylab.filters.address import up_to
from tinylab.support.errors import InvalidInputError

if TYPE_CHECKING:
    from tinylab.training import Run


def first_filters(model: nn.Module) -> np.ndarray:
    """A copy of the first convolution's weights, float32 (N, 3, k, k): its inputs are colours, so they are pictures.

    Raises InvalidInputError for a network without a convolution.
    """
    for one in model.modules():
        if isinstance(one, nn.Conv2d):
            return one.weight.detach().float().cpu().numpy().copy()
    raise InvalidInputError("this network has no convolution, so it has no filters to show")


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The network from the image to one layer, as it was after an epoch."""

    epoch: int  # 0: before training
    accuracy: float | None  # 0..1, on the watched split; None before training
    layers: int  # how many, from the image on
    state: dict[str, Tensor]  # their weights, on the CPU
    eval_split: str = "development"  # the watched split

    def __str__(self) -> str:
        if self.accuracy is None:
            return f"epoch {self.epoch}"
        return f"epoch {self.epoch}, {self.eval_split} accuracy {self.accuracy:.0%}"


def watching(run: "Run", layer: int | str) -> Iterator[Snapshot]:
    """Train `run` to its end; gives the layers up to `layer` before it starts, and after every epoch.

    What comes later is not copied: fc(512) alone is 34 MB each time.
    """
    part = up_to(run.model, layer)  # type: ignore[arg-type]
    yield Snapshot(len(run.history.epochs), None, len(part), _copy(part))
    for epoch in run:
        yield Snapshot(epoch.epoch, epoch.eval_accuracy, len(part), _copy(part), run.history.eval_split)


def alike(before: Tensor, after: Tensor) -> float:
    """The median, over filters, of the correlation of a filter's numbers before and after; both (N, C, k, k), N ≥ 1.

    1: each is what it was, up to brightness and contrast; near 0: nothing of the start is left. A filter of equal
    numbers, such as one that a penalty has taken to zero, counts as 0.
    """
    centred = [w.flatten(1).double().numpy() for w in (before, after)]
    a, b = (w - w.mean(axis=1, keepdims=True) for w in centred)
    sizes = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(np.median(np.divide((a * b).sum(axis=1), sizes, out=np.zeros_like(sizes), where=sizes > 0)))


def restored(model: nn.Sequential, snapshot: Snapshot) -> nn.Sequential:
    """The part of a network that a snapshot kept, as a network of its own with the weights of then.

    model: any network of the same line; it stays as it is. Raises InvalidInputError if the snapshot does not fit.
    """
    part = copy.deepcopy(up_to(model, snapshot.layers))
    try:
        part.load_state_dict(snapshot.state)
    except RuntimeError:
        raise InvalidInputError(
            "the snapshot is of another network. Give one of the same line: models.build(…)"
        ) from None
    return part


def _copy(part: nn.Module) -> dict[str, Tensor]:
    return {key: value.detach().to("cpu", copy=True) for key, value in part.state_dict().items()}
