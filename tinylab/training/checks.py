"""What has to fit together before a run starts, or goes on from a checkpoint."""

import contextlib
import hashlib
import traceback
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from tinylab.data.dataset import Dataset
from tinylab.data.normalisation import Normalisation
from tinylab.data.split import Split
from tinylab.support.device import Device
from tinylab.support.errors import InvalidInputError, TrainingError, nearest
from tinylab.training.history import History
from tinylab.training.scoring import evaluating

SPLITS = ("development", "validation", "test", "train")


def check_parts(model: nn.Module, data: Dataset) -> None:
    """A network with something to learn, and a data set."""
    if not isinstance(model, nn.Module):
        raise InvalidInputError(f"{model!r} is not a network. Allowed: a torch.nn.Module, as `models.build` gives one")
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InvalidInputError("the network has no parameter that learns. Allowed: one or more with requires_grad")
    if not isinstance(data, Dataset):
        raise InvalidInputError(
            f"data of type {type(data).__name__} cannot be learned from. Allowed: a Dataset (`data.load`, "
            "`Dataset.from_arrays`)"
        )


def watched(data: Dataset, eval_split: str) -> Split:
    """The split of that name, with images and labels."""
    if eval_split not in SPLITS:
        raise InvalidInputError(f"eval_split {eval_split!r} is not a split{nearest(eval_split, SPLITS)}")
    split: Split = getattr(data, eval_split)
    if len(split) == 0 or split.targets is None:
        what = "no images" if len(split) == 0 else "no labels"
        raise InvalidInputError(
            f"split {eval_split!r} has {what}, so it cannot be watched. Try eval_split='validation'"
        )
    return split


def subset(split: Split, count: int) -> Split:
    """`count` images of the split, always the same ones."""
    rows = np.random.default_rng(0).permutation(len(split))[:count]
    return replace(split, index=split.index[np.sort(rows)])


def out_of_memory(error: BaseException | None) -> bool:
    """Whether it says so: torch.OutOfMemoryError, or the plain RuntimeError of MPS and of the CPU's allocator."""
    texts = ("out of memory", "can't allocate memory", "not enough memory")
    said = isinstance(error, RuntimeError) and any(text in str(error) for text in texts)
    return said or isinstance(error, torch.OutOfMemoryError)


@contextlib.contextmanager
def undone_if_it_fails(
    model: nn.Module, optimizer: torch.optim.Optimizer, device: Device, images: int
) -> Iterator[None]:
    """Whatever ends a forward and backward pass early, Ctrl-C included, leaves the network as it was before it.

    That is the statistics of batch normalisation, which a forward pass moves; the weights wait for the update. Raises
    TrainingError in place of a lack of memory: the next call tries the same batch again.
    """
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        yield
    except BaseException as error:
        for buffer, before in buffers:
            buffer.copy_(before)
        if not out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)  # they hold on to tensors, and the run can go on without them
        optimizer.zero_grad()
        raise TrainingError(
            f"{device.label} ran out of memory with {images} images a batch. "
            f"Train with a smaller one: Recipe(batch={max(1, images // 2)})"
        ) from None


def check_outputs(model: nn.Module, data: Dataset, device: Device, start_size: int = 0) -> None:
    """Shows the network, in evaluation mode, a training image: it has to answer with one number per class.

    start_size: pixels of an image that it has to take as well; 0: none other.

    Raises InvalidInputError with what the network itself says if it cannot take the image, or for other outputs.
    """
    image, _ = data.train.take([0])
    x = data.normalisation.apply(torch.from_numpy(image)).to(device.target)
    try:
        with evaluating(model), device.autocast():
            logits = model(x)
            if start_size:
                x = interpolate(x, size=(start_size, start_size))
                logits = model(x)
    except RuntimeError as error:
        if out_of_memory(error):
            raise
        _, channels, height, width = x.shape
        raise InvalidInputError(
            f"the network cannot take an image of {channels}×{height}×{width} ({' '.join(str(error).split())[:160]}). "
            f"Build it for such images (size={height}), or prepare the images in another size"
        ) from None
    classes = len(data.classes)
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if shape == (1, classes):
        return
    if isinstance(shape, tuple) and len(shape) == 2:
        raise InvalidInputError(
            f"the network has {shape[1]} outputs, the data has {classes} classes. "
            f"Build it for them: models.build(…, classes={classes})"
        )
    raise InvalidInputError(f"the network answers one image with {shape}. Allowed: logits, float (1, {classes})")


def check_last_batch(model: nn.Module, batch: int, images: int) -> None:
    """Raises InvalidInputError if the last batch of an epoch is a single vector: it has no spread to be divided by."""
    single = (images % batch or batch) == 1
    if single and any(isinstance(module, nn.BatchNorm1d) for module in model.modules()):
        raise InvalidInputError(
            f"with {images} training images, batch {batch} leaves a last batch of one image, which batch normalisation "
            "after an fc cannot use. Take another batch size, or leave that batch norm out"
        )


Side = tuple[History, Normalisation]  # of a run


def check_same(path: Path, before: Side, now: Side) -> None:
    """Raises TrainingError if going on would mix two runs."""
    sides = []
    for history, normalisation in (before, now):
        side = {f"recipe's {name}": value for name, value in asdict(history.recipe).items()}
        side |= {"network": history.architecture, "classes": history.classes, "watched split": history.eval_split}
        mean = hashlib.sha256(normalisation.mean.tobytes() + normalisation.scale.tobytes())
        sides.append(side | {"mean training image (digest)": mean.hexdigest()[:8]})
    was, wanted = sides
    if now[0].recipe.open_ended:
        was["recipe's epochs"] = wanted["recipe's epochs"]
    for name, value in wanted.items():
        if was[name] != value:
            raise TrainingError(
                f"{path}: the checkpoint belongs to another run: its {name} was {was[name]!r}, now it is "
                f"{value!r}. Use the same, or another checkpoint path"
            )
