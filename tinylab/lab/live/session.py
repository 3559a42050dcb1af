"""The controller of a laboratory: a run, its futures, its snapshots. No widgets, no pictures.

Callbacks of widgets may come on any thread, several at once, during a pause, after the end. They call `ask`, which
puts plain values in a queue under a lock. Everything else happens on one thread, between two batches: that of `open`,
or, headless, the caller's own. The batches of a measurement count as well, but only for a knob: all else waits for its
end, so that no state is ever kept or left with an epoch half recorded. The lock is never held while a batch trains or
something is drawn.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tinylab.lab.live.branches import Future, Futures
from tinylab.lab.live.knobs import Change, Knobs, changes, merged
from tinylab.lab.live.moment import Moment
from tinylab.lab.live.snapshots import Shelf, Snapshot, budget
from tinylab.lab.live.steered import Steered
from tinylab.lab.live.story import Story, fingerprint
from tinylab.support.device import Device, pick
from tinylab.support.errors import InvalidInputError
from tinylab.support.threads import release_team
from tinylab.training.recipe import Recipe

if TYPE_CHECKING:
    from tinylab.data.dataset import Dataset

CHEAP = 0.005  # seconds: a snapshot that takes no longer is always kept at the end of an epoch
SHARE = 0.02  # of the time, at most, goes into those that take longer
APART = 5  # steps, at least, between a snapshot and the one that is kept because a knob was turned


def _light(command: str, value: Any) -> bool:
    """Whether it can be done while a measurement is taken: another optimizer would lose its memory unkept."""
    return command == "knobs" and "optimizer" not in value


class Session:
    """A run that listens between its batches."""

    def __init__(
        self,
        data: "Dataset",
        model: str,
        recipe: Recipe,
        *,
        watch: str = "development",
        device: Device | None = None,
        memory: int | None = None,
        report: Callable[[Moment, bool], None] | None = None,
    ) -> None:
        """memory: bytes for snapshots, None: `budget()`; report(moment, due): called between batches, as they train."""
        self.data, self.watch, self.device = data, watch, device or pick()
        self._report = report or (lambda moment, due: None)
        self.memory, self.gave_up = (memory, "") if memory is not None else budget()
        self._fingerprint = fingerprint(data)
        self._asked: deque[tuple[str, Any]] = deque()
        self._gate = threading.Condition()  # guards the queue, `_closed` and `moment`, for a moment each
        self._closed, self._thread = False, None
        self._turned, self.error = 0, None
        self._begin(model, recipe)
        self.moment = self._now()

    _thread: threading.Thread | None
    error: BaseException | None
    _pace: float  # seconds a batch, smoothed
    _unturned: tuple[Knobs, tuple[Change, ...]] | None  # how it was before the measurement that is being taken

    # ------------------------------------------------------------ asked from any thread

    def ask(self, command: str, value: Any = None) -> bool:
        """Queue a command for the next batch boundary; False once closed. Returns at once.

        "knobs" {name: value}, "start" step at which to pause or None, "pause", "step", "reset" model or None,
        "back" (letter, step), "drop" letter, "tell" Story
        """
        with self._gate:
            if not self._closed:
                self._asked.append((command, value))
                self._gate.notify_all()
        release_team()  # of whoever asks: while the network trains, the cores are its thread's
        return not self._closed

    def wait(self, until: Callable[[Moment], bool], timeout: float) -> bool:
        """Wait until a moment is as wanted; False if that took too long."""
        with self._gate:
            return self._gate.wait_for(lambda: until(self.moment), timeout)

    def settle(self, timeout: float) -> bool:
        """Wait until what was asked is done, and the batch in progress; False if that took too long."""
        mark = threading.Event()
        return self._thread is None or not self.ask("mark", mark) or mark.wait(timeout)

    def open(self) -> None:
        """Train in a background thread from now on, whenever it is asked for."""
        release_team()
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

    def _end(self) -> None:
        self._going, self.status = False, "closed"
        self._publish(True)

    def _obey(self) -> None:
        """All that was asked since the last batch, in order."""
        while (asked := self._next()) is not None:
            command, value = asked
            if command == "mark":  # somebody waits until all that was asked before is done
                value.set()
                continue
            self.error = None
            getattr(self, f"_do_{command}")(value)
            with self._gate:
                last = not self._asked
            self._publish(last or command != "knobs")

    def _listen(self) -> None:
        """The knobs that were turned since the last batch."""
        while (asked := self._next(_light)) is not None:
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

    def _train(self) -> None:
        """One update, with what the script says for it, and the measurements if it ends an epoch."""
        run, future = self.run, self.futures.current
        while self._script and self._script[0].step <= future.steps:
            change = self._script.popleft()
            self._turn({change.knob: change.new})
            self._turned += 1
        if not self.shelf.of(future.letter):
            self.keep()
        started = time.perf_counter()
        step = run.advance()
        future.taken.append((step.loss, step.accuracy))
        took = time.perf_counter() - started
        self._pace = 0.9 * self._pace + 0.1 * took if self._pace else took
        due = step.step == self.steps_per_epoch
        if due:
            self._measure()
        if run.finished or future.steps == self._until:
            self._pause()
            due = True
        if self._going:
            self._listen()  # before anything is drawn: a turned knob does not wait for a picture
        self._publish(due)

    def _measure(self) -> None:
        """The end of an epoch; knobs may be turned while it is measured."""
        future = self.futures.current
        self._unturned = knobs, changes = self.run.knobs, future.changes
        try:
            self.run.measure()
        except BaseException:  # the last batch is the next again
            future.taken.pop()
            future.changes = tuple(replace(each, step=min(each.step, future.steps)) for each in future.changes)
            raise
        finally:
            self._unturned = None
        turned = changes != future.changes and self._apart(self.shelf.of(future.letter))
        if turned or self._cost < CHEAP or time.perf_counter() - self._kept > self._cost / SHARE:
            self.keep(knobs, changes)  # what if it had not been turned?

    def keep(self, knobs: Knobs | None = None, changes: tuple[Change, ...] | None = None) -> None:
        """Keep a snapshot of this moment to go back to, or as it would be without what has just been turned."""
        started = time.perf_counter()
        future = self.futures.current
        knobs, changes = knobs or self.run.knobs, future.changes if changes is None else changes
        self.shelf.put(future.letter, self.run.keep(future.taken, knobs, changes))
        self._kept = time.perf_counter()
        self._cost = self._kept - started

    def _begin(self, model: str, recipe: Recipe) -> None:
        """A fresh run at step 0, and nothing beside it."""
        run = Steered(model, self.data, recipe, self.watch, self.device, self._listen)
        self.model, self.recipe, self.run = model, recipe, run
        self.futures = Futures(Future("A", 0, run.knobs, run.history))
        self.shelf = Shelf(self.memory)
        self.status, self.note, self._going = "waiting", self.gave_up, False
        self._script: deque[Change] = deque()
        self._until: int | None = None
        self._told: Story | None = None
        self._kept, self._cost, self._pace = time.perf_counter(), 0.0, 0.0
        self._unturned = None

    def _turn(self, values: dict[str, Any]) -> None:
        """Put values in force, and on record."""
        run, future = self.run, self.futures.current
        new = run.knobs.turned(values)
        made = changes(future.steps, run.knobs, new)
        if not made:
            return
        if self._unturned is None and future.steps and self._apart(self.shelf.of(future.letter)):
            self.keep()  # what if it had not been turned?
        run.turn(new)
        if future.steps == future.start:
            future.knobs = new
        if future.left is None and future.steps == 0 and self._told is None:
            self.recipe = new.on(self.recipe)  # before the first batch nothing changes: this is how it begins
            future.origin = new
            future.history.recipe = self.recipe
        else:
            future.changes = merged(future.changes, made)

    def _apart(self, kept: tuple[Snapshot, ...]) -> bool:
        """Whether the last snapshot is so old that another is worth its memory."""
        return not kept or self.futures.current.steps - kept[-1].step >= APART

    def _do_knobs(self, values: dict[str, Any]) -> None:
        self._script.clear()  # whoever turns a knob takes over from the story
        self._turn(values)

    def _do_start(self, until: int | None) -> None:
        if self.run.finished:
            return
        self._until = until if until is not None else self._until if self._script else None
        self._going, self.status = True, "replaying" if self._script else "training"

    def _do_pause(self, _: Any) -> None:
        if self._going:
            self._pause()

    def _do_step(self, _: Any) -> None:
        self._going = False
        if not self.run.finished:
            self.status = "training"
            self._train()
            self._pause()

    def _pause(self) -> None:
        self._going, self.status = False, "finished" if self.run.finished else "paused"
        future = self.futures.current
        if future.steps and (not (kept := self.shelf.of(future.letter)) or kept[-1].step < future.steps):
            self.keep()
        if self._told is not None and future.steps == self._told.steps and not self._script:
            loss = future.taken[-1][0] if future.taken else None
            same = loss == self._told.loss and future.changes == self._told.changes
            self.note = "replayed: the last batch's loss is the story's own, bit for bit" if same else (
                f"replayed: the last batch's loss is {loss}, in the story {self._told.loss} (another kind of machine)"
            )  # fmt: skip
            self._told = None

    def _do_reset(self, model: str | None) -> None:
        self._begin(model or self.model, self.run.knobs.on(self.recipe))
        self._turned += 1

    def _do_tell(self, story: Story) -> None:
        story.fits(self.data)
        before, self.watch = self.watch, story.watch
        try:
            self._begin(story.model, story.recipe)
        except BaseException:
            self.watch = before
            raise
        self._turned += 1
        self._script, self._told = deque(story.changes), story
        self._do_start(story.steps)
        self._going = story.steps > 0
        self.status = "replaying" if self._going else "waiting"

    def _do_back(self, where: tuple[str, int]) -> None:
        """Go to the snapshot at or before a step of a future; at its end that one goes on, else a new one begins."""
        letter, step = where
        source, current = self.futures[letter], self.futures.current
        snapshot = self.shelf.nearest(letter, step)
        if snapshot is None:
            raise InvalidInputError(f"future {letter} has nothing to go back to yet. Train a step first")
        resumed = snapshot.step == source.steps
        if resumed and source is not current and current.untouched:
            self._forget(current)
        elif not resumed and not current.untouched:
            self.futures.letter()  # raises if there is no room, before anything is touched
        kept = self.shelf.of(current.letter)
        if self.status != "failed" and not current.untouched and kept and kept[-1].step < current.steps:
            self.keep()
        if resumed:
            self.futures.current = future = source
        else:
            shared = tuple(kept for kept in self.shelf.of(letter) if kept.step <= snapshot.step)
            if current.untouched:
                self._forget(current)
            future = Future(
                self.futures.letter(), snapshot.step, snapshot.knobs, self.run.history,
                source.left if source is current and current.untouched else letter,
            )  # fmt: skip
            self.futures.add(future)
            self.shelf.share(future.letter, shared)
        self.run.go_back(snapshot)
        future.history, future.changes, future.taken = self.run.history, snapshot.changes, list(snapshot.taken)
        self._script.clear()
        self._until, self._told, self.note = None, None, ""
        self._going, self.status = False, "finished" if self.run.finished else "paused"
        self._turned += 1

    def _forget(self, future: Future) -> None:
        self.futures.all.pop(future.letter)
        self.shelf.drop(future.letter)

    def _do_drop(self, letter: str) -> None:
        self.futures.drop(letter)
        self.shelf.drop(letter)

    def _fail(self, error: BaseException) -> None:
        self._going, self.status, self.error = False, "failed", error
        self.run.resume(self.futures.current.taken)  # the batch that failed is the next again
        self._publish(True)

    # ------------------------------------------------------------ what others see

    def _now(self) -> Moment:
        future = self.futures.current
        loss = future.taken[-1][0] if future.taken else None
        story = Story(self.model, self._fingerprint, self.watch, self.recipe, future.changes, future.steps, loss)
        return Moment(
            status=self.status, step=future.steps, knobs=self.run.knobs, changes=future.changes, future=future.letter,
            futures=tuple((letter, each.name) for letter, each in self.futures.all.items()), loss=loss,
            speed=self.recipe.batch / self._pace if self._pace else 0.0, turned=self._turned, note=self.note,
            error=self.error, story=story,
        )  # fmt: skip

    def _publish(self, due: bool) -> None:
        moment = self._now()
        with self._gate:
            self.moment = moment
            self._gate.notify_all()
        self._report(moment, due)

    @property
    def steps_per_epoch(self) -> int:
        return len(self.run.batches)

    def histories(self) -> dict[str, Any]:
        """Every future's own copy of its history, by letter: safe to be read while training goes on."""
        return {
            letter: replace(future.history, epochs=list(future.history.epochs))
            for letter, future in self.futures.all.items()
        }
