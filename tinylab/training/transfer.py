"""Learn some classes from few images, with and without what was learned on others: the report's first proposal, tested.

    parts = split(data, source=160, target=40)            # classes, drawn by seed, none in both
    train(pretrained, parts.source, recipe).finish()      # inside the course
    results = compare([pretrained], parts, "model_1", recipe, per_class=(10, 50, 500), updates=2000, seeds=3)

Four ways to learn the target classes, on the same few images and measured on the same official validation images:

    from scratch  fresh weights: the control
    more epochs   fresh weights, `factor` times as many epochs: the report's second proposal
    fine-tuned    the pre-trained layers and a new last one; all of them learn on (Yosinski et al., 2014)
    frozen        the same, but only the new last layer learns: a linear probe (Alain and Bengio, 2016)

Nothing is chosen anywhere: every way has the same recipe, and the last epoch counts.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from tinylab import models
from tinylab.optimizers import Difference, difference
from tinylab.support.device import Device, pick
from tinylab.support.errors import InvalidInputError, check_int, nearest
from tinylab.support.table import Table
from tinylab.training import score, train
from tinylab.training.recipe import Recipe

if TYPE_CHECKING:
    from tinylab.data.dataset import Dataset
    from tinylab.data.split import Split

SCRATCH, MORE_EPOCHS, FINE_TUNED, FROZEN = WAYS = ("from scratch", "more epochs", "fine-tuned", "frozen")


# ---------------------------------------------------------------- classes to learn from, and to learn


@dataclass(frozen=True, eq=False)
class Parts:
    """Two data sets that share no class."""

    source: "Dataset"  # to pre-train on
    target: "Dataset"  # to learn with few images


def split(data: "Dataset", source: int, target: int, seed: int = 0) -> Parts:
    """Divide the classes of `data`: `source` of them to pre-train on, `target` to learn with few images.

    Which ones, `seed` decides. Raises InvalidInputError for fewer than 2 of either, or more than there are.
    """
    count = len(data.classes)
    check_int("seed", seed, 0)
    check_int(f"source classes of {count}:", source, 2, count - 2)
    check_int(f"target classes of {count}:", target, 2, count - source)
    order = [data.classes[i] for i in np.random.default_rng(seed).permutation(count)]
    parts = order[:source], order[source : source + target]
    return Parts(*(_with_classes(data, sorted(part, key=data.classes.index)) for part in parts))


def _with_classes(data: "Dataset", wnids: Sequence[str]) -> "Dataset":
    """`data` with those classes only, numbered in that order; test images without labels stay all."""
    places = [data.classes.index(wnid) for wnid in wnids]
    number = np.full(len(data.classes) + 1, -1)  # the last place is for label -1: another class already
    number[places] = np.arange(len(places))

    def part(split: "Split") -> "Split":
        if split.labels is None:
            return split
        labels = number[split.labels]
        return replace(split, labels=labels, index=split.index[labels[split.index] >= 0])

    train, development, validation, test = map(part, data.splits)
    words = tuple(data.words[place] for place in places)
    return replace(
        data, classes=tuple(wnids), words=words, train=train, development=development, validation=validation, test=test
    )


# ---------------------------------------------------------------- from one network to another


@dataclass(frozen=True)
class Transplant:
    """What went over into the new network, by name of its tensors, and what began anew."""

    carried: tuple[str, ...]
    fresh: tuple[str, ...]
    carried_numbers: int  # parameters, running means included
    fresh_numbers: int

    def table(self) -> Table:
        rows = [
            ["carried over", len(self.carried), f"{self.carried_numbers:,}", ", ".join(self.carried)],
            ["freshly initialised", len(self.fresh), f"{self.fresh_numbers:,}", ", ".join(self.fresh)],
        ]
        return Table(["", "tensors", "numbers", "names"], rows)


def copy_weights(pretrained: nn.Module, model: nn.Module) -> Transplant:
    """Copy every layer of `pretrained` into `model`, which keeps its own last one: that belongs to its classes.

    Batch normalisation's running means and scales are carried, too. `model` is changed in place. Raises
    InvalidInputError if the two differ in more than their last layer; then nothing has been copied.
    """
    given = _but_last(pretrained)
    taken = _but_last(model)
    shapes = [{name: tuple(value.shape) for name, value in part.items()} for part in (given, taken)]
    if shapes[0] != shapes[1]:
        odd = next(iter(set(shapes[0].items()) ^ set(shapes[1].items())))
        raise InvalidInputError(
            f"the networks differ before their last layer: {odd[0]!r} {odd[1]} is in one only. Build both from one line"
        )
    with torch.no_grad():
        for name, value in taken.items():
            value.copy_(given[name])
    fresh = {name: value for name, value in model.state_dict().items() if name not in taken}
    sizes = [sum(value.numel() for value in part.values()) for part in (taken, fresh)]
    return Transplant(tuple(taken), tuple(fresh), *sizes)


def _but_last(model: nn.Module) -> dict[str, Tensor]:
    """The network's tensors by name, those of its last fully connected layer left out."""
    linear = [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear)]
    if not linear:
        raise InvalidInputError("the network has no fully connected layer, so there is no last one to leave out")
    return {name: value for name, value in model.state_dict().items() if not name.startswith(f"{linear[-1]}.")}


