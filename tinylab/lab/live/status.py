"""What a laboratory shows of itself to others: a copy of how things stand between two batches."""

from dataclasses import dataclass

from tinylab.lab.live.knobs import Change, Knobs, Planned
from tinylab.lab.live.script import Script


@dataclass(frozen=True)
class Status:
    """How things stood between two batches; whoever looks from another thread sees all of it or nothing."""

    phase: str  # "waiting", "training", "replaying", "paused", "finished", "failed", "closed"
    step: int  # updates so far
    epochs: float  # how often each image has been seen
    knobs: Knobs
    changes: tuple[Change, ...]
    branch: str  # the letter of the one that trains
    branches: tuple[tuple[str, str], ...]  # letter, name
    speed: float  # images/s
    planned: tuple[Planned, ...]  # what waits for its epoch
    heard: int  # the last number that `ask("heard", number)` was given: all that was asked before it is done
    shown: int  # how often somebody asked to see all of it
    turned: int  # how often the knobs were set by anything but `turn`: sliders then have to follow
    note: str
    error: BaseException | None
    script: Script

    @property
    def going(self) -> bool:
        """Whether another batch follows."""
        return self.phase in ("training", "replaying")
