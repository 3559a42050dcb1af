"""The loop: nothing happens before somebody iterates, and whoever iterates sees every batch go by.

There are no callbacks. What is changed between two batches counts from the next on: "initial_lr", "betas" or
"weight_decay" in `run.optimizer.param_groups`, a dropout layer's `p`. On a CPU the same recipe gives the same weights
bit for bit, however often the run was interrupted: only a whole step moves `run.position`.
"""

import contextlib
import math
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tinylab import optimizers
from tinylab.data.dataset import Dataset
from tinylab.models.fast_layers import drawing_from
from tinylab.support.device import Device, pick
from tinylab.support.errors import InvalidInputError, TrainingError
from tinylab.support.interrupts import uninterrupted
from tinylab.support.seeds import derive_seed
from tinylab.training import checks
from tinylab.training.best import best_path
from tinylab.training.history import Epoch, History, Step
from tinylab.training.recipe import Recipe
from tinylab.training.scoring import scaled, score
from tinylab.training.state import Position, RunState


def train(
    model: nn.Module,
    data: Dataset,
    recipe: Recipe,
    *,
    eval_split: str = "development",
    device: Device | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    progress: bool | None = None,
) -> "Run":
    """A run of `recipe`, ready to be iterated over; it trains `model` in place.

    eval_split       the split that is measured after every epoch: one you may choose models by
    checkpoint  a file, written after every epoch; beside it, run.pt's best weights in run.best.pt
    resume      go on from that file if it is there. Recipe, network and data must be the same; with a constant
                learning rate and no start_size `epochs` may be more
    progress    draw a bar on stderr: loss, accuracy, images/s, time left; None: where somebody sits at a notebook, and
                for more than two seconds, as a line of the cell's output

    Raises InvalidInputError for what does not fit together, TrainingError for a checkpoint of no use here.
    """
    path = None if checkpoint is None else Path(checkpoint)
    if resume and path is None:
        raise InvalidInputError("resume=True needs a checkpoint. Give its path: checkpoint=…")
    run = Run(model, data, recipe, eval_split, device or pick(), path, progress)
    if resume and path is not None and path.exists():
        run._restore(path)
    return run


