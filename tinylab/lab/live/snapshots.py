"""States of a run kept in memory, to go back to: within a budget of bytes, the older ones further apart."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from tinylab.lab.live.knobs import Change, Knobs
from tinylab.support.memory import available_memory
from tinylab.training.history import Epoch

Taken = tuple[float, float, int]  # of one step: loss, accuracy, and the images since the beginning, its own included
BUDGET = 1 << 30  # bytes; Model 1 with Adam takes 100 MB a state
TRAINING = 700_000_000  # bytes that a training of Model 1 in batches of 32 takes beside its snapshots


@dataclass(frozen=True, eq=False)
class Snapshot:
    """All that the rest of a run depends on, after `step` updates.

    Randomness needs no state: order, augmentation and dropout of a batch follow from (seed, epoch, position).
    """

    step: int
    knobs: Knobs
    changes: tuple[Change, ...]  # all since the beginning
    epochs: tuple[Epoch, ...]  # the finished ones
    taken: tuple[Taken, ...]  # every step
    seconds: float  # of training in the epoch that has begun
    model: dict[str, Tensor]  # state_dict, copied, of the network that is measured
    raw: dict[str, Tensor]  # of the one that learns, where that is another: the first is its average
    optimizer: Mapping[str, Any]  # state_dict, copied

    @property
    def bytes(self) -> int:
        states = [value for state in self.optimizer["state"].values() for value in state.values()]
        tensors = [value for value in (*self.model.values(), *self.raw.values(), *states) if isinstance(value, Tensor)]
        # a step takes 160 bytes, which neighbouring snapshots share
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors) + 8 * len(self.taken)


def budget(promised: int = 0) -> tuple[int, str]:
    """Bytes for the snapshots of a new laboratory, and in one line what a small machine or container costs, or "".

    promised: bytes that the open laboratories of this process may still take.
    """
    left = available_memory()
    granted = min(BUDGET, max(0, left - promised - TRAINING) // 2)  # the other half is for whatever comes after
    if granted == BUDGET:
        return granted, ""
    here = f"{left / 1e9:.1f} GB of memory are left here"
    if promised:
        here += f", {promised / 1e9:.1f} GB of it promised to the laboratories that are open"
    return granted, (
        f"{here}: the laboratory keeps {granted / 1e9:.2f} GB of earlier moments to go back to instead of "
        f"{BUDGET / 1e9:.2f} GB, so that they lie further apart"
    )


class SnapshotStore:
    """The snapshots of all branches, by the name of the branch; never more than `budget` bytes if it can be helped.

    What stays in any case: the newest of each branch, and the first of all. A step at which several branches hold the
    same snapshot counts once.
    """

    def __init__(self, budget: int = BUDGET) -> None:
        self.budget = budget
        self._of: dict[str, list[Snapshot]] = {}

    @property
    def bytes(self) -> int:
        return sum(snapshot.bytes for snapshot in {id(s): s for kept in self._of.values() for s in kept}.values())

    def of(self, branch: str) -> tuple[Snapshot, ...]:
        """Those of a branch, oldest first."""
        return tuple(self._of.get(branch, ()))

    def put(self, branch: str, snapshot: Snapshot) -> None:
        """Keep one, in place of an older one of the same step; throws out others until the budget is kept."""
        kept = [other for other in self._of.get(branch, []) if other.step != snapshot.step]
        self._of[branch] = sorted([*kept, snapshot], key=lambda s: s.step)
        self._thin(snapshot.step)

    def share(self, branch: str, snapshots: tuple[Snapshot, ...]) -> None:
        """Let a new branch go back to the states of the one it leaves."""
        self._of[branch] = sorted({s.step: s for s in snapshots}.values(), key=lambda s: s.step)

    def drop(self, branch: str) -> None:
        self._of.pop(branch, None)

    def nearest(self, branch: str, step: int) -> Snapshot | None:
        """The latest one at or before `step`; None if there is none."""
        before = [snapshot for snapshot in self.of(branch) if snapshot.step <= step]
        return before[-1] if before else None

    def _thin(self, now: int) -> None:
        while self.bytes > self.budget:
            worth: dict[int, float] = {}  # id of a snapshot: largest gap that it leaves, by its age
            for kept in self._of.values():
                for place, snapshot in enumerate(kept):
                    ends = place == 0 or place == len(kept) - 1
                    gap = float("inf") if ends else float(kept[place + 1].step - kept[place - 1].step)
                    age = abs(now - snapshot.step) + 1
                    worth[id(snapshot)] = max(worth.get(id(snapshot), 0.0), gap / age)
            least = min(worth, key=worth.__getitem__, default=None)
            if least is None or worth[least] == float("inf"):
                return
            for branch, kept in self._of.items():
                self._of[branch] = [snapshot for snapshot in kept if id(snapshot) != least]
