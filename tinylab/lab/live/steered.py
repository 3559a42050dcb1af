"""A run that may be changed between two batches, left in the middle of an epoch, and put back to where it was."""

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from tinylab import models, optimizers
from tinylab.data.batches import Batches
from tinylab.data.normalisation import Normalisation
from tinylab.lab.live.knobs import Knobs
from tinylab.lab.live.snapshots import Snapshot
from tinylab.models import notation
from tinylab.support.device import Device
from tinylab.support.errors import InvalidInputError
from tinylab.training import EVALUATION_BATCH, Run, evaluating
from tinylab.training.history import Epoch, Step
from tinylab.training.recipe import Recipe
from tinylab.training.state import Position

if TYPE_CHECKING:
    from tinylab.data.dataset import Dataset
    from tinylab.data.split import Split


_RAW = "raw: "  # in a snapshot, before the names of the weights that learn, where their average is measured
MOST_WEIGHTS = 100_000_000  # a story from somewhere must not fill the memory


def build(line: str, classes: int, size: int, seed: int) -> nn.Sequential:
    """The network of `models.build`, for images of size×size pixels, without a look at the global random state.

    Raises InvalidInputError for an unknown name, a bad line, or one with more than 100 million weights.
    """
    if line not in models.LINES and " - " not in line:
        models.build(line, classes=classes)  # says what is wrong with the name
    with torch.device("meta"):  # shapes without numbers: nothing is drawn, and nothing is too large
        model = notation.parse(models.LINES.get(line, line), classes=classes, size=size)
    weights = sum(parameter.numel() for parameter in model.parameters())
    if weights > MOST_WEIGHTS:
        raise InvalidInputError(f"a network of {weights:,} weights is too large. Allowed: {MOST_WEIGHTS:,}")
    model.to_empty(device="cpu")
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.reset_parameters()
    models.initialise(model, seed=seed)
    return model


class Attentive(Batches):
    """Batches for evaluation; before each, `listen` is called."""

    def __init__(
        self, listen: Callable[[], None], split: "Split", normalisation: Normalisation, **options: Any
    ) -> None:
        super().__init__(split, normalisation, **options)
        self.listen = listen

    def epoch(self, number: int = 0, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        for x, y in super().epoch(number, start):
            self.listen()
            yield x, y


class Steered(Run):
    """A `Run` whose knobs turn between batches; the same recipe gives the same weights as a `Run`, bit for bit."""

    REMEDY = "Go back to an earlier step and lower the learning rate, or reset"

    def __init__(
        self,
        line: str,
        data: "Dataset",
        recipe: Recipe,
        watch: str,
        device: Device,
        listen: Callable[[], None] = lambda: None,
    ) -> None:
        """`line`: a name or a line of notation, built with the recipe's seed.

        listen: called between the batches of `measure`; it may turn knobs, all but the optimizer's.
        """
        self._listen = listen
        model = build(line, len(data.classes), data.train.images.shape[1], recipe.seed)
        # the dropout that the line asks for, layer by layer
        self.line_p = {name: layer.p for name, layer in model.named_children() if isinstance(layer, nn.Dropout)}
        super().__init__(model, data, recipe, watch, device)
        self.knobs = Knobs.of(recipe)
        self._feed: Iterator[tuple[Tensor, Tensor]] | None = None  # the batches left of the present epoch

    def turn(self, knobs: Knobs) -> None:
        """Put these values in force from the next batch on; another optimizer starts with an empty memory."""
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
        for name, layer in self.model.named_children():
            if isinstance(layer, nn.Dropout):
                layer.p = self.line_p[name] if knobs.dropout is None else knobs.dropout
        self.knobs, self.recipe = knobs, recipe

    def advance(self) -> Step:
        """One update. After the last of an epoch `measure` comes next."""
        number, began = len(self.history.epochs) + 1, time.perf_counter()
        self._feed = self._feed or self.batches.epoch(number, start=self.position.batches)
        try:
            return self._step(*next(self._feed), number, began)
        except BaseException:
            self._feed = None  # the same batch is the next
            raise

    def measure(self) -> None:
        """The measurements at the end of an epoch, and its record, which `Run.steps` leaves for the next update."""
        self._feed = None
        self._measure(len(self.history.epochs) + 1)

    def _for_evaluation(self, split: "Split") -> Batches:
        return Attentive(self._listen, split, self.normalisation, batch=EVALUATION_BATCH, device=self.device)

    def _save(self) -> None:
        """The snapshots are what one goes back to."""

    def keep(self, taken: Sequence[tuple[float, float]], knobs: Knobs, changes: tuple) -> Snapshot:
        """The state as it is, copied, under these knobs; `taken`: loss and accuracy of every step so far."""
        state = self.state()
        model = state.model | {f"{_RAW}{name}": tensor for name, tensor in (state.raw or {}).items()}
        model = {name: tensor.detach().clone() for name, tensor in model.items()}
        return Snapshot(
            step=len(taken), knobs=knobs, changes=changes, epochs=tuple(self.history.epochs), taken=tuple(taken),
            seconds=self.position.seconds, model=model, optimizer=copy.deepcopy(state.optimizer),
        )  # fmt: skip

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

    def resume(self, taken: Sequence[tuple[float, float]], seconds: float | None = None) -> None:
        """Enter the present epoch again after the steps in `taken` (all of the run) that belong to it."""
        self._feed = None
        here = Position(seconds=self.position.seconds if seconds is None else seconds)
        for loss, accuracy in taken[len(self.history.epochs) * len(self.batches) :]:
            images = min(self.batches.batch, self.batches.count - here.batches * self.batches.batch)
            here = here.after(images, loss, accuracy, 0.0)
        self.position, self._torn = here, False

    def predict(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Classes int64 (N,) and their probabilities float32 (N,) for uint8 (N, H, W, 3), as the network stands now."""
        x = self.normalisation.apply(torch.from_numpy(images).to(self.device.target))
        with evaluating(self.measured), self.device.autocast():
            sure, chosen = self.measured(x).float().softmax(dim=1).max(dim=1)
        return chosen.cpu().numpy(), sure.cpu().numpy()

    def _renew(self, knobs: Knobs) -> None:
        recipe = knobs.on(self.recipe)
        self.optimizer = optimizers.build(
            recipe.optimizer, self.model, learning_rate=recipe.learning_rate, momentum=recipe.momentum, l2=recipe.l2,
            weight_decay=recipe.weight_decay,
        )  # fmt: skip

    @property
    def last_epoch(self) -> Epoch | None:
        return self.history.epochs[-1] if self.history.epochs else None
