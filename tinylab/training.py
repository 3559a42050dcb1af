"""The loop that follows a recipe and leaves a history.

    run = train(model, data, Recipe(epochs=5))
    for epoch in run:  # or `for step in run.steps()`, or `run.finish()`
        print(epoch.validation_accuracy)

Nothing happens before somebody iterates, and whoever iterates sees every batch go by: there are no callbacks.
What is changed between two batches counts from the next on: "initial_lr", "betas" or "weight_decay" in
`run.optimizer.param_groups`, a dropout layer's `p`. On the CPU the same recipe gives the same weights bit for
bit, whether the run was interrupted and resumed or not.
"""

import contextlib
import hashlib
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from tinylab import checkpoints, optimizers
from tinylab.checkpoints import Checkpoint
from tinylab.data.batches import Batches, Normalisation, stream
from tinylab.device import Device, pick
from tinylab.errors import InvalidInputError, TrainingError, nearest
from tinylab.history import Epoch, History, Step
from tinylab.memory import keep_freed
from tinylab.models import set_dropout
from tinylab.recipes import RECIPES, Recipe

if TYPE_CHECKING:
    from tinylab.data.dataset import Dataset, Split

__all__ = ["RECIPES", "Epoch", "History", "Recipe", "Run", "Score", "Step", "evaluating", "score", "train"]

SPLITS = ("development", "validation", "test", "train")
SUBSET = 1000  # training images that are looked at in evaluation mode after every epoch
EVALUATION_BATCH = 256  # images


# ---------------------------------------------------------------- measuring


@dataclass(frozen=True)
class Score:
    """Mean cross-entropy (nats) and accuracy (0..1) over `count` images."""

    loss: float
    accuracy: float
    count: int


def score(model: nn.Module, batches: Batches) -> Score:
    """Loss and accuracy in evaluation mode; the model's own modes are restored. Every image weighs the same.

    Raises InvalidInputError for images without labels.
    """
    if not batches.labelled:
        raise InvalidInputError(f"split {batches.split.name!r} has no labels. Score one that has, or predict")
    with evaluating(model), batches.device.autocast():
        sums = [_sums(model(x), y) for x, y in batches.epoch()]
    loss, correct = torch.stack(sums).cpu().double().sum(dim=0).tolist()
    return Score(loss / batches.count, correct / batches.count, batches.count)


def _sums(logits: Tensor, targets: Tensor) -> Tensor:
    """Summed loss and number of right answers, float32 (2,); stays on the device, so that nothing waits."""
    loss = cross_entropy(logits.float(), targets, reduction="sum")
    return torch.stack([loss, (logits.argmax(dim=1) == targets).sum()])


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients inside, every module's own mode again after."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


# ---------------------------------------------------------------- the loop


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
) -> "Run":
    """A run of `recipe`, ready to be iterated over; it trains `model` in place.

    watch       the split that is measured after every epoch: one you may choose models by
    checkpoint  a file, written after every epoch
    resume      go on from that file if it is there. Recipe, network, data must be the same; with a constant
                learning rate `epochs` may be more
    progress    draw a bar on stderr: loss, accuracy, images/s, time left

    Raises InvalidInputError for what does not fit together, TrainingError for a checkpoint of no use here.
    """
    path = None if checkpoint is None else Path(checkpoint)
    if resume and path is None:
        raise InvalidInputError("resume=True needs a checkpoint. Give its path: checkpoint=…")
    run = Run(model, data, recipe, watch, device or pick(), path, progress)
    if resume and path is not None and path.exists():
        run._restore(path, checkpoints.load(path))
    return run


