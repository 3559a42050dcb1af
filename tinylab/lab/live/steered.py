"""A run that may be changed between two batches, left in the middle of an epoch, and put back to where it was."""

import contextlib
import copy
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from tinylab import models, optimizers
from tinylab.data.batches import Batches
from tinylab.lab.live.batches import Attentive, Changeable
from tinylab.lab.live.knobs import Knobs
from tinylab.lab.live.snapshots import Snapshot, Taken
from tinylab.models import notation
from tinylab.support.device import Device
from tinylab.support.errors import InvalidInputError, nearest
from tinylab.training import EVALUATION_BATCH, Run, checks, evaluating
from tinylab.training.history import Step
from tinylab.training.recipe import Recipe
from tinylab.training.state import Position

if TYPE_CHECKING:
    from tinylab.data.dataset import Dataset
    from tinylab.data.split import Split


_RAW = "raw: "  # in a snapshot, before the names of the weights that learn, where their average is measured
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


@contextlib.contextmanager
def _globally(seed: int, inner: contextlib.AbstractContextManager[None]) -> Iterator[None]:
    """Torch's own random numbers start from `seed` inside; the caller's go on untouched."""
    with torch.random.fork_rng(), inner:
        torch.manual_seed(seed)
        yield


class Steered(Run):
    """A `Run` whose knobs turn between batches; the same recipe gives the same weights as a `Run`, bit for bit."""

    batches: Changeable
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
        self._own = not isinstance(network, str)
        super().__init__(model, data, recipe, eval_split, device)
        self.batches = Changeable(
            data.train,
            self.normalisation,
            batch=recipe.batch,
            device=device,
            augment=recipe.augment(),
            seed=recipe.seed,
        )
        self.layers = {
            name: f"{name} {type(layer).__name__}"
            for name, layer in model.named_modules()
            if name and any(True for _ in layer.parameters(recurse=False))
        }
        self.knobs = Knobs.of(recipe)
        self._frozen: list[nn.Parameter] = []
        self.optimizer.register_step_pre_hook(self._before_update)
        self._feed: Iterator[tuple[Tensor, Tensor]] | None = None  # the batches left of the present epoch

    @property
    def at_end(self) -> bool:
        """Whether the last update was the last of its epoch: `measure` comes next."""
        return self.batches.seen == self.batches.count

    def turn(self, knobs: Knobs) -> None:
        """Put these values in force from the next batch on; another optimizer starts with an empty memory.

        Raises InvalidInputError, and changes nothing, for a layer that is not there or a batch that cannot be made.
        """
        if knobs.frozen and knobs.frozen not in self.layers:
            raise InvalidInputError(f"layer {knobs.frozen!r} is not there{nearest(knobs.frozen, self.layers)}")
        if knobs.batch != self.knobs.batch:
            if knobs.batch > self.batches.count:
                raise InvalidInputError(
                    f"a batch of {knobs.batch} images is not possible. Allowed: 1 to {self.batches.count}, all of them"
                )
            checks.check_last_batch(self.model, knobs.batch, self.batches.count)
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

    def _set_learning_rate(self, epoch: int, place: int) -> float:
        return super()._set_learning_rate(epoch, self._place())

    def _scaled(self, x: Tensor, epoch: int, place: int) -> Tensor:
        return super()._scaled(x, epoch, self._place())

    def _place(self) -> int:
        """How far the epoch has come, counted in batches of the present size, from 1."""
        return (self.batches.seen - self.batches.last) // self.batches.batch + 1

    def advance(self) -> Step:
        """One update. After the last of an epoch `measure` comes next."""
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

    def _for_evaluation(self, split: "Split") -> Batches:
        return Attentive(self._listen, split, self.normalisation, batch=EVALUATION_BATCH, device=self.device)

    def _save(self) -> None:
        """The snapshots are what one goes back to."""

    def _dropout_seeded(self, epoch: int, place: int) -> contextlib.AbstractContextManager[None]:
        """As `Run`'s; what else a module of one's own draws comes from torch's global state, set for as long."""
        drawing = super()._dropout_seeded(epoch, place)
        return _globally(self._generator.initial_seed(), drawing) if self._own else drawing

    def keep(self, taken: Sequence[Taken], knobs: Knobs, changes: tuple) -> Snapshot:
        """The state as it is, copied, under these knobs; `taken`: every step so far."""
        state = self.state()
        model = state.model | {f"{_RAW}{name}": tensor for name, tensor in (state.raw or {}).items()}
        model = {name: tensor.detach().clone() for name, tensor in model.items()}
        return Snapshot(
            step=len(taken),
            knobs=knobs,
            changes=changes,
            epochs=tuple(self.history.epochs),
            taken=tuple(taken),
            seconds=self.position.seconds,
            model=model,
            optimizer=copy.deepcopy(state.optimizer),
        )

    def go_back(self, snapshot: Snapshot) -> None:
        """Put everything back to where `snapshot` was kept; the next batch is the one that followed then."""
        self.knobs = snapshot.knobs
        self._renew(snapshot.knobs)
        model, raw = dict(snapshot.model), {}
        for name in [name for name in model if name.startswith(_RAW)]:
            raw[name.removeprefix(_RAW)] = model.pop(name)
        if self.ema:
            self.ema.module.load_state_dict(model)
            self.ema.n_averaged.fill_(len(snapshot.taken) + 1)
        self.model.load_state_dict(raw or model)  # copies into the parameters that are there
        self.optimizer.load_state_dict(
            copy.deepcopy(dict(snapshot.optimizer))
        )  # would hold on to the tensors it is given
        self.turn(snapshot.knobs)
        self.history = replace(self.history, epochs=list(snapshot.epochs))
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
        self.batches.seen, self.position, self._torn = done - before, here, False

    def predict(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Classes int64 (N,) and their probabilities float32 (N,) for uint8 (N, H, W, 3), as the network stands now."""
        x = self.normalisation.apply(torch.from_numpy(images).to(self.device.target))
        with evaluating(self.measured), self.device.autocast():
            sure, chosen = self.measured(x).float().softmax(dim=1).max(dim=1)
        return chosen.cpu().numpy(), sure.cpu().numpy()

    def _renew(self, knobs: Knobs) -> None:
        recipe = knobs.on(self.recipe)
        self.optimizer = optimizers.build(
            recipe.optimizer,
            self.model,
            learning_rate=recipe.learning_rate,
            momentum=recipe.momentum,
            l2=recipe.l2,
            weight_decay=recipe.weight_decay,
        )
        self.optimizer.register_step_pre_hook(self._before_update)
