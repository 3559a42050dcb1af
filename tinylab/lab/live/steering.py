"""What a laboratory can do, on one thread, between two batches: train, turn knobs, keep states, go back, replay."""

import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import nn

from tinylab.lab.live.branches import Branch, Branches
from tinylab.lab.live.knobs import APART as NOT_OF_RECIPE
from tinylab.lab.live.knobs import Change, Knobs, Planned, changes, merged
from tinylab.lab.live.script import Script
from tinylab.lab.live.snapshots import Snapshot, SnapshotStore
from tinylab.lab.live.steered import Steered, named
from tinylab.support.device import Device
from tinylab.support.errors import InvalidInputError
from tinylab.training.recipe import Recipe

if TYPE_CHECKING:
    from tinylab.data.dataset import Dataset

CHEAP = 0.005  # seconds: a snapshot that takes no longer is always kept at the end of an epoch
SHARE = 0.005  # of the time, at most, goes into those that take longer
APART = 5  # steps, at least, between a snapshot and the one that is kept because a knob was turned


class Steering:
    """A run, its branches, its snapshots. What is asked for, and by whom, is `Session`'s business."""

    data: "Dataset"
    eval_split: str
    device: Device
    memory: int
    gave_up: str  # what a small machine costs, in one line, or nothing
    own: nn.Module | None  # a network of the user's, which no line describes
    error: BaseException | None
    planned: tuple[Planned, ...]
    _fulfilled: tuple[Planned, ...]  # what was planned for an epoch that has passed
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
        run, branch = self.run, self.branches.current
        self._follow()
        self._fulfil()
        if not self.snapshots.of(branch.letter):
            self.keep()
        started = time.perf_counter()
        step = run.advance()
        branch.taken.append((step.loss, step.accuracy, branch.images(branch.steps) + run.batches.last))
        took = time.perf_counter() - started
        self._pace = 0.9 * self._pace + 0.1 * took if self._pace else took
        due = run.at_end
        if due:
            self._measure()
        if run.finished or branch.steps == self._until:
            self._follow()  # a script may end with a knob that was turned after its last batch
            self._pause()
            due = True
        if self._going:
            self._listen()  # before anything is drawn: a turned knob does not wait for a picture
        self._publish(due)

    def _follow(self) -> None:
        """Turn what the script says for this moment."""
        while self._ahead and self._ahead[0].step <= self.branches.current.steps:
            change = self._ahead.popleft()
            self._turn({change.knob: change.new})
            self._turned += 1

    def _fulfil(self) -> None:
        """Turn what was planned for an epoch that has passed by now; one that has become impossible stops no other."""
        here = self.branches.current.epochs(self.run.batches.count)
        while self.planned and self.planned[0].epoch <= here:
            each, *later = self.planned
            self.planned, self._fulfilled = tuple(later), (*self._fulfilled, each)
            self._turn(each.on(self.run.knobs))
            self._turned += 1

    def _plan_again(self) -> None:
        """After going back: what was planned for an epoch that lies ahead again counts again."""
        here = self.branches.current.epochs(self.run.batches.count)
        again = [each for each in self._fulfilled if each.epoch >= here]  # the snapshot there is from before its turn
        self._fulfilled = tuple(each for each in self._fulfilled if each.epoch < here)
        self.planned = tuple(sorted({*self.planned, *again}, key=lambda each: each.epoch))

    def _measure(self) -> None:
        """The end of an epoch; knobs may be turned while it is measured."""
        branch = self.branches.current
        self._unturned = knobs, changes = self.run.knobs, branch.changes
        try:
            self.run.measure()
        except BaseException:  # the last batch is the next again
            branch.taken.pop()
            branch.changes = tuple(replace(each, step=min(each.step, branch.steps)) for each in branch.changes)
            raise
        finally:
            self._unturned = None
        turned = changes != branch.changes and self._apart(self.snapshots.of(branch.letter))
        if turned or self._cost < CHEAP or time.perf_counter() - self._kept > self._cost / SHARE:
            self.keep(knobs, changes)  # what if it had not been turned?

    def keep(self, knobs: Knobs | None = None, changes: tuple[Change, ...] | None = None) -> None:
        """Keep a snapshot of this moment to go back to, or as it would be without what has just been turned."""
        started = time.perf_counter()
        branch = self.branches.current
        knobs, changes = knobs or self.run.knobs, branch.changes if changes is None else changes
        self.snapshots.put(branch.letter, self.run.keep(branch.taken, knobs, changes))
        self._kept = time.perf_counter()
        self._cost = self._kept - started

    def _begin(self, model: str, recipe: Recipe) -> None:
        """A fresh run at step 0, and nothing beside it but what is planned."""
        network = self.own if self.own is not None and model == named(self.own) else model
        run = Steered(network, self.data, recipe, self.eval_split, self.device, self._listen)
        self.model, self.recipe, self.run = model, recipe, run
        self.branches = Branches(Branch("A", 0, run.knobs, run.history))
        self.snapshots = SnapshotStore(self.memory)
        self.phase, self.note, self._going, self._fulfilled = "waiting", self.gave_up, False, ()
        self._ahead: deque[Change] = deque()
        self._until: int | None = None
        self._replayed: Script | None = None
        self._kept, self._cost, self._pace = time.perf_counter(), 0.0, 0.0
        self._unturned = None

    def _turn(self, values: dict[str, Any]) -> None:
        """Put values in force, and on record."""
        run, branch = self.run, self.branches.current
        new = run.knobs.turned(values)
        made = changes(branch.steps, run.knobs, new)
        if not made:
            return
        if self._unturned is None and branch.steps and self._apart(self.snapshots.of(branch.letter)):
            self.keep()  # what if it had not been turned?
        run.turn(new)
        if branch.steps == branch.start:
            branch.knobs = new
        if branch.left is None and branch.steps == 0 and self._replayed is None:
            self.recipe = new.on(self.recipe)  # before the first batch nothing changes: this is how it begins
            branch.origin = new
            branch.history.recipe = self.recipe
            made = tuple(change for change in made if change.knob in NOT_OF_RECIPE)
        branch.changes = merged(branch.changes, made)

    def _apart(self, kept: tuple[Snapshot, ...]) -> bool:
        """Whether the last snapshot is so old that another is worth its memory."""
        return not kept or self.branches.current.steps - kept[-1].step >= APART

    def _do_knobs(self, values: dict[str, Any]) -> None:
        self._ahead.clear()  # whoever turns a knob takes over from the script
        self.note = ""
        self._turn(values)

    def _do_plan(self, planned: tuple[Planned, ...]) -> None:
        """Changes that wait for their epochs, in place of those planned before; none: not after going back either."""
        for each in planned:
            if each.epoch >= self.recipe.epochs:
                raise InvalidInputError(f"epoch {each.epoch:g} is never reached: the run has {self.recipe.epochs}")
            self.run.check(self.run.knobs.turned(each.on(self.run.knobs)))
        self.planned = tuple(sorted(planned, key=lambda each: each.epoch))
        self._fulfilled = self._fulfilled if planned else ()

    def _do_heard(self, number: int) -> None:
        self._heard = max(self._heard, number)

    def _do_show(self, _: Any) -> None:
        self._shown += 1

    def _do_start(self, until: int | None) -> None:
        if self.run.finished:
            return
        self._until = until if until is not None else self._until if self._ahead else None
        self._going, self.phase, self.note = True, "replaying" if self._ahead else "training", ""

    def _do_pause(self, _: Any) -> None:
        if self._going:
            self._pause()

    def _do_step(self, _: Any) -> None:
        self._going = False
        if not self.run.finished:
            self.phase, self.note = "training", ""
            self._train()
            self._pause()

    def _pause(self) -> None:
        self._going, self.phase = False, "finished" if self.run.finished else "paused"
        branch = self.branches.current
        if branch.steps and (not (kept := self.snapshots.of(branch.letter)) or kept[-1].step < branch.steps):
            self.keep()
        if self._replayed is not None and branch.steps == self._replayed.steps and not self._ahead:
            loss = branch.taken[-1][0] if branch.taken else None
            same = loss == self._replayed.loss and branch.changes == self._replayed.changes
            self.note = "replayed: the last batch's loss is the script's own, bit for bit"
            if not same:
                told = f"{loss}, in the script {self._replayed.loss} (another kind of machine)"
                self.note = f"replayed: the last batch's loss is {told}"
            self._replayed = None

    def _do_reset(self, model: str | None) -> None:
        kept = {name: getattr(self.run.knobs, name) for name in NOT_OF_RECIPE}
        self._begin(model or self.model, self.run.knobs.on(self.recipe))
        if kept["frozen"] not in self.run.layers:
            del kept["frozen"]  # another network has other layers
        self._turn(kept)
        self._turned += 1

    def _do_replay(self, script: Script) -> None:
        script.fits(self.data, self.own)
        before, self.eval_split = self.eval_split, script.eval_split
        try:
            self._begin(script.model, script.recipe)
        except BaseException:
            self.eval_split = before
            raise
        self.planned = self._fulfilled = ()  # the script holds what came of it
        self._turned += 1
        self._ahead, self._replayed = deque(script.changes), script
        self._do_start(script.steps)
        self._going = script.steps > 0
        self.phase = "replaying" if self._going else "waiting"

    def _do_back(self, where: tuple[str, int]) -> None:
        """Go to the snapshot at or before a step of a branch; at its end that one goes on, else a new one begins."""
        letter, step = where
        source, current = self.branches[letter], self.branches.current
        snapshot = self.snapshots.nearest(letter, step)
        if snapshot is None:
            raise InvalidInputError(f"branch {letter} has nothing to go back to yet. Train a step first")
        resumed = snapshot.step == source.steps
        if resumed and source is not current and current.untouched:
            self._forget(current)
        elif not resumed and not current.untouched:
            self.branches.letter()  # raises if there is no room, before anything is touched
        kept = self.snapshots.of(current.letter)
        if self.phase != "failed" and not current.untouched and kept and kept[-1].step < current.steps:
            self.keep()
        if resumed:
            self.branches.current = branch = source
        else:
            shared = tuple(kept for kept in self.snapshots.of(letter) if kept.step <= snapshot.step)
            if current.untouched:
                self._forget(current)
            branch = Branch(
                self.branches.letter(),
                snapshot.step,
                snapshot.knobs,
                self.run.history,
                source.left if source is current and current.untouched else letter,
            )
            self.branches.add(branch)
            self.snapshots.share(branch.letter, shared)
        self.run.go_back(snapshot)
        branch.history, branch.changes, branch.taken = self.run.history, snapshot.changes, list(snapshot.taken)
        self._ahead.clear()
        self._until, self._replayed, self.note = None, None, ""
        self._going, self.phase = False, "finished" if self.run.finished else "paused"
        self._plan_again()
        self._turned += 1

    def _forget(self, branch: Branch) -> None:
        self.branches.remove(branch.letter)
        self.snapshots.drop(branch.letter)

    def _do_drop(self, letter: str) -> None:
        self.branches.drop(letter)
        self.snapshots.drop(letter)

    def _fail(self, error: BaseException) -> None:
        self._going, self.phase, self.error = False, "failed", error
        self.run.resume(self.branches.current.taken)  # the batch that failed is the next again
        self._publish(True)
