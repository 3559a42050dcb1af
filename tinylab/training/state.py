"""What a run consists of, how it is put together, and how it is saved and put back; the loop itself is in `loop`."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import nn

from tinylab import optimizers
from tinylab.data.batches import Batches
from tinylab.data.dataset import Dataset
from tinylab.data.split import Split
from tinylab.models import set_dropout
from tinylab.support import notebook
from tinylab.support.device import Device
from tinylab.support.errors import TrainingError
from tinylab.support.memory import keep_freed
from tinylab.training import checkpoints, checks
from tinylab.training.best import Best, best_path, copied
from tinylab.training.checkpoints import Checkpoint
from tinylab.training.ema import averaged
from tinylab.training.history import History
from tinylab.training.recipe import Recipe
from tinylab.training.scoring import EVALUATION_BATCH

SUBSET = 1000  # training images that are looked at in evaluation mode after every epoch


@dataclass(frozen=True)
class Position:
    """Where a run stands within its present epoch: the batches that are done, and what they gave."""

    batches: int = 0
    loss: float = 0.0  # summed over images, so that a smaller last batch does not weigh more
    correct: float = 0.0
    seconds: float = 0.0  # of training

    def after(self, images: int, loss: float, accuracy: float, seconds: float) -> "Position":
        """One batch further."""
        return Position(
            self.batches + 1, self.loss + images * loss, self.correct + images * accuracy, self.seconds + seconds
        )


class RunState:
    """Model, optimizer, batches, history and position of a training: all that it needs to go on from where it is."""

    BATCHES: type[Batches] = Batches

    def __init__(
        self,
        model: nn.Module,
        data: Dataset,
        recipe: Recipe,
        eval_split: str,
        device: Device,
        checkpoint: Path | None = None,
        progress: bool | None = False,
    ) -> None:
        checks.check_parts(model, data)
        split = checks.watched(data, eval_split)
        if recipe.dropout is not None:
            set_dropout(model, recipe.dropout)
        self.model, self.recipe, self.device, self.checkpoint = model, recipe, device, checkpoint
        self.normalisation = data.normalisation
        keep_freed()
        device.place(model)
        checks.check_outputs(model, data, device, recipe.start_size)
        self.optimizer = self._new_optimizer(recipe)
        self.ema = averaged(model, recipe.ema_decay) if recipe.ema_decay else None
        self.history = History(recipe, checkpoints.describe(model), data.name, eval_split, tuple(data.classes))
        self.best: Best | None = None
        self.batches = self.BATCHES(
            data.train,
            self.normalisation,
            batch=recipe.batch,
            device=device,
            augment=recipe.augment(),
            shuffle=True,
            seed=recipe.seed,
        )
        checks.check_last_batch(model, recipe.batch, self.batches.count)
        few = checks.subset(data.train, min(SUBSET, len(data.train), len(split)))
        self._few, self._watched = self.for_evaluation(few), self.for_evaluation(split)
        self.position = Position()
        self._torn = False  # an update began and did not end
        self._generator = torch.Generator(device.target)  # of dropout: two runs in two threads share nothing
        self._bar = notebook.bar(progress, total=recipe.epochs * self.batches.count, unit=" images")

    def _new_optimizer(self, recipe: Recipe) -> torch.optim.Optimizer:
        return optimizers.build(
            recipe.optimizer,
            self.model,
            learning_rate=recipe.learning_rate,
            momentum=recipe.momentum,
            l2=recipe.l2,
            weight_decay=recipe.weight_decay,
        )

    @property
    def measured(self) -> nn.Module:
        """The network that is measured after every epoch: `model` itself, or the average that follows it."""
        return self.ema.module if self.ema else self.model

    @property
    def finished(self) -> bool:
        return len(self.history.epochs) >= self.recipe.epochs

    def for_evaluation(self, split: Split) -> Batches:
        """The images of any split as this run is measured on them: for `score(run.measured, …)`."""
        return Batches(split, self.normalisation, batch=EVALUATION_BATCH, device=self.device)

    # ---------------------------------------------------------------- saved and put back

    def state(self) -> Checkpoint:
        """Everything that a later process needs to go on from the last finished epoch."""
        return Checkpoint(
            architecture=self.history.architecture,
            classes=self.history.classes,
            normalisation=self.normalisation,
            recipe=asdict(self.recipe),
            history=self.history.as_dict(),
            epoch=len(self.history.epochs),
            model=self.measured.state_dict(),
            optimizer=self.optimizer.state_dict(),
            raw=self.model.state_dict() if self.ema else None,
        )

    def _save(self) -> None:
        """Keep the weights of the epoch that has just ended, if its watched loss is the lowest; write what is asked."""
        last = self.history.last
        if self.history.best is last:
            self.best = Best(last.epoch, last.eval_loss, copied(self.measured))
            if self.checkpoint:  # before the checkpoint: killed between the two, a resumed run writes it again
                checkpoints.save(best_path(self.checkpoint), replace(self.state(), optimizer={}, raw=None))
        if self.checkpoint:
            checkpoints.save(self.checkpoint, self.state())

    def _restore(self, path: Path) -> None:
        """Go back to where the checkpoint at `path` was. Raises TrainingError if it belongs to another run."""
        checkpoint = self._same_run(path)
        learning = checkpoint.raw if self.ema else checkpoint.model
        try:
            self.optimizer.load_state_dict(checkpoint.optimizer)
            if learning is None:
                raise KeyError("raw")
            if self.ema:
                self.ema.module.load_state_dict(checkpoint.model)
                self.ema.n_averaged.fill_(checkpoint.epoch * len(self.batches) + 1)
            self.model.load_state_dict(learning)
        except (KeyError, ValueError, RuntimeError) as error:
            raise TrainingError(
                f"{path}: holds no run to go on with ({type(error).__name__}: {' '.join(str(error).split())}): "
                "best weights alone, or another network's. Resume from the checkpoint that train(checkpoint=…) named"
            ) from error
        self.history.epochs[:] = History.from_dict(checkpoint.history).epochs
        self._bar.update(checkpoint.epoch * self.batches.count)
        if best_path(path).exists():
            best = self._same_run(best_path(path))
            self.best = Best(best.epoch, History.from_dict(best.history).last.eval_loss, best.model)

    def _same_run(self, path: Path) -> Checkpoint:
        """The checkpoint at `path`. Raises TrainingError if it is of no use, or of another run."""
        checkpoint = checkpoints.load(path)
        before = replace(History.from_dict(checkpoint.history), architecture=checkpoint.architecture)
        checks.check_same(path, (before, checkpoint.normalisation), (self.history, self.normalisation))
        return checkpoint
