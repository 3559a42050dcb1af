"""The weights of a run's best epoch, kept in memory and in a file beside the checkpoint."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Best:
    """The weights of the epoch with the lowest loss on the watched split."""

    epoch: int  # from 1
    eval_loss: float  # mean cross-entropy, nats
    model: dict[str, Tensor]  # state_dict, copied, on the CPU


def best_path(checkpoint: Path) -> Path:
    """Where the best weights of a run lie: beside run.pt, run.best.pt."""
    return checkpoint.with_name(f"{checkpoint.stem}.best{checkpoint.suffix}")


def copied(model: nn.Module) -> dict[str, Tensor]:
    """The state_dict as it is now, on the CPU."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in model.state_dict().items()}
