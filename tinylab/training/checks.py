"""What has to fit together before a run starts, or goes on from a checkpoint."""

import copy
import hashlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from tinylab.data.normalisation import Normalisation
from tinylab.support.errors import InvalidInputError, TrainingError, nearest
from tinylab.training.history import History
from tinylab.training.recipe import Recipe

if TYPE_CHECKING:
    from tinylab.data.dataset import Dataset
    from tinylab.data.split import Split

SPLITS = ("development", "validation", "test", "train")


def watched(data: "Dataset", watch: str) -> "Split":
    """The split of that name, with images and labels."""
    if watch not in SPLITS:
        raise InvalidInputError(f"watch {watch!r} is not a split{nearest(watch, SPLITS)}")
    split: Split = getattr(data, watch)
    if len(split) == 0 or split.targets is None:
        what = "no images" if len(split) == 0 else "no labels"
        raise InvalidInputError(f"split {watch!r} has {what}, so it cannot be watched. Try watch='validation'")
    return split


def subset(split: "Split", count: int) -> "Split":
    """`count` images of the split, always the same ones."""
    rows = np.random.default_rng(0).permutation(len(split))[:count]
    return replace(split, index=split.index[np.sort(rows)])


def out_of_memory(error: RuntimeError) -> bool:
    """Whether a plain RuntimeError says so, as MPS ("MPS backend out of memory") and the CPU's allocator do."""
    return any(text in str(error) for text in ("out of memory", "can't allocate memory", "not enough memory"))


def check_inputs(model: nn.Module, size: int, channels: int) -> None:
    """Raises InvalidInputError if images of `size` pixels do not go through the network; computes nothing."""
    shadow = copy.deepcopy(model).to("meta").eval()
    try:
        with torch.no_grad():
            shadow(torch.empty(1, channels, size, size, device="meta"))
    except RuntimeError as error:
        raise InvalidInputError(
            f"images of {size}×{size} pixels do not fit the network ({' '.join(str(error).split())[:80]}). "
            f"Build it for them (size={size}), or prepare the images with resize=True"
        ) from None


def check_last_batch(model: nn.Module, batch: int, images: int) -> None:
    """Raises InvalidInputError if the last batch of an epoch is a single vector: it has no spread to be divided by."""
    single = (images % batch or batch) == 1
    if single and any(isinstance(module, nn.BatchNorm1d) for module in model.modules()):
        raise InvalidInputError(
            f"with {images} training images, batch {batch} leaves a last batch of one image, which batch normalisation "
            "after an fc cannot use. Take another batch size, or leave that batch norm out"
        )


def check_outputs(model: nn.Module, classes: int) -> None:
    outputs = [module.out_features for module in model.modules() if isinstance(module, nn.Linear)]
    if outputs and outputs[-1] != classes:
        raise InvalidInputError(
            f"the network has {outputs[-1]} outputs, the data has {classes} classes. "
            f"Build it for them: models.build(…, classes={classes})"
        )


def check_teacher(recipe: Recipe, teacher: nn.Module | None, classes: int) -> None:
    if teacher is None and recipe.teacher_weight:
        raise InvalidInputError(
            f"the recipe has teacher_weight {recipe.teacher_weight}, but there is no teacher. Give a trained network: "
            "train(…, teacher=…)"
        )
    if teacher is not None:
        if not recipe.teacher_weight:
            raise InvalidInputError("there is a teacher, but the recipe's teacher_weight is 0. Try 0.9")
        check_outputs(teacher, classes)


Side = tuple[History, Normalisation, str | None]  # of a run; last, the digest of its teacher's weights


def check_same(path: Path, before: Side, now: Side) -> None:
    """Raises TrainingError if going on would mix two runs."""
    sides = []
    for history, normalisation, teacher in (before, now):
        side = {f"recipe's {name}": value for name, value in asdict(history.recipe).items()}
        side |= {"network": history.line, "classes": history.classes, "watched split": history.watch}
        mean = hashlib.sha256(normalisation.mean.tobytes() + normalisation.scale.tobytes())
        sides.append(side | {"mean training image (digest)": mean.hexdigest()[:8], "teacher (digest)": teacher})
    was, wanted = sides
    if wanted["recipe's schedule"] == "constant":  # then a longer run begins exactly like a shorter one
        was["recipe's epochs"] = wanted["recipe's epochs"]
    for name, value in wanted.items():
        if was[name] != value:
            raise TrainingError(
                f"{path}: the checkpoint belongs to another run: its {name} was {was[name]!r}, now it is "
                f"{value!r}. Use the same, or another checkpoint path"
            )
