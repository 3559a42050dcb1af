"""How fast this machine trains a network: a few steps of it, so that a plan's cost can be said in hours."""

import statistics
import time

import torch
from torch.nn.functional import cross_entropy

from tinylab import models, optimizers
from tinylab.support.device import Device
from tinylab.support.memory import keep_freed

STEPS = 3  # after one that does not count


def images_per_second(network: str, batch: int, device: Device, *, classes: int = 200, size: int = 64) -> float:
    """Forward, backward and Adam's update on random images (B, 3, size, size), float32; median of a few steps.

    Reading images, measuring and other work on the machine come on top: this is the best that can be hoped for.
    """
    keep_freed()
    model = device.place(models.build(network, classes, size=size, seed=0))
    optimizer = optimizers.build("adam", model)
    images = torch.randn(batch, 3, size, size, device=device.target).contiguous(memory_format=device.memory_format)
    labels = torch.randint(0, classes, (batch,), device=device.target)
    seconds = []
    for _ in range(STEPS + 1):
        started = time.perf_counter()
        optimizer.zero_grad()
        with device.autocast():
            logits = model(images)
        loss = cross_entropy(logits.float(), labels)
        loss.backward()
        optimizer.step()
        loss.item()  # waits for a GPU
        seconds.append(time.perf_counter() - started)
    return batch / statistics.median(seconds[1:])