class Run(RunState):
    """A training that goes as far as it is iterated; `model`, `optimizer`, `history`, `best` are there to read."""

    REMEDY = "Lower the learning rate, or check the images"  # for a non-finite loss
    foreign = False  # whether the network may draw random numbers outside of its dropout layers

    def __iter__(self) -> Iterator[Epoch]:
        """Train on, and give the record of each epoch as it ends."""
        while not self.finished:
            for _ in self._rest_of_epoch():
                pass
            yield self.history.last

    def steps(self) -> Iterator[Step]:
        """Train on, and give each step. An epoch's record is in the history before the next epoch begins."""
        while not self.finished:
            yield from self._rest_of_epoch()

    def finish(self) -> History:
        """Train to the end."""
        for _ in self:
            pass
        return self.history

    def _rest_of_epoch(self) -> Iterator[Step]:
        """The batches left of the present epoch, then its measurements: wherever one stops, the next call goes on."""
        if self._torn:
            raise TrainingError(
                "the last update of this run was left half done, so it cannot go on. Start again from its last epoch: "
                "train(…, checkpoint=…, resume=True)"
            )
        number, began = len(self.history.epochs) + 1, time.perf_counter()
        for x, y in self.batches.epoch(number, start=self.position.batches):
            yield self._step(x, y, number, began)
            began = time.perf_counter()
        self._measure(number)

    def _step(self, x: Tensor, y: Tensor, epoch: int, began: float) -> Step:
        """The next batch: x float32 (B, 3, H, W) normalised, y int64 (B,); its clock began before it was made."""
        place = self.position.batches + 1
        rate = self._set_learning_rate(epoch, place)
        self.model.train()
        self.optimizer.zero_grad()
        undone = checks.undone_if_it_fails(self.model, self.optimizer, self.device, images=len(y))
        with torch.enable_grad(), undone:  # whatever the caller's own setting is
            x = scaled(x, self._size(epoch, place), self.device)
            # 1 forward
            with self._dropout_seeded(epoch, place), self.device.autocast():
                logits = self.model(x)  # (B, classes)
            # 2 loss
            loss = cross_entropy(logits.float(), y, label_smoothing=self.recipe.label_smoothing)
            # 3 backward
            loss.backward()
            # Read before the update, so that a non-finite loss changes no weight; once a step, on every device. A GPU
            # still has the backward pass to do when it is asked, and then idles only until the update is launched.
            right = (logits.argmax(dim=1) == y).float().mean()
            value, accuracy = torch.stack([loss.detach(), right]).tolist()
            self._check_finite(value, "loss", epoch, place, rate, "was not applied")
        with self._as_a_whole():
            # 4 update
            self.optimizer.step()
            if self.ema:
                self.ema.update_parameters(self.model)
            self.position = self.position.after(len(y), value, accuracy, time.perf_counter() - began)
        self._show(epoch, value, accuracy, len(y))
        return Step(epoch, place, value, accuracy, rate)

    def _measure(self, number: int) -> None:
        """The measurements at the end of an epoch, its record, the best weights, the checkpoint."""
        done, count = self.position, self.batches.count
        # before anything is measured: whoever turns a knob meanwhile means the next epoch
        rate, penalty = float(self.optimizer.param_groups[0]["lr"]), optimizers.penalty(self.optimizer).item()
        size = self._size(number, done.batches)  # as it trained: objects twice as large are other images to it
        few, watched = (score(self.measured, images, size=size) for images in (self._few, self._watched))
        self._check_finite(
            watched.loss, f"{self.history.eval_split} loss", number, done.batches, rate, "had been applied"
        )
        epoch = Epoch(
            epoch=number,
            learning_rate=rate,
            running_loss=done.loss / count,
            running_accuracy=done.correct / count,
            train_loss=few.loss,
            train_accuracy=few.accuracy,
            eval_loss=watched.loss,
            eval_accuracy=watched.accuracy,
            penalty=penalty,
            seconds=done.seconds,
            images_per_second=count / max(done.seconds, 1e-9),
        )
        with uninterrupted():
            self.history.epochs.append(epoch)
            self.position = Position()
            self._save()
        if self.finished:
            self._bar.close()

    # ---------------------------------------------------------------- beside the loop

    @contextlib.contextmanager
    def _as_a_whole(self) -> Iterator[None]:
        """Weights and position move together: an interrupt waits, and after anything else that fails in here the run
        refuses to go on."""
        with uninterrupted():
            self._torn = True
            yield
            self._torn = False

    def _set_learning_rate(self, epoch: int, place: int) -> float:
        """The schedule's learning rate for the update after batch `place` of `epoch`, both from 1."""
        factor = optimizers.factor(self.recipe.schedule, *self._done(epoch, place))
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        return float(self.optimizer.param_groups[0]["lr"])

    def _size(self, epoch: int, place: int) -> int:
        """Pixels of the images of batch `place` of `epoch`, both from 1."""
        step, steps = self._done(epoch, place)
        return self.recipe.size(step / steps, self.batches.split.images.shape[1])

    def _done(self, epoch: int, place: int) -> tuple[int, int]:
        """How many updates are done before batch `place` of `epoch`, and of how many."""
        batches = len(self.batches)
        return (epoch - 1) * batches + place - 1, self.recipe.epochs * batches

    def _dropout_seeded(self, epoch: int, place: int) -> contextlib.AbstractContextManager[None]:
        """Inside, dropout's random numbers are those of this batch, whoever else draws from torch's."""
        self._generator.manual_seed(derive_seed(self.recipe.seed, epoch, place))
        return drawing_from(self._generator, self.model, everything=self.foreign)

    def _check_finite(self, loss: float, name: str, epoch: int, place: int, rate: float, update: str) -> None:
        """Raises TrainingError for a non-finite loss, with what became of the update and of the best weights."""
        if math.isfinite(loss):
            return
        where = f"in epoch {epoch}, step {place}, at learning rate {rate:g}"
        kept = best_path(self.checkpoint) if self.checkpoint else "the run's `best`"
        best = f" The weights of the best epoch, {self.best.epoch}, are kept in {kept}." if self.best else ""
        raise TrainingError(f"the {name} is {loss} {where}; the update {update}.{best} {self.REMEDY}")

    def _show(self, epoch: int, loss: float, accuracy: float, images: int) -> None:
        self._bar.set_description(f"epoch {epoch}/{self.recipe.epochs}", refresh=False)
        self._bar.set_postfix(loss=f"{loss:.3f}", accuracy=f"{accuracy:.3f}", refresh=False)
        self._bar.update(images)
