"""PyTorch as its tutorials show it, from JPEG files and from a decoded array; and with its Performance Tuning Guide.

Documented: a map-style `Dataset` that gives one image, `DataLoader(shuffle=True, num_workers=…)`, NCHW float32, the
loop with `loss.item()`. Tuned, as the guide says: `persistent_workers`, pinned memory, channels_last, mixed precision
where the device has it, fused optimizer, no needless synchronisation; `torch.compile` on a GPU, where its compile time
is in the first step.
"""

import contextlib
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.material import Material, decode, torch_network
from benchmarks.pace import Pace, Task

PADDING = 4  # pixels


class Images(Dataset):  # type: ignore[type-arg]
    """One normalised image and its label, from its file or from the decoded array."""

    def __init__(self, material: Material, task: Task, files: bool) -> None:
        self.material, self.files, self.augment = material, files, task.augment
        self.rows = material.rows(task.batch, task.steps) if task.rows is None else np.array(task.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, position: int) -> tuple[torch.Tensor, int]:
        row = int(self.rows[position])
        image = decode(self.material.paths[row]) if self.files else self.material.images[row]
        if self.augment:
            image = augmented(image)
        pixels = (image.astype(np.float32) - self.material.mean) / self.material.scale
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))), int(self.material.labels[row])


def augmented(image: np.ndarray) -> np.ndarray:
    """A random crop of the image with its edges repeated, flipped half of the time: torchvision's recipe in numpy.

    The random numbers are torch's, which a DataLoader seeds anew in each of its workers.
    """
    down, right = torch.randint(0, 2 * PADDING + 1, (2,)).tolist()
    padded = np.pad(image, ((PADDING, PADDING), (PADDING, PADDING), (0, 0)), mode="edge")
    image = padded[down : down + image.shape[0], right : right + image.shape[1]]
    return image[:, ::-1] if torch.rand(()).item() < 0.5 else image


def loader(data: Dataset, task: Task, keep: bool = False) -> DataLoader:  # type: ignore[type-arg]
    """In the given order for the check of equal learning; shuffled, by worker processes, otherwise."""
    if task.rows is not None:
        return DataLoader(data, batch_size=task.batch)
    pin = task.device == "cuda"
    return DataLoader(
        data,
        batch_size=task.batch,
        shuffle=True,
        num_workers=task.workers,
        pin_memory=pin,
        persistent_workers=keep and task.workers > 0,
    )


def folder(material: Material, task: Task, pace: Pace) -> None:
    documented(torch_network, loader(Images(material, task, files=True), task), task, pace)


def decoded(material: Material, task: Task, pace: Pace) -> None:
    documented(torch_network, loader(Images(material, task, files=False), task), task, pace)


def folder_tuned(material: Material, task: Task, pace: Pace) -> None:
    tuned(loader(Images(material, task, files=True), task, keep=True), task, pace)


def decoded_tuned(material: Material, task: Task, pace: Pace) -> None:
    tuned(loader(Images(material, task, files=False), task, keep=True), task, pace)


def documented(build: Callable[[str, float | None], nn.Module], data: DataLoader, task: Task, pace: Pace) -> None:  # type: ignore[type-arg]
    device = torch.device(task.device)
    model = build(task.model, task.dropout).to(device)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    running = 0.0
    model.train()
    for x, y in data:
        x, y = x.to(device), y.to(device)
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        running += loss.item()
        pace.tick(loss)


def tuned(data: DataLoader, task: Task, pace: Pace) -> None:  # type: ignore[type-arg]
    device, large, mixed = torch.device(task.device), task.device == "cuda", task.precision == "bfloat16"
    model: nn.Module = torch_network(task.model, task.dropout).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if large:
        torch.backends.cudnn.benchmark = True
        model = torch.compile(model)  # type: ignore[assignment]
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    running = torch.zeros((), device=device)
    model.train()
    for x, y in data:
        x = x.to(device, memory_format=torch.channels_last, non_blocking=True)
        y = y.to(device, non_blocking=True)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(task.device, torch.bfloat16) if mixed else contextlib.nullcontext():
            loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        running += loss.detach()
        pace.tick(loss)
