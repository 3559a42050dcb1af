"""One training on several processes, as `torchrun --nproc-per-node 4 -m tinylab train …` starts them.

Every process holds the whole network and takes every fourth image of each batch. Torch's DistributedDataParallel
averages the gradients while they are computed, so all make the same update. The first process (rank 0) alone writes and
shows. Two processes on CPUs (gloo) are tested; several GPUs (NCCL) are not yet run.

A process that fails ends with an error, and torchrun then ends the others; without it they give up after PATIENCE.
Networks with batch normalisation normalise over each process's own share of the batch, and keep rank 0's statistics.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from tinylab.support.device import Device
from tinylab.support.errors import InvalidInputError, TrainingError
from tinylab.training.scoring import Score

if TYPE_CHECKING:
    from tinylab.data.split import Split

PATIENCE = timedelta(minutes=10)  # for the slowest of the others, which may have images to prepare


@dataclass(frozen=True)
class Team:
    """Which process this is, of how many; what they have to tell each other. Alone, nothing is told."""

    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes and shows."""
        return self.rank == 0

    def wrap(self, model: nn.Module, device: Device) -> nn.Module:
        """What to call instead of `model`, so that backward() leaves the mean of all processes' gradients."""
        if self.world == 1:
            return model
        return DistributedDataParallel(model, device_ids=[device.target] if device.target.type == "cuda" else None)

    def gradient_of(self, loss: Tensor, weight: float) -> Tensor:
        """What to call backward() on, if `loss` is the mean over this process's `weight` (0..1) of the batch."""
        return loss if self.world == 1 else loss * (weight * self.world)

    def mean(self, values: Tensor, weight: float) -> Tensor:
        """The values of all processes, each counting with its `weight`; the weights add up to 1."""
        if self.world > 1:
            values = values * weight
            distributed.all_reduce(values)
        return values

    def whole(self, part: Score, device: Device) -> Score:
        """The score over the parts of all processes together."""
        if self.world == 1:
            return part
        sums = torch.tensor([part.loss, part.accuracy, 1.0], dtype=torch.float64, device=device.target) * part.count
        distributed.all_reduce(sums)
        loss, correct, count = sums.tolist()
        return Score(loss / count, correct / count, round(count))

    def unite(self, model: nn.Module) -> None:
        """Give every process rank 0's statistics of batch normalisation; the weights are the same already."""
        if self.world > 1:
            for buffer in model.buffers():
                distributed.broadcast(buffer, src=0)

    def explain(self, error: Exception) -> None:
        """Raises TrainingError if `error` may be that the others are gone: each backend says it in words of its own."""
        if self.world > 1 and isinstance(error, RuntimeError):
            said = " ".join(str(error).split())[:200]
            raise TrainingError(
                f"process {self.rank} of {self.world} cannot go on ({said}). If another one has failed, its message "
                "says why; start all again"
            ) from error

    def part(self, split: "Split") -> "Split":
        """Every world-th image: together the processes have each image once."""
        return split if self.world == 1 else replace(split, index=split.index[self.rank :: self.world])


ALONE = Team()


def join(device: Device) -> Team:
    """The team that this process was started in: by torchrun, or by a program that called init_process_group."""
    if not distributed.is_available():  # some builds of torch come without
        return ALONE
    if not distributed.is_initialized():
        if not distributed.is_torchelastic_launched():
            return ALONE
        if device.target.type == "cuda":
            torch.cuda.set_device(device.target)
        distributed.init_process_group("nccl" if device.target.type == "cuda" else "gloo", timeout=PATIENCE)
    return Team(distributed.get_rank(), distributed.get_world_size())


def check(team: Team, batch: int, *splits: "Split") -> None:
    """Raises InvalidInputError if there is not at least one image of each batch and split for each process."""
    if team.world > batch:
        raise InvalidInputError(f"a batch of {batch} images cannot be shared by {team.world} processes. Start fewer")
    for split in splits:
        if team.world > len(split):
            raise InvalidInputError(
                f"split {split.name!r} has {len(split)} images for {team.world} processes. Start fewer"
            )
