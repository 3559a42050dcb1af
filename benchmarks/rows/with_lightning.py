"""Lightning's Trainer: as its documentation shows it, and without what costs time and is not asked for here."""

import logging
import tempfile
import warnings
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.utils.data import DataLoader

from benchmarks.material import Material, torch_network
from benchmarks.pace import Pace, Task
from benchmarks.rows.plain import Images, loader


class Classifier(lightning.LightningModule):
    def __init__(self, model: nn.Module, fused: bool) -> None:
        super().__init__()
        self.model, self.fused, self.criterion = model, fused, nn.CrossEntropyLoss()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, y = batch
        if self.fused:
            x = x.contiguous(memory_format=torch.channels_last)
        loss: Tensor = self.criterion(self.model(x), y)
        if not self.fused:
            self.log("train_loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3, fused=self.fused or None)


class Ticks(Callback):
    def __init__(self, pace: Pace) -> None:
        self.pace = pace

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.pace.tick(outputs["loss"])


def documented(material: Material, task: Task, pace: Pace) -> None:
    _quiet()
    data: DataLoader = loader(Images(material, task, files=False), task)  # type: ignore[type-arg]
    module = Classifier(torch_network(task.model, task.dropout), fused=False)
    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(
            max_epochs=1, accelerator=_accelerator(task), devices=1, callbacks=[Ticks(pace)], default_root_dir=folder
        )
        trainer.fit(module, data)


def tuned(material: Material, task: Task, pace: Pace) -> None:
    _quiet()
    data: DataLoader = loader(Images(material, task, files=False), task, keep=True)  # type: ignore[type-arg]
    model = torch_network(task.model, task.dropout).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator=_accelerator(task),
        devices=1,
        precision="bf16-mixed" if task.precision == "bfloat16" else "32-true",
        callbacks=[Ticks(pace)],
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        benchmark=True,
    )
    trainer.fit(Classifier(model, fused=True), data)


def _accelerator(task: Task) -> str:
    return "gpu" if task.device == "cuda" else "cpu"


def _quiet() -> None:
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