class Run:
    """A training that goes as far as it is iterated; `model`, `optimizer`, `history` are there to read."""

    def __init__(
        self,
        model: nn.Module,
        data: "Dataset",
        recipe: Recipe,
        watch: str,
        device: Device,
        checkpoint: Path | None,
        progress: bool,
    ) -> None:
        watched = _watched(data, watch)
        _check_outputs(model, len(data.classes))
        if recipe.dropout is not None:
            set_dropout(model, recipe.dropout)
        self.model, self.recipe, self.device, self.checkpoint = model, recipe, device, checkpoint
        keep_freed()
        device.place(model)
        self.optimizer = optimizers.build(
            recipe.optimizer,
            model,
            learning_rate=recipe.learning_rate,
            momentum=recipe.momentum,
            l2=recipe.l2,
            weight_decay=recipe.weight_decay,
        )
        self.history = History(recipe, checkpoints.describe(model), data.name, watch, tuple(data.classes))
        self.normalisation = data.normalisation
        self.batches = Batches(
            data.train,
            self.normalisation,
            batch=recipe.batch,
            device=device,
            augment=recipe.augment(),
            shuffle=True,
            seed=recipe.seed,
        )
        few = _subset(data.train, min(SUBSET, len(data.train), len(watched)))
        self._few, self._watched = (
            Batches(split, self.normalisation, batch=EVALUATION_BATCH, device=device) for split in (few, watched)
        )
        self._open: Iterator[Step] | None = None  # the epoch that has begun
        self._bar = tqdm(total=recipe.epochs * self.batches.count, unit=" images", disable=not progress)

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
        except Exception:
            self._open = None
            raise

    def _epoch(self, number: int) -> Iterator[Step]:
        """One pass over the training images, then the measurements, the record, the checkpoint."""
        started, elsewhere = time.perf_counter(), 0.0
        loss = correct = 0.0  # summed over images, so that a smaller last batch does not weigh more
        for position, (x, y) in enumerate(self.batches.epoch(number), start=1):
            rate = self._set_learning_rate((number - 1) * len(self.batches) + position - 1)
            step = self._step(x, y, number, position, rate)
            loss += step.loss * len(y)
            correct += step.accuracy * len(y)
            self._show(step, len(y))
            left = time.perf_counter()
            yield step
            elsewhere += time.perf_counter() - left
        seconds = time.perf_counter() - started - elsewhere
        few, watched = score(self.model, self._few), score(self.model, self._watched)
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
                penalty=optimizers.penalty(self.optimizer).item(),
                seconds=seconds,
                images_per_second=count / seconds,
            )
        )
        if self.finished:
            self._bar.close()
        if self.checkpoint:
            checkpoints.save(self.checkpoint, self.state())

    def _step(self, x: Tensor, y: Tensor, epoch: int, position: int, rate: float) -> Step:
        """Forward, backward, update, for one batch."""
        self.model.train()
        self.optimizer.zero_grad()
        try:
            with _seeded(stream(self.recipe.seed, epoch, position), self.device), self.device.autocast():
                logits = self.model(x)
            loss = cross_entropy(logits.float(), y, label_smoothing=self.recipe.label_smoothing)
            loss.backward()
        except torch.OutOfMemoryError:
            loss = None
        if loss is None:  # raised out here, where no traceback holds on to the tensors: the run can go on
            self.optimizer.zero_grad()
            raise TrainingError(
                f"{self.device.label} ran out of memory with {len(y)} images a batch. "
                f"Train with a smaller one: Recipe(batch={max(1, len(y) // 2)})"
            )
        # Read before the update, so that a loss of NaN changes no weight; once a step, on every device. A GPU
        # still has the backward pass to do when it is asked, and then idles only until the update is launched.
        right = (logits.argmax(dim=1) == y).float().mean()
        value, accuracy = torch.stack([loss.detach(), right]).tolist()
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss is {value} in epoch {epoch}, step {position}, at learning rate {rate:g}; the "
                "update was not applied. Lower the learning rate, or check the images"
            )
        self.optimizer.step()
        return Step(epoch, position, value, accuracy, rate)

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

    def state(self) -> Checkpoint:
        """Everything that a later process needs to go on from the last finished epoch."""
        return Checkpoint(
            line=self.history.line,
            classes=self.history.classes,
            normalisation=self.normalisation,
            recipe=asdict(self.recipe),
            history=self.history.as_dict(),
            epoch=len(self.history.epochs),
            model=self.model.state_dict(),
            optimizer=self.optimizer.state_dict(),
        )

    def _restore(self, path: Path, checkpoint: Checkpoint) -> None:
        """Go back to where `checkpoint` was. Raises TrainingError if it belongs to another run."""
        history = History.from_dict(checkpoint.history)
        _check_same(path, (history, checkpoint.normalisation), (self.history, self.normalisation))
        checkpoints.restore(path, checkpoint, self.model)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.history.epochs[:] = history.epochs
        self._bar.update(checkpoint.epoch * self.batches.count)


# ---------------------------------------------------------------- what has to fit together


def _watched(data: "Dataset", watch: str) -> "Split":
    """The split of that name, with images and labels."""
    if watch not in SPLITS:
        raise InvalidInputError(f"watch {watch!r} is not a split{nearest(watch, SPLITS)}")
    split: Split = getattr(data, watch)
    if len(split) == 0 or split.targets is None:
        what = "no images" if len(split) == 0 else "no labels"
        raise InvalidInputError(f"split {watch!r} has {what}, so it cannot be watched. Try watch='validation'")
    return split


def _subset(split: "Split", count: int) -> "Split":
    """`count` images of the split, always the same ones."""
    rows = np.random.default_rng(0).permutation(len(split))[:count]
    return replace(split, index=split.index[np.sort(rows)])


def _check_outputs(model: nn.Module, classes: int) -> None:
    outputs = [module.out_features for module in model.modules() if isinstance(module, nn.Linear)]
    if outputs and outputs[-1] != classes:
        raise InvalidInputError(
            f"the network has {outputs[-1]} outputs, the data has {classes} classes. "
            f"Build it for them: models.build(…, classes={classes})"
        )


def _check_same(path: Path, before: tuple[History, Normalisation], now: tuple[History, Normalisation]) -> None:
    """Raises TrainingError if going on would mix two runs."""
    sides = []
    for history, normalisation in (before, now):
        side = {f"recipe's {name}": value for name, value in asdict(history.recipe).items()}
        side |= {"network": history.line, "classes": history.classes, "watched split": history.watch}
        mean = hashlib.sha256(normalisation.mean.tobytes() + normalisation.scale.tobytes())
        sides.append(side | {"mean training image (digest)": mean.hexdigest()[:8]})
    was, wanted = sides
    if wanted["recipe's schedule"] == "constant":  # then a longer run begins exactly like a shorter one
        was["recipe's epochs"] = wanted["recipe's epochs"]
    for name, value in wanted.items():
        if was[name] != value:
            raise TrainingError(
                f"{path}: the checkpoint belongs to another run: its {name} was {was[name]!r}, now it is "
                f"{value!r}. Use the same, or another checkpoint path"
            )


@contextlib.contextmanager
def _seeded(seed: int, device: Device) -> Iterator[None]:
    """Torch's own random numbers (dropout draws them) start from `seed` inside; the caller's go on
    untouched."""
    devices = [device.target] if device.target.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield
