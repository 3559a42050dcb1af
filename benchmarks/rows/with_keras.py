"""Keras 3 on the torch backend: `fit` as its guides show it, and tuned.

Documented: augmentation and normalisation as layers, `fit` on an array, the accuracy, the progress bar. Tuned: a
PyDataset that gives whole batches, augmented and normalised at once by the gather that tinylab uses, no metric, no
bar; mixed precision where the device has it. This backend has no `steps_per_execution`; `jit_compile=True`
(torch.compile) had not finished compiling Model 1 after two minutes of a loaded processor, and is left out.
"""

import keras
import numpy as np
import torch
from torch import nn

from benchmarks.material import Material, network
from benchmarks.pace import Pace, Task
from benchmarks.rows.plain import PADDING
from tinylab.data.augment import Augment, crop_and_flip

# of Adam. Keras adds it before the young mean of squares is corrected, torch after: this is torch's 1e-8 at the first
# step. With Keras's own 1e-7 the small gradients of the large fc would move their weights far less than elsewhere
EPSILON = 1e-8 * (1 - 0.999) ** 0.5


class Ticks(keras.callbacks.Callback):
    """Keras tells the mean loss of the epoch so far; the step's own is what that mean moved by."""

    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self.pace, self.before, self.count = pace, 0.0, 0

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.count += 1
        total = self.count * (logs or {})["loss"]
        self.pace.tick(total - self.before)
        self.before = total


class Whole(keras.utils.PyDataset):
    """Whole batches, ready for the network: float32 (B, 64, 64, 3)."""

    def __init__(self, material: Material, task: Task) -> None:
        super().__init__()
        self.batch, self.steps = task.batch, task.steps
        self.augment = Augment(flip=task.augment, crop=PADDING if task.augment else 0)
        self.generator = torch.Generator().manual_seed(0)
        given = task.rows is not None
        rows = (
            np.array(task.rows)
            if given
            else np.random.default_rng(0).permutation(material.rows(task.batch, task.steps))
        )
        self.rows = torch.from_numpy(rows)
        self.images, self.labels = torch.from_numpy(material.images), torch.from_numpy(material.labels)
        self.mean, self.scale = torch.from_numpy(material.mean), torch.from_numpy(material.scale)

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        rows = self.rows[number * self.batch : (number + 1) * self.batch]
        images = self.images[rows]
        if self.augment:
            images = crop_and_flip(images, *self.augment.draw(len(rows), self.generator))
        return images.float().sub_(self.mean).div_(self.scale), self.labels[rows]


def documented(material: Material, task: Task, pace: Pace) -> None:
    keras.utils.set_random_seed(0)
    shift = PADDING / 64
    changes = [
        keras.layers.RandomFlip("horizontal"),
        keras.layers.RandomTranslation(shift, shift, fill_mode="nearest", interpolation="nearest"),
    ]
    variance = np.broadcast_to(material.scale**2, material.mean.shape)
    normalise = keras.layers.Normalization(axis=(1, 2, 3), mean=material.mean, variance=variance)
    front = [*(changes if task.augment else []), normalise]
    model = translated(network(task.model, task.dropout), front)
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3, epsilon=EPSILON),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    rows = material.rows(task.batch, task.steps) if task.rows is None else np.array(task.rows)
    x, y = material.images[rows].astype(np.float32), material.labels[rows]
    model.fit(x, y, batch_size=task.batch, epochs=1, shuffle=task.rows is None, callbacks=[Ticks(pace)])


def tuned(material: Material, task: Task, pace: Pace) -> None:
    keras.utils.set_random_seed(0)
    if task.precision == "bfloat16":
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    model = translated(network(task.model, task.dropout), [])
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3, epsilon=EPSILON),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(Whole(material, task), epochs=1, shuffle=False, verbose=0, callbacks=[Ticks(pace)])


def translated(model: nn.Sequential, front: list[keras.layers.Layer]) -> keras.Sequential:
    """The same network in Keras, the same weights; RuntimeError unless it gives the same logits."""
    net = keras.Sequential([keras.layers.Input((64, 64, 3))])
    twins: list[tuple[nn.Module, keras.layers.Layer]] = []
    flat: tuple[int, ...] | None = None  # the shape that was flattened: torch counts channels first, Keras last
    x = torch.zeros(1, 3, 64, 64)
    shapes: dict[int, tuple[int, ...]] = {}
    for layer in model.eval():
        before, x = tuple(x.shape[1:]), layer(x)
        match layer:
            case nn.Conv2d():
                twin = keras.layers.Conv2D(layer.out_channels, layer.kernel_size, padding="same")
            case nn.ReLU():
                twin = keras.layers.ReLU()
            case nn.MaxPool2d():
                twin = keras.layers.MaxPooling2D(2)
            case nn.Dropout():
                twin = keras.layers.Dropout(layer.p)
            case nn.Flatten():
                twin, flat = keras.layers.Flatten(), before
            case nn.Linear():
                twin = keras.layers.Dense(layer.out_features)
                shapes[id(layer)], flat = flat or (layer.in_features,), None
            case _:
                raise RuntimeError(f"{type(layer).__name__} has no twin in this benchmark")
        net.add(twin)
        twins.append((layer, twin))
    for layer, twin in twins:
        if isinstance(layer, nn.Conv2d):
            twin.set_weights([layer.weight.detach().permute(2, 3, 1, 0).numpy(), layer.bias.detach().numpy()])  # type: ignore[union-attr]
        elif isinstance(layer, nn.Linear):
            weight = layer.weight.detach().reshape(layer.out_features, *shapes[id(layer)])
            weight = weight.movedim(1, -1) if weight.ndim == 4 else weight
            twin.set_weights([weight.reshape(layer.out_features, -1).T.numpy(), layer.bias.detach().numpy()])  # type: ignore[union-attr]
    probe = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    ours, theirs = model(probe).detach(), net(probe.permute(0, 2, 3, 1), training=False)
    error = float((ours - theirs.detach().float().cpu()).abs().max() / ours.abs().max())
    if error > (1e-4 if keras.config.dtype_policy().name == "float32" else 0.05):
        raise RuntimeError(f"Keras's twin gives other logits, by {error:.1e} of the largest")
    return keras.Sequential([keras.layers.Input((64, 64, 3)), *front, net]) if front else net
