"""The loop: nothing happens before somebody iterates, and whoever iterates sees every batch go by.

There are no callbacks. What is changed between two batches counts from the next on: "initial_lr", "betas" or
"weight_decay" in `run.optimizer.param_groups`, a dropout layer's `p`. On the CPU the same recipe gives the same weights
bit for bit, whether the run was interrupted and resumed or not.
"""

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from tqdm import tqdm

from tinylab import optimizers
from tinylab.data.batches import Batches
from tinylab.models import set_dropout
from tinylab.support.device import Device, pick
from tinylab.support.errors import InvalidInputError, TrainingError
from tinylab.support.memory import keep_freed
from tinylab.support.seeds import derive_seed
from tinylab.training import checkpoints, checks, distributed
from tinylab.training.best import Best, best_path, copied
from tinylab.training.checkpoints import Checkpoint
from tinylab.training.distillation import Teacher
from tinylab.training.distributed import ALONE, Team
from tinylab.training.ema import Average
from tinylab.training.history import Epoch, History, Step
from tinylab.training.mixup import Targets, mix, shared_accuracy, shared_loss
from tinylab.training.recipe import Recipe
from tinylab.training.scoring import EVALUATION_BATCH, score

if TYPE_CHECKING:
    from tinylab.data.dataset import Dataset
    from tinylab.data.split import Split

SUBSET = 1000  # training images that are looked at in evaluation mode after every epoch


def train(
    model: nn.Module,
    data: "Dataset",
    recipe: Recipe,
    *,
    watch: str = "development",
    device: Device | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    progress: bool = False,
    teacher: nn.Module | None = None,
) -> "Run":
    """A run of `recipe`, ready to be iterated over; it trains `model` in place.

    watch       the split that is measured after every epoch: one you may choose models by
    checkpoint  a file, written after every epoch; beside it, run.pt's best weights in run.best.pt
    resume      go on from that file if it is there. Recipe, network, data, teacher must be the same; with a
                constant learning rate `epochs` may be more
    progress    draw a bar on stderr: loss, accuracy, images/s, time left
    teacher     a trained network that the recipe's `teacher_weight` listens to

    Under torchrun the processes train together, each on its share of every batch: see `distributed`.

    Raises InvalidInputError for what does not fit together, TrainingError for a checkpoint of no use here.
    """
    path = None if checkpoint is None else Path(checkpoint)
    if resume and path is None:
        raise InvalidInputError("resume=True needs a checkpoint. Give its path: checkpoint=…")
    device = device or pick()
    run = Run(model, data, recipe, watch, device, path, progress, teacher, distributed.join(device))
    if resume and path is not None and path.exists():
        run._restore(path)
    return run


