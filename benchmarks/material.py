"""What all rows train on: JPEG files in Tiny ImageNet's layout, the same images decoded, and the same first weights.

    material = prepare(folder, source, count)   in the parent process, once
    material = Material.open(folder)            in each row's process

By default the source is the generated sample (`tinylab.data.write_sample`), else an archive or folder in the layout of
Tiny ImageNet. Networks have 200 outputs either way, so that the arithmetic is that of the full problem.
"""

import io
import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from tinylab import models
from tinylab.data import Dataset, Split, open_archive, write_sample
from tinylab.data.layout import read_layout
from tinylab.models import fast_layers

CLASSES = 200  # outputs of every network
WATCHED = 64  # images of the splits that nobody looks at here


@dataclass(frozen=True)
class Material:
    """N training images, twice: as files in `paths` and decoded in `images`."""

    folder: Path
    paths: tuple[Path, ...]
    images: np.ndarray  # uint8 (N, 64, 64, 3)
    labels: np.ndarray  # int64 (N,)
    about: str

    @classmethod
    def open(cls, folder: Path) -> "Material":
        notes = json.loads((folder / "material.json").read_text(encoding="utf-8"))
        paths = tuple(folder / path for path in notes["paths"])
        return cls(folder, paths, np.load(folder / "images.npy"), np.load(folder / "labels.npy"), notes["about"])

    @cached_property
    def dataset(self) -> Dataset:
        names = tuple(f"n{number:08d}" for number in range(CLASSES))
        files = np.array([path.name for path in self.paths])
        train = Split("train", self.images, self.labels, files, np.arange(len(self.paths)))
        few = {name: replace(train, name=name, index=train.index[:WATCHED]) for name in ("development", "validation")}
        return Dataset("bench", names, names, train, few["development"], few["validation"], replace(train, name="test"))

    @property
    def mean(self) -> np.ndarray:
        """float32 (64, 64, 3), the mean image, in pixel units."""
        return self.dataset.normalisation.mean

    @property
    def scale(self) -> np.ndarray:
        """float32 (3,), what a pixel less the mean is divided by."""
        return self.dataset.normalisation.scale

    def rows(self, batch: int, steps: int) -> np.ndarray:
        """int64: which images make an epoch of `steps` batches; the files are walked through as often as needed."""
        return np.resize(np.arange(len(self.paths)), batch * steps)

    def repeated(self, batch: int, steps: int) -> Dataset:
        """The data set with an epoch that long, so that no window of a measurement meets the end of one."""
        longer = replace(self.dataset, train=replace(self.dataset.train, index=self.rows(batch, steps)))
        longer.__dict__["normalisation"] = self.dataset.normalisation  # as all rows have it: of each image once
        return longer

    def normalised(self, rows: np.ndarray) -> torch.Tensor:
        """float32 (B, 3, 64, 64), written out on its own: what every row has to feed its network with."""
        pixels = (self.images[rows].astype(np.float32) - self.mean) / self.scale
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))


def network(name: str, dropout: float | None) -> nn.Sequential:
    """The network that every row begins with, the same weights for all."""
    return models.build(name, CLASSES, dropout=dropout, seed=0)


def torch_network(name: str, dropout: float | None) -> nn.Sequential:
    """The same network and weights of torch's own layers: what the other rows train must not profit from ours."""
    model = network(name, dropout)
    for layer in model.modules():
        if type(layer).__module__ == fast_layers.__name__:
            layer.__class__ = getattr(nn, type(layer).__name__)
    return model


def prepare(folder: Path, source: Path | None, count: int) -> Material:
    """Write `count` training images of `source` (None: the generated sample) into `folder`, unless they are there."""
    notes = folder / "material.json"
    wanted = {"source": str(source or "sample"), "count": count}
    if notes.is_file() and json.loads(notes.read_text(encoding="utf-8"))["wanted"] == wanted:
        return Material.open(folder)
    folder.mkdir(parents=True, exist_ok=True)
    about = "generated sample"
    if source is None:
        per_class = -(-count // 20)
        source = write_sample(folder / "sample.zip", train=max(2, per_class), val=2, test=2)
    else:
        about = source.name
    images, labels, paths = [], [], []
    with open_archive(source) as archive:
        listing = read_layout(archive).splits["train"]
        assert listing.labels is not None
        # every k-th member: all classes, where there are enough images for all
        chosen = np.linspace(0, len(listing.members) - 1, count).astype(int)
        for row in np.random.default_rng(0).permutation(chosen):
            member = listing.members[row]
            raw = archive.read(member)
            path = folder / "files" / member
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(raw)
            paths.append(str(path.relative_to(folder)))
            images.append(decode(io.BytesIO(raw)))
            labels.append(listing.labels[row])
    np.save(folder / "images.npy", np.stack(images))
    np.save(folder / "labels.npy", np.array(labels, np.int64))
    content = {"wanted": wanted, "paths": paths, "about": f"{count} images of the {about}"}
    notes.write_text(json.dumps(content), encoding="utf-8")  # last: it says that the rest is there
    return Material.open(folder)


def decode(file: Path | io.BytesIO) -> np.ndarray:
    """uint8 (64, 64, 3) of a JPEG, as anyone would with Pillow."""
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))
