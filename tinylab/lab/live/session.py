"""The controller of a laboratory: a run, its branches, its snapshots. No widgets, no pictures.

Callbacks of widgets may come on any thread, several at once, during a pause, after the end. They call `ask`, which
puts plain values in a queue under a lock. Everything else happens on one thread, between two batches: that of `open`,
or, headless, the caller's own. The batches of a measurement count as well, but only for a knob: all else waits for its
end, so that no state is ever kept or left with an epoch half recorded. The lock is never held while a batch trains or
something is drawn.
"""

import copy
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import nn

from tinylab.lab.live.knobs import Planned
from tinylab.lab.live.script import Script, fingerprint
from tinylab.lab.live.snapshots import TRAINING, SnapshotStore, budget
from tinylab.lab.live.status import Status
from tinylab.lab.live.steered import named
from tinylab.lab.live.steering import Steering
from tinylab.support.device import Device, pick
from tinylab.support.errors import InvalidInputError, check_int
from tinylab.support.threads import release_team
from tinylab.training.recipe import Recipe

if TYPE_CHECKING:
    from tinylab.data.dataset import Dataset


_open: "weakref.WeakSet[Session]" = weakref.WeakSet()  # those of this process that may train at any time


def _light(command: str, value: Any) -> bool:
    """Whether it can be done while a measurement is taken: another optimizer would lose its memory unkept."""
    return command in ("heard", "show") or (command == "knobs" and "optimizer" not in value)


