"""The branches that a laboratory compares: up to four, each a run of its own from the step at which it left another."""

from dataclasses import dataclass, field

from tinylab.lab.live.knobs import Change, Knobs, changes
from tinylab.lab.live.snapshots import Taken
from tinylab.support.errors import InvalidInputError, nearest
from tinylab.training.history import History

MOST = 4  # that can be told apart in one picture
LETTERS = "ABCD"


@dataclass
class Branch:
    """One run since the beginning; up to `start` it is that of the branch it left."""

    letter: str
    start: int  # steps
    origin: Knobs  # in force when it left: what its name compares with
    history: History
    left: str | None = None  # the letter of the branch that it left; None: the first
    changes: tuple[Change, ...] = ()  # all since the beginning of the run
    taken: list[Taken] = field(default_factory=list)  # every step
    knobs: Knobs | None = None  # if turned before its first own step: what gives it its name

    @property
    def name(self) -> str:
        """`learning rate 0.001 → 0.0001 at step 120`."""
        if self.left is None:
            return "from the beginning"
        made = () if self.knobs is None else changes(self.start, self.origin, self.knobs)
        return f"{', '.join(map(str, made))} at step {self.start}" if made else f"unchanged from step {self.start}"

    @property
    def steps(self) -> int:
        return len(self.taken)

    def images(self, step: int) -> int:
        """How many had been trained on after `step` updates, counted as often as they were seen."""
        return self.taken[step - 1][2] if step else 0

    def epochs(self, count: int) -> float:
        """How often each of the `count` training images has been seen."""
        return self.images(self.steps) / count

    @property
    def untouched(self) -> bool:
        """Nothing has been trained since it left: going elsewhere loses nothing."""
        return self.steps == self.start and self.left is not None


class Branches:
    """Those that are shown, and the one that trains."""

    def __init__(self, first: Branch) -> None:
        self.all, self.current = {first.letter: first}, first

    def __getitem__(self, letter: str) -> Branch:
        if letter not in self.all:
            raise InvalidInputError(f"branch {letter!r} is not shown{nearest(str(letter), self.all)}")
        return self.all[letter]

    def letter(self) -> str:
        """A free one. Raises InvalidInputError if four are shown."""
        free = [letter for letter in LETTERS if letter not in self.all]
        if not free:
            raise InvalidInputError(
                f"{MOST} branches are shown, the most that can be told apart. Drop one, then go back again"
            )
        return free[0]

    def add(self, branch: Branch) -> None:
        self.all = dict(sorted({**self.all, branch.letter: branch}.items()))
        self.current = branch

    def drop(self, letter: str) -> None:
        """Raises InvalidInputError for the one that trains."""
        if self[letter] is self.current:
            raise InvalidInputError(f"branch {letter} is the one that trains. Go back in another one first, or reset")
        self.remove(letter)

    def remove(self, letter: str) -> None:
        """A new dictionary: another thread may be walking through the old one."""
        self.all = {name: branch for name, branch in self.all.items() if name != letter}