class Run:
    """A training that goes as far as it is iterated; `model`, `optimizer`, `history`, `best` are there to read.

    Between epochs `model` holds what was measured: with weight averaging the mean, in the middle of an epoch the
    weights that learn.
    """

    REMEDY = "Lower the learning rate, or check the images"  # for a loss that is no number

    def __init__(
        self,
        model: nn.Module,
        data: "Dataset",
        recipe: Recipe,
        watch: str,
        device: Device,
        checkpoint: Path | None,
        progress: bool,
        teacher: nn.Module | None = None,
        team: Team = ALONE,
    ) -> None:
        split = checks.watched(data, watch)
        checks.check_outputs(model, len(data.classes))
        checks.check_inputs(model, data.train.images.shape[1], data.train.images.shape[3])
        checks.check_teacher(recipe, teacher, len(data.classes))
        few = checks.subset(data.train, min(SUBSET, len(data.train), len(split)))
        distributed.check(team, recipe.batch, few, split)
        if recipe.dropout is not None:
            set_dropout(model, recipe.dropout)
        self.model, self.recipe, self.device, self.checkpoint, self.team = model, recipe, device, checkpoint, team
        keep_freed()
        device.place(model)
        self._together = team.wrap(model, device)
        self.optimizer = optimizers.build(
            recipe.optimizer,
            model,
            learning_rate=recipe.learning_rate,
            momentum=recipe.momentum,
            l2=recipe.l2,
            weight_decay=recipe.weight_decay,
        )
        self.average = Average(model, recipe.average) if recipe.average else None
        self.teacher = None
        if teacher is not None:
            self.teacher = Teacher(teacher, device, weight=recipe.teacher_weight, temperature=recipe.temperature)
        self.history = History(recipe, checkpoints.describe(model), data.name, watch, tuple(data.classes))
        self.best: Best | None = None
        self.normalisation = data.normalisation
        self.batches = Batches(
            data.train,
            self.normalisation,
            batch=recipe.batch,
            device=device,
            augment=recipe.augment(),
            shuffle=True,
            seed=recipe.seed,
            share=(team.rank, team.world),
        )
        checks.check_last_batch(model, recipe.batch, self.batches.count)
        self._few, self._watched = self._part(few), self._part(split)
        self._open: Iterator[Step] | None = None  # the epoch that has begun
        hidden = not (progress and team.leads)
        self._bar = tqdm(total=recipe.epochs * self.batches.count, unit=" images", disable=hidden)

    @property
    def finished(self) -> bool:
        return len(self.history.epochs) >= self.recipe.epochs

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
        """The steps left of the epoch that has begun, or all of the next: one may stop in the middle."""
        self._open = self._open or self._epoch(len(self.history.epochs) + 1)
        try:
            # not `yield from`, which would close the epoch when the caller leaves his loop
            for step in self._open:  # noqa: UP028
                yield step
            self._open = None
        except Exception as error:
            self._open = None
            self.team.explain(error)
            raise

    def _epoch(self, number: int) -> Iterator[Step]:
        """One pass over the training images, then the measurements, the record, the checkpoint."""
        started, elsewhere = time.perf_counter(), 0.0
        if self.average:
            self.average.hide(self.model)
        loss = correct = 0.0  # summed over images, so that a smaller last batch does not weigh more
        for position, (x, y) in enumerate(self.batches.epoch(number), start=1):
            rate = self._set_learning_rate((number - 1) * len(self.batches) + position - 1)
            step = self._step(x, y, number, position, rate)
            images = self.batches.images(position)
            loss += step.loss * images
            correct += step.accuracy * images
            self._show(step, images)
            left = time.perf_counter()
            yield step
            elsewhere += time.perf_counter() - left
        seconds = time.perf_counter() - started - elsewhere
        if self.average:
            self.average.show(self.model)
        self.team.unite(self.model)
        penalty = optimizers.penalty(self.optimizer).item()
        few, watched = (self.team.whole(score(self.model, part), self.device) for part in (self._few, self._watched))
        self._check(watched.loss, f"{self.history.watch} loss", number, position, rate, "had been applied")
        count = self.batches.count
        self.history.epochs.append(
            Epoch(
                epoch=number,
                learning_rate=rate,
                running_loss=loss / count,
                running_accuracy=correct / count,
                train_loss=few.loss,
                train_accuracy=few.accuracy,
                validation_loss=watched.loss,
                validation_accuracy=watched.accuracy,
                penalty=penalty,
                seconds=seconds,
                images_per_second=count / seconds,
            )
        )
        if self.finished:
            self._bar.close()
        self._keep_best()
        if self.checkpoint and self.team.leads:
            checkpoints.save(self.checkpoint, self.state())

    def _step(self, x: Tensor, y: Tensor, epoch: int, position: int, rate: float) -> Step:
        """Forward, backward, update, for one batch."""
        images, share = self.batches.images(position), self.batches.share_of(position)
        self._together.train()
        self.optimizer.zero_grad()
        try:
            x, targets = self._mixed(x, y, epoch, position)
            with self._randomness(epoch, position), self.device.autocast():
                logits = self._together(x)
            loss = shared_loss(logits.float(), targets, self.recipe.label_smoothing)
            if self.teacher:
                loss = self.teacher.blend(loss, logits.float(), x)
            self.team.gradient_of(loss, share).backward()
        except RuntimeError as error:  # torch.OutOfMemoryError is one; MPS and the CPU raise a plain one
            if not isinstance(error, torch.OutOfMemoryError) and not checks.out_of_memory(error):
                raise
            loss = None
        if loss is None:  # raised out here, where no traceback holds on to the tensors: the run can go on
            self.optimizer.zero_grad()
            raise TrainingError(
                f"{self.device.label} ran out of memory with {images} images a batch. "
                f"Train with a smaller one: Recipe(batch={max(1, images // 2)})"
            )
        # Read before the update, so that a loss of NaN changes no weight; once a step, on every device. A GPU
        # still has the backward pass to do when it is asked, and then idles only until the update is launched.
        measured = torch.stack([loss.detach(), shared_accuracy(logits, targets)])
        value, accuracy = self.team.mean(measured, share).tolist()
        self._check(value, "loss", epoch, position, rate, "was not applied")
        self.optimizer.step()
        if self.average:
            self.average.update(self.model, (epoch - 1) * len(self.batches) + position - 1)
        return Step(epoch, position, value, accuracy, rate)

    def _mixed(self, x: Tensor, y: Tensor, epoch: int, position: int) -> tuple[Tensor, Targets]:
        """The batch as the recipe mixes it: images, and labels with their shares."""
        recipe = self.recipe
        if not (recipe.mixup or recipe.cutmix):
            return x, ((1.0, y),)
        return mix(x, y, mixup=recipe.mixup, cutmix=recipe.cutmix, seed=derive_seed(recipe.seed, epoch, position, 0, 1))

    def _randomness(self, epoch: int, position: int) -> contextlib.AbstractContextManager[None]:
        """Inside, dropout's random numbers are those of this batch, whoever else draws from torch's."""
        where = (epoch, position) if self.team.leads else (epoch, position, self.team.rank)
        return _seeded(derive_seed(self.recipe.seed, *where), self.device)

    def _check(self, loss: float, name: str, epoch: int, position: int, rate: float, update: str) -> None:
        """Raises TrainingError for a loss that is no number, with what became of the update and of the best weights."""
        if math.isfinite(loss):
            return
        where = f" in {best_path(self.checkpoint)}" if self.checkpoint else " in the run's `best`"
        kept = f" The weights of the best epoch, {self.best.epoch}, are kept{where}." if self.best else ""
        raise TrainingError(
            f"the {name} is {loss} in epoch {epoch}, step {position}, at learning rate {rate:g}; the update {update}."
            f"{kept} {self.REMEDY}"
        )

    def _part(self, split: "Split") -> Batches:
        """This process's part of a split, for evaluation."""
        return Batches(self.team.part(split), self.normalisation, batch=EVALUATION_BATCH, device=self.device)

    def _set_learning_rate(self, step: int) -> float:
        """The schedule's learning rate for step 0 … of the whole run."""
        factor = optimizers.factor(self.recipe.schedule, step, self.recipe.epochs * len(self.batches))
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        return float(self.optimizer.param_groups[0]["lr"])

    def _show(self, step: Step, images: int) -> None:
        self._bar.set_description(f"epoch {step.epoch}/{self.recipe.epochs}", refresh=False)
        self._bar.set_postfix(loss=f"{step.loss:.3f}", accuracy=f"{step.accuracy:.3f}", refresh=False)
        self._bar.update(images)

    def _keep_best(self) -> None:
        """Keep the weights of the epoch that has just ended, if its watched loss is the lowest so far."""
        last = self.history.last
        if self.history.best is not last:
            return
        self.best = Best(last.epoch, last.validation_loss, copied(self.model))
        if self.checkpoint and self.team.leads:  # before the checkpoint: killed between the two, a resumed run writes
            weights = replace(self.state(), optimizer={}, raw=None)  # it again
            checkpoints.save(best_path(self.checkpoint), weights)

    def state(self) -> Checkpoint:
        """Everything that a later process needs to go on from the last finished epoch."""
        model, raw = self.model.state_dict(), None
        if self.average:
            raw = self.average.learning(self.model)
            mean = self.average.mean(self.model)
            model = {name: mean.get(name, tensor) for name, tensor in model.items()}
        return Checkpoint(
            line=self.history.line,
            classes=self.history.classes,
            normalisation=self.normalisation,
            recipe=asdict(self.recipe),
            history=self.history.as_dict(),
            epoch=len(self.history.epochs),
            model=model,
            optimizer=self.optimizer.state_dict(),
            raw=raw,
            teacher=self._taught_by,
        )

    @property
    def _taught_by(self) -> str | None:
        return self.teacher.digest if self.teacher else None

    def _restore(self, path: Path) -> None:
        """Go back to where the checkpoint at `path` was. Raises TrainingError if it belongs to another run."""
        checkpoint = self._same_run(path)
        try:
            self.optimizer.load_state_dict(checkpoint.optimizer)
            if self.average:
                self.average.put_back(checkpoint.raw or {}, shown=True)
        except (KeyError, ValueError, RuntimeError) as error:
            raise TrainingError(
                f"{path}: holds no run to go on with ({type(error).__name__}: {' '.join(str(error).split())}): "
                "best weights alone, or another network's. Resume from the checkpoint that train(checkpoint=…) named"
            ) from error
        checkpoints.restore(path, checkpoint, self.model)
        self.history.epochs[:] = History.from_dict(checkpoint.history).epochs
        self._bar.update(checkpoint.epoch * self.batches.count)
        if best_path(path).exists():
            best = self._same_run(best_path(path))
            self.best = Best(best.epoch, History.from_dict(best.history).last.validation_loss, best.model)

    def _same_run(self, path: Path) -> Checkpoint:
        """The checkpoint at `path`. Raises TrainingError if it is of no use, or of another run."""
        checkpoint = checkpoints.load(path)
        before = History.from_dict(checkpoint.history), checkpoint.normalisation, checkpoint.teacher
        checks.check_same(path, before, (self.history, self.normalisation, self._taught_by))
        return checkpoint


@contextlib.contextmanager
def _seeded(seed: int, device: Device) -> Iterator[None]:
    """Torch's own random numbers (dropout draws them) start from `seed` inside; the caller's go on
    untouched."""
    if device.target.type == "cpu":  # torch.manual_seed notes the whole call stack: a millisecond from a notebook
        before = torch.default_generator.get_state()
        torch.default_generator.manual_seed(seed)
        try:
            yield
        finally:
            torch.default_generator.set_state(before)
    else:
        with torch.random.fork_rng([device.target] if device.target.type == "cuda" else []):
            torch.manual_seed(seed)
            yield