class Session(Steering):
    """A run that listens between its batches."""

    def __init__(
        self,
        data: "Dataset",
        model: str | nn.Module,
        recipe: Recipe,
        *,
        eval_split: str = "development",
        device: Device | None = None,
        memory: int | None = None,
        report: Callable[[Status, bool], None] | None = None,
    ) -> None:
        """`model`: a name, a line of notation, or a network of one's own, which is copied.

        memory: bytes for snapshots, None: `budget()`; report(status, due): called between batches, on their thread.
        """
        if memory is not None:
            check_int("memory", memory, 0)
        self.data, self.eval_split, self.device = data, eval_split, device or pick()
        self._report = report or (lambda moment, due: None)
        promised = sum(other._promised() for other in list(_open))
        self.memory, self.gave_up = (memory, "") if memory is not None else budget(promised)
        self._fingerprint = fingerprint(data)
        self._asked: deque[tuple[str, Any]] = deque()
        self._gate = threading.Condition()  # guards the queue, `_closed` and `status`, for a moment each
        self._closed, self._thread = False, None
        self._turned, self._heard, self._shown, self.error, self.planned = 0, 0, 0, None, ()
        self.own = copy.deepcopy(model) if isinstance(model, nn.Module) else None
        self._begin(named(model), recipe)
        self.status = self._now()

    _thread: threading.Thread | None

    # ------------------------------------------------------------ asked from any thread

    def ask(self, command: str, value: Any = None) -> bool:
        """Queue a command for the next batch boundary; False once closed. Returns at once.

        "knobs" {name: value}, "start" step at which to pause or None, "pause", "step", "reset" model or None,
        "back" (letter, step), "drop" letter, "replay" Script, "plan" changes that wait, "heard" number (see `Status`)
        "show": let `report` see the present moment once more
        """
        with self._gate:
            if not self._closed:
                self._asked.append((command, value))
                self._gate.notify_all()
        release_team()  # of whoever asks: while the network trains, the cores are its thread's
        return not self._closed

    def wait(self, until: Callable[[Status], bool], timeout: float) -> bool:
        """Wait until a moment is as wanted; False if that took too long."""
        with self._gate:
            return self._gate.wait_for(lambda: until(self.status), timeout)

    def plan(self, planned: tuple[Planned, ...]) -> None:
        """Plan at once, before anything runs. Raises InvalidInputError for what is not possible."""
        self._do_plan(planned)
        self.status = self._now()

    def settle(self, timeout: float) -> bool:
        """Wait until what was asked is done, and the batch in progress; False if that took too long."""
        mark = threading.Event()
        return self._thread is None or not self.ask("mark", mark) or mark.wait(timeout)

    def open(self) -> None:
        """Train in a background thread from now on, whenever it is asked for."""
        release_team()
        _open.add(self)
        self._thread = threading.Thread(target=self._serve, name="tinylab laboratory", daemon=True)
        self._thread.start()

    def close(self, timeout: float | None = None) -> None:
        """Stop after this batch, for good; waits until the thread has ended, unless it is the caller's own."""
        with self._gate:
            self._closed = True
            marks = [value for command, value in self._asked if command == "mark"]
            self._asked.clear()
            self._gate.notify_all()
        for mark in marks:
            mark.set()
        if self._thread is None:
            self._end()
        elif self._thread is not threading.current_thread():
            self._thread.join(timeout)

    # ------------------------------------------------------------ on the one thread that trains

    def run_for(self, steps: int) -> None:
        """Do what was asked, then train `steps` updates, here and now. Raises what goes wrong."""
        try:
            self._obey()
            self._do_start(None)
            for _ in range(steps):
                if self._going:
                    self._train()
            if self._going:
                self._pause()
        except BaseException as error:
            self._fail(error)
            raise
        self._publish(True)

    def _serve(self) -> None:
        while True:
            if not self._going:
                release_team()  # the cores are the other cells' now
            with self._gate:
                self._gate.wait_for(lambda: self._asked or self._closed or self._going)
                if self._closed:
                    break
            try:
                self._obey()
                if self._going:
                    self._train()
            except InvalidInputError as error:  # asked for something impossible: training goes on
                self.error = error
                self._publish(True)
            except BaseException as error:
                self._fail(error)
        self._end()

    def _promised(self) -> int:
        """Bytes that it may still take: for snapshots, and for training if it has not yet begun."""
        begun = self.branches.current.steps > 0
        return max(0, self.memory - self.snapshots.bytes) + (0 if begun else TRAINING)

    def _end(self) -> None:
        self._going, self.phase = False, "closed"
        self.snapshots = SnapshotStore(0)  # a notebook keeps what its cells have shown, but nobody can go back any more
        _open.discard(self)
        self._publish(True)

    def _obey(self) -> None:
        """All that was asked since the last batch, in order."""
        while (asked := self._next()) is not None:
            command, value = asked
            if command == "mark":  # somebody waits until all that was asked before is done
                value.set()
                continue
            if command not in ("heard", "show"):
                self.error = None
            getattr(self, f"_do_{command}")(value)
            with self._gate:
                last = not self._asked
            self._publish(last if command == "knobs" else command != "heard")

    def _listen(self) -> None:
        """The knobs that were turned since the last batch."""
        while (asked := self._next(_light)) is not None:
            if asked[0] != "knobs":
                getattr(self, f"_do_{asked[0]}")(asked[1])
                self._publish(False)
                continue
            self.error = None
            try:
                self._do_knobs(asked[1])
            except InvalidInputError as error:
                self.error = error
            self._publish(True)

    def _next(self, wanted: Callable[[str, Any], bool] = lambda command, value: True) -> tuple[str, Any] | None:
        """Take the oldest command from the queue, if there is one and it is wanted."""
        with self._gate:
            return self._asked.popleft() if self._asked and wanted(*self._asked[0]) else None

    # ------------------------------------------------------------ what others see

    def _now(self) -> Status:
        branch = self.branches.current
        loss = branch.taken[-1][0] if branch.taken else None
        script = Script(self.model, self._fingerprint, self.eval_split, self.recipe, branch.changes, branch.steps, loss)
        return Status(
            phase=self.phase,
            step=branch.steps,
            epochs=branch.epochs(self.run.batches.count),
            knobs=self.run.knobs,
            changes=branch.changes,
            branch=branch.letter,
            branches=tuple((letter, each.name) for letter, each in self.branches.all.items()),
            speed=self.run.knobs.batch / self._pace if self._pace else 0.0,
            planned=self.planned,
            heard=self._heard,
            shown=self._shown,
            turned=self._turned,
            note=self.note,
            error=self.error,
            script=script,
        )

    def _publish(self, due: bool) -> None:
        status = self._now()
        with self._gate:
            self.status = status
            self._gate.notify_all()
        self._report(status, due)

    @property
    def steps_per_epoch(self) -> int:
        return len(self.run.batches)