class Frozen(nn.Sequential):
    """Layers that stay as they are: no gradients, and evaluation mode for good.

    Without the second half batch normalisation would go on moving its running means, and so the features.
    """

    def train(self, mode: bool = True) -> "Frozen":
        super().train(False)
        return self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():  # nothing is kept for a way back: a third of the time and less memory
            return super().forward(x)


def probe(model: nn.Sequential) -> nn.Sequential:
    """A network that shares its layers with `model`, of which only the last one, fully connected, will learn."""
    *rest, (name, last) = model.named_children()
    if not isinstance(last, nn.Linear):
        raise InvalidInputError(f"the last layer {name!r} is a {type(last).__name__}. Allowed: a fully connected one")
    return nn.Sequential(OrderedDict([("frozen", Frozen(OrderedDict(rest)).train()), (name, last)]))


# ---------------------------------------------------------------- the experiment


@dataclass(frozen=True)
class Attempt:
    """One training on few images, and what came of it."""

    way: str
    per_class: int  # training images
    seed: int  # of first weights, of which images, of their order
    updates: int
    train: float  # accuracy on those few images, 0..1
    validation: float  # accuracy on the official validation images of the target classes, all of them
    eval_loss: float  # nats
    seconds: float  # of training


def attempt(
    way: str,
    pretrained: nn.Module,
    parts: Parts,
    network: str,
    recipe: Recipe,
    *,
    per_class: int,
    updates: int,
    seed: int = 0,
    factor: int = 4,
    device: Device | None = None,
) -> Attempt:
    """Learn the target classes in one of `WAYS`, with `per_class` training images of each.

    pretrained  trained on `parts.source`; its weights are not touched
    network     the pre-trained network's name or line
    recipe      of all ways; its epochs are replaced by as many as `updates` take, its seed by `seed`
    updates     of the weights, rounded up to whole epochs; "more epochs" trains `factor` times as many

    All ways see images normalised by the mean image of the *source*: a handful of images has none worth the name, and
    the ways shall differ in their weights alone. Raises InvalidInputError for an unknown way or impossible numbers.
    """
    if way not in WAYS:
        raise InvalidInputError(f"way {way!r} is unknown{nearest(way, WAYS)}")
    check_int("updates", updates, 1)
    check_int("factor", factor, 1)
    device = device or pick()
    few = _few(parts, per_class, seed)
    epochs = math.ceil(updates / math.ceil(len(few.train) / recipe.batch)) * (factor if way == MORE_EPOCHS else 1)
    model = models.build(network, len(few.classes), size=few.size, seed=seed)
    if way in (FINE_TUNED, FROZEN):
        copy_weights(pretrained, model)
    run = train(probe(model) if way == FROZEN else model, few, replace(recipe, epochs=epochs, seed=seed), device=device)
    started = time.perf_counter()
    run.finish()
    seconds = time.perf_counter() - started
    own, official = (score(run.measured, run.for_evaluation(part)) for part in (few.train, few.validation))
    total = epochs * len(run.batches)
    return Attempt(way, per_class, seed, total, own.accuracy, official.accuracy, official.loss, seconds)


def _few(parts: Parts, per_class: int, seed: int) -> "Dataset":
    """The target with few images. The loop measures something after every epoch: an image of each class must do, since
    nothing is chosen by it."""
    few = parts.target.part(per_class, seed)
    few = replace(few, development=replace(few.train.per_class(1, seed), name="development"))
    vars(few)["normalisation"] = parts.source.normalisation  # computed once, on first use; here it is given
    return few


