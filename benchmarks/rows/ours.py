"""tinylab itself, its loop with torch's own layers, and its step alone on a batch that lies ready."""

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from benchmarks.material import Material, network, torch_network
from benchmarks.pace import Pace, Task
from tinylab import optimizers, training
from tinylab.data import Batches
from tinylab.support import device
from tinylab.support.memory import keep_freed
from tinylab.training import Recipe


def tinylab(material: Material, task: Task, pace: Pace) -> None:
    """As a lecture does it. With `task.rows` the order is tinylab's own, which `order` told the others."""
    _train(network(task.model, None), material, task, pace)


def torch_layers(material: Material, task: Task, pace: Pace) -> None:
    """The same with the layers of torch.nn."""
    _train(torch_network(task.model, None), material, task, pace)


def _train(model: nn.Sequential, material: Material, task: Task, pace: Pace) -> None:
    recipe = Recipe(epochs=1, batch=task.batch, dropout=task.dropout, flip=task.augment, crop=4 if task.augment else 0)
    data = material.repeated(task.batch, task.steps)
    run = training.train(model, data, recipe, device=device.pick(task.device))
    for step in run.steps():
        pace.tick(step.loss)


def order(material: Material, batch: int, steps: int) -> list[int]:
    """Which images tinylab shows in its first `steps` batches: asked by giving it row numbers for labels."""
    data = material.repeated(batch, steps)
    numbered = Batches(
        type(data.train)("train", material.images, np.arange(len(material.images)), data.train.files, data.train.index),
        data.normalisation,
        batch=batch,
        device=device.pick("cpu"),
        shuffle=True,
        seed=Recipe().seed,
    )
    return [int(row) for _, y in numbered.epoch(1) for row in y]


def one_batch(material: Material, task: Task, pace: Pace) -> None:
    """Forward, backward and update on one resident batch: what is left when there is no data to bring."""
    here = device.pick(task.device)
    keep_freed()
    model = network(task.model, task.dropout).train()
    here.place(model)
    optimizer = optimizers.build("adam", model)
    rows = material.rows(task.batch, 1)
    x = material.normalised(rows).to(here.target).contiguous(memory_format=here.memory_format)
    y = torch.from_numpy(material.labels[rows]).to(here.target)
    while True:
        optimizer.zero_grad()
        with here.autocast():
            logits = model(x)
        loss = cross_entropy(logits.float(), y)
        loss.backward()
        optimizer.step()
        pace.tick(loss)
