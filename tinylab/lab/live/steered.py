"""A run that may be changed between two batches, left in the middle of an epoch, and put back to where it was."""

import copy
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from tinylab import models
from tinylab.data.batches import Batches
from tinylab.lab.live.batches import Attentive, Changeable
from tinylab.lab.live.knobs import Knobs
from tinylab.lab.live.snapshots import Snapshot, Taken
from tinylab.models import notation
from tinylab.support.device import Device
from tinylab.support.errors import InvalidInputError, TrainingError, nearest
from tinylab.training import EVALUATION_BATCH, Run, checks, evaluating
from tinylab.training.history import Step
from tinylab.training.recipe import Recipe
from tinylab.training.state import Position

if TYPE_CHECKING:
    from tinylab.data.dataset import Dataset
    from tinylab.data.split import Split


MODULE = "module "  # in a script, before what stands for a network that no line describes
MOST_WEIGHTS = 100_000_000  # a script from somewhere must not fill the memory


def named(model: str | nn.Module) -> str:
    """What a script calls a network: its name or line; a module of one's own by a digest of its first weights."""
    if isinstance(model, str):
        return model
    digest = hashlib.sha256(type(model).__name__.encode())
    for name, tensor in model.state_dict().items():
        digest.update(name.encode() + tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return f"{MODULE}{type(model).__name__} {digest.hexdigest()[:12]}"


def build(architecture: str, classes: int, size: int, seed: int) -> nn.Sequential:
    """The network of `models.build`, for images of size×size pixels, without a look at the global random state.

    Raises InvalidInputError for an unknown name, a bad line, or one with more than 100 million weights.
    """
    if architecture in models.SHAPES:
        raise InvalidInputError(
            f"network {architecture!r} has no line of notation. Give it as it is built: "
            f"models.build({architecture!r}, classes={classes})"
        )
    if architecture not in models.ARCHITECTURES and " - " not in architecture:
        models.build(architecture, classes=classes)  # says what is wrong with the name
    with torch.device("meta"):  # shapes without numbers: nothing is drawn, and nothing is too large
        model = notation.parse(models.ARCHITECTURES.get(architecture, architecture), classes=classes, size=size)
    weights = sum(parameter.numel() for parameter in model.parameters())
    if weights > MOST_WEIGHTS:
        raise InvalidInputError(f"a network of {weights:,} weights is too large. Allowed: {MOST_WEIGHTS:,}")
    model.to_empty(device="cpu")
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.reset_parameters()
    models.initialise(model, seed=seed)
    return model


class Steered(Run):
    """A `Run` whose knobs turn between batches; the same recipe gives the same weights as a `Run`, bit for bit."""

    batches: Changeable
    BATCHES = Changeable
    REMEDY = "Go back to an earlier step and lower the learning rate, or reset"

    def __init__(
        self,
        network: str | nn.Module,
        data: "Dataset",
        recipe: Recipe,
        eval_split: str,
        device: Device,
        listen: Callable[[], None] = lambda: None,
    ) -> None:
        """`network`: a name or a line of notation, built with the recipe's seed; a module is copied.

        listen: called between the batches of `measure`; it may turn knobs, all but the optimizer's.
        """
        self._listen = listen
        if isinstance(network, str):
            model: nn.Module = build(network, len(data.classes), data.train.images.shape[1], recipe.seed)
        else:
            model = copy.deepcopy(network)
        # each with what the line asks for
        self.dropouts = [(layer, layer.p) for layer in model.modules() if isinstance(layer, nn.Dropout)]
        self.foreign = not isinstance(network, str)
        super().__init__(model, data, recipe, eval_split, device)
        self.layers = {
            name: f"{name} {type(layer).__name__}"
            for name, layer in model.named_modules()
            if name and any(True for _ in layer.parameters(recurse=False))
        }
        self.knobs = Knobs.of(recipe)
        self._frozen: list[nn.Parameter] = []
        self._feed: Iterator[tuple[Tensor, Tensor]] | None = None  # the batches left of the present epoch

    @property
    def at_end(self) -> bool:
        """Whether the last update was the last of its epoch: `measure` comes next."""
        return self.batches.seen == self.batches.count

    def check(self, knobs: Knobs) -> None:
        """Raises InvalidInputError for a layer that is not there or a batch that cannot be made."""
        if knobs.frozen and knobs.frozen not in self.layers:
            raise InvalidInputError(f"layer {knobs.frozen!r} is not there{nearest(knobs.frozen, self.layers)}")
        if knobs.batch != self.knobs.batch:
            if knobs.batch > self.batches.count:
                raise InvalidInputError(
                    f"a batch of {knobs.batch} images is not possible. Allowed: 1 to {self.batches.count}, all of them"
                )
            checks.check_last_batch(self.model, knobs.batch, self.batches.count)

    def turn(self, knobs: Knobs) -> None:
        """Put these values in force from the next batch on; another optimizer starts with an empty memory.

        Raises InvalidInputError, and changes nothing, as `check` does.
        """
        self.check(knobs)
        if knobs.optimizer != self.knobs.optimizer:
            self._renew(knobs)
        recipe = knobs.on(self.recipe)
        for group in self.optimizer.param_groups:
            group["initial_lr"] = knobs.learning_rate
            if "betas" in group:
                group["betas"] = (knobs.momentum, group["betas"][1])
            else:
                group["momentum"] = knobs.momentum
        self.optimizer.param_groups[0]["weight_decay"] = recipe.weight_decay or 2 * recipe.l2  # 0 is the weights'
        for layer, p in self.dropouts:
            layer.p = p if knobs.dropout is None else knobs.dropout
        self.batches.batch, self.batches.on = knobs.batch, knobs.augment
        self._frozen = list(self.model.get_submodule(knobs.frozen).parameters(recurse=False)) if knobs.frozen else []
        self.knobs, self.recipe = knobs, recipe

    def _before_update(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        """Between gradient and update: a frozen layer has none, then all that are left are clipped together."""
        for parameter in self._frozen:
            parameter.grad = None
        if self.knobs.clip:
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            nn.utils.clip_grad_norm_(parameters, self.knobs.clip)

    def _done(self, epoch: int, place: int) -> tuple[int, int]:
        """Counted in batches of the present size."""
        return super()._done(epoch, (self.batches.seen - self.batches.last) // self.batches.batch + 1)

    def advance(self) -> Step:
        """One update. After the last of an epoch `measure` comes next.

        Raises TrainingError if an update before it was left half done: some weights have moved, others have not.
        """
        if self._torn:
            raise TrainingError("the last update was left half done. Go back to an earlier step, or reset")
        number, began, seen = len(self.history.epochs) + 1, time.perf_counter(), self.batches.seen
        self._feed = self._feed or self.batches.epoch(number, start=self.position.batches)
        try:
            return self._step(*next(self._feed), number, began)
        except BaseException:
            self._feed, self.batches.seen = None, seen  # the same batch is the next
            raise

    def measure(self) -> None:
        """The measurements at the end of an epoch, and its record, which `Run.steps` leaves for the next update."""
        self._feed = None
        self._measure(len(self.history.epochs) + 1)

    def for_evaluation(self, split: "Split") -> Batches:
        return Attentive(self._listen, split, self.normalisation, batch=EVALUATION_BATCH, device=self.device)

    def _save(self) -> None:
        """The snapshots are what one goes back to."""

    def keep(self, taken: Sequence[Taken], knobs: Knobs, changes: tuple) -> Snapshot:
        """The state as it is, copied, under these knobs; `taken`: every step so far."""
        state = self.state()
        model, raw, optimizer = copy.deepcopy((state.model, state.raw or {}, state.optimizer))
        return Snapshot(
            step=len(taken),
            knobs=knobs,
            changes=changes,
            epochs=tuple(self.history.epochs),
            taken=tuple(taken),
            seconds=self.position.seconds,
            model=model,
            raw=raw,
            optimizer=optimizer,
        )

    def go_back(self, snapshot: Snapshot) -> None:
        """Put everything back to where `snapshot` was kept; the next batch is the one that followed then."""
        self.knobs = snapshot.knobs
        self._renew(snapshot.knobs)
        if self.ema:
            self.ema.module.load_state_dict(snapshot.model)
            self.ema.n_averaged.fill_(len(snapshot.taken) + 1)
        self.model.load_state_dict(snapshot.raw or snapshot.model)  # copies into the parameters that are there
        self.optimizer.load_state_dict(
            copy.deepcopy(dict(snapshot.optimizer))
        )  # would hold on to the tensors it is given
        self.turn(snapshot.knobs)
        self.history = replace(self.history, epochs=list(snapshot.epochs))
        self._torn = False
        self.resume(snapshot.taken, snapshot.seconds)

    def resume(self, taken: Sequence[Taken], seconds: float | None = None) -> None:
        """Enter the present epoch again after the steps in `taken` (all of the run) that belong to it."""
        self._feed = None
        before, start = len(self.history.epochs) * self.batches.count, len(taken)  # images of the finished epochs
        while start and taken[start - 1][2] > before:
            start -= 1
        here, done = Position(seconds=self.position.seconds if seconds is None else seconds), before
        for loss, accuracy, images in taken[start:]:
            here, done = here.after(images - done, loss, accuracy, 0.0), images
        self.batches.seen, self.position = done - before, here

    def predict(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Classes int64 (N,) and their probabilities float32 (N,) for uint8 (N, H, W, 3), as the network stands now."""
        x = self.normalisation.apply(torch.from_numpy(images).to(self.device.target))
        with evaluating(self.measured), self.device.autocast():
            sure, chosen = self.measured(x).float().softmax(dim=1).max(dim=1)
        return chosen.cpu().numpy(), sure.cpu().numpy()

    def _renew(self, knobs: Knobs) -> None:
        self.optimizer = self._new_optimizer(knobs.on(self.recipe))

    def _new_optimizer(self, recipe: Recipe) -> torch.optim.Optimizer:
        made = super()._new_optimizer(recipe)
        made.register_step_pre_hook(self._before_update)
        return made
