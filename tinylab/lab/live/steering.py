"""What a laboratory can do, on one thread, between two batches: train, turn knobs, keep states, go back, replay."""

import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import nn

from tinylab.lab.live.branches import Future, Futures
from tinylab.lab.live.knobs import APART as NOT_OF_RECIPE
from tinylab.lab.live.knobs import Change, Knobs, Planned, changes, merged
from tinylab.lab.live.snapshots import Shelf, Snapshot
from tinylab.lab.live.steered import Steered, named
from tinylab.lab.live.story import Story
from tinylab.support.device import Device
from tinylab.support.errors import InvalidInputError
from tinylab.training.recipe import Recipe

if TYPE_CHECKING:
    from tinylab.data.dataset import Dataset

CHEAP = 0.005  # seconds: a snapshot that takes no longer is always kept at the end of an epoch
SHARE = 0.02  # of the time, at most, goes into those that take longer
APART = 5  # steps, at least, between a snapshot and the one that is kept because a knob was turned


class Steering:
    """A run, its futures, its snapshots. What is asked for, and by whom, is `Session`'s business."""

    data: "Dataset"
    eval_split: str
    device: Device
    memory: int
    gave_up: str  # what a small machine costs, in one line, or nothing
    own: nn.Module | None  # a network of the user's, which no line describes
    error: BaseException | None
    planned: tuple[Planned, ...]
    _turned: int
    _heard: int
    _shown: int
    _pace: float  # seconds a batch, smoothed
    _unturned: tuple[Knobs, tuple[Change, ...]] | None  # how it was before the measurement that is being taken

    def _listen(self) -> None:
        """Do what can be done at once, in the middle of a measurement."""

    def _publish(self, due: bool) -> None:
        """Show the others how things stand."""

    def _train(self) -> None:
        """One update, with what the script says for it, and the measurements if it ends an epoch."""
        run, future = self.run, self.futures.current
        while self._script and self._script[0].step <= future.steps:
            change = self._script.popleft()
            self._turn({change.knob: change.new})
            self._turned += 1
        self._fulfil()
        if not self.shelf.of(future.letter):
            self.keep()
        started = time.perf_counter()
        step = run.advance()
        future.taken.append((step.loss, step.accuracy, future.images(future.steps) + run.batches.last))
        took = time.perf_counter() - started
        self._pace = 0.9 * self._pace + 0.1 * took if self._pace else took
        due = run.at_end
        if due:
            self._measure()
        if run.finished or future.steps == self._until:
            self._pause()
            due = True
        if self._going:
            self._listen()  # before anything is drawn: a turned knob does not wait for a picture
        self._publish(due)

    def _fulfil(self) -> None:
        """Turn what was planned for an epoch that has passed by now."""
        here = self.futures.current.epochs(self.run.batches.count)
        due, self.planned = (
            [each for each in self.planned if each.epoch <= here],
            tuple(each for each in self.planned if each.epoch > here),
        )
        for each in due:
            self._turn(each.on(self.run.knobs))
            self._turned += 1

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
        """A fresh run at step 0, and nothing beside it but what is planned."""
        network = self.own if self.own is not None and model == named(self.own) else model
        run = Steered(network, self.data, recipe, self.eval_split, self.device, self._listen)
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
            made = tuple(change for change in made if change.knob in NOT_OF_RECIPE)
        future.changes = merged(future.changes, made)

    def _apart(self, kept: tuple[Snapshot, ...]) -> bool:
        """Whether the last snapshot is so old that another is worth its memory."""
        return not kept or self.futures.current.steps - kept[-1].step >= APART

    def _do_knobs(self, values: dict[str, Any]) -> None:
        self._script.clear()  # whoever turns a knob takes over from the story
        self.note = ""
        self._turn(values)

    def _do_plan(self, planned: tuple[Planned, ...]) -> None:
        """Changes that wait for their epochs, in place of those that were planned before."""
        for each in planned:
            if each.epoch >= self.recipe.epochs:
                raise InvalidInputError(f"epoch {each.epoch:g} is never reached: the run has {self.recipe.epochs}")
            each.on(self.run.knobs)
        self.planned = tuple(sorted(planned, key=lambda each: each.epoch))

    def _do_heard(self, number: int) -> None:
        self._heard = max(self._heard, number)

    def _do_show(self, _: Any) -> None:
        self._shown += 1

    def _do_start(self, until: int | None) -> None:
        if self.run.finished:
            return
        self._until = until if until is not None else self._until if self._script else None
        self._going, self.status, self.note = True, "replaying" if self._script else "training", ""

    def _do_pause(self, _: Any) -> None:
        if self._going:
            self._pause()

    def _do_step(self, _: Any) -> None:
        self._going = False
        if not self.run.finished:
            self.status, self.note = "training", ""
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
        kept = {name: getattr(self.run.knobs, name) for name in NOT_OF_RECIPE}
        self._begin(model or self.model, self.run.knobs.on(self.recipe))
        if kept["frozen"] not in self.run.layers:
            del kept["frozen"]  # another network has other layers
        self._turn(kept)
        self._turned += 1

    def _do_tell(self, story: Story) -> None:
        story.fits(self.data, self.own)
        before, self.eval_split = self.eval_split, story.eval_split
        try:
            self._begin(story.model, story.recipe)
        except BaseException:
            self.eval_split = before
            raise
        self.planned = ()  # the story holds what came of it
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