@dataclass(frozen=True)
class Results:
    """All attempts of a comparison; a table, and verdicts that say when they cannot tell."""

    attempts: tuple[Attempt, ...]
    classes: int  # of the target

    @property
    def sizes(self) -> tuple[int, ...]:
        """Training images per class, ascending."""
        return tuple(sorted({a.per_class for a in self.attempts}))

    @property
    def ways(self) -> tuple[str, ...]:
        return tuple(way for way in WAYS if any(a.way == way for a in self.attempts))

    def column(self, way: str, per_class: int, name: str = "validation") -> list[float]:
        """One number for each seed, seeds ascending: `column("frozen", 10, "train")`.

        Raises InvalidInputError for what has not been tried.
        """
        found = sorted((a for a in self.attempts if (a.way, a.per_class) == (way, per_class)), key=lambda a: a.seed)
        if not found:
            tried = ", ".join(sorted({f"{a.way} with {a.per_class}" for a in self.attempts}))
            raise InvalidInputError(f"{way!r} with {per_class} images per class has not been tried. Tried: {tried}")
        return [float(getattr(a, name)) for a in found]

    def difference(self, way: str, per_class: int, against: str = SCRATCH, tests: int = 1) -> Difference:
        """How much higher the validation accuracy of `way` is than that of `against`, seed by seed; one of `tests`."""
        return difference(self.column(way, per_class), self.column(against, per_class), tests)

    def verdict(self, way: str, per_class: int, against: str = SCRATCH, tests: int = 1) -> str:
        """In words: better or worse where Student's t (1908) lets chance do it in one of twenty; else cannot tell.

        tests: one of how many comparisons this is, as of `optimizers.difference`.
        """
        found = self.difference(way, per_class, against, tests)
        points = f"{100 * found.mean:+.1f} points"
        if math.isnan(found.error):
            return f"cannot tell: one seed ({points})"
        says = "cannot tell" if not found.clear else "better" if found.mean > 0 else "worse"
        return f"{says} ({points} ± {100 * found.error:.1f})"

    def table(self, tests: int = 1) -> Table:
        """Each number of images and way; its verdict is one of `tests`."""
        rows = []
        for size in self.sizes:
            for way in self.ways:
                own, official = (np.array(self.column(way, size, name)) for name in ("train", "validation"))
                error = official.std(ddof=1) / math.sqrt(len(official)) if len(official) > 1 else math.nan
                spread = "" if math.isnan(error) else f" ± {100 * error:.1f}"
                compared = "–" if way == SCRATCH or SCRATCH not in self.ways else self.verdict(way, size, tests=tests)
                updates = f"{self.column(way, size, 'updates')[0]:,.0f}"
                measured = f"{100 * official.mean():.1f}{spread} %"
                rows.append([size, way, updates, f"{own.mean():.1%}", measured, compared])
        seeds = len({a.seed for a in self.attempts})
        caption = f"{self.classes} classes, mean of {seeds} seed{'s' * (seeds > 1)} ± its standard error"
        caption += f"; each comparison is one of {tests}" if tests > 1 else ""
        columns = ["images per class", "way", "updates", "training", "validation", f"against {SCRATCH}"]
        return Table(columns, rows, caption)


def compare(
    pretrained: Sequence[nn.Module],
    parts: Parts,
    network: str,
    recipe: Recipe,
    *,
    per_class: Sequence[int],
    updates: int,
    seeds: int = 3,
    factor: int = 4,
    device: Device | None = None,
) -> Results:
    """Every way with every number of images, `seeds` times: seed i takes the i-th of `pretrained`, in turn if there
    are fewer.

    With a single one the errors leave out what another pre-training would have changed. Arguments as of `attempt`.
    """
    check_int("seeds", seeds, 1)
    if not pretrained or not per_class:
        raise InvalidInputError("nothing to compare. Allowed: one or more of pretrained and per_class")
    attempts = [
        attempt(
            way,
            pretrained[seed % len(pretrained)],
            parts,
            network,
            recipe,
            per_class=size,
            updates=updates,
            seed=seed,
            factor=factor,
            device=device,
        )
        for size in per_class
        for way in WAYS
        for seed in range(seeds)
    ]
    return Results(tuple(attempts), len(parts.target.classes))
