"""The rows of the table: each library as its documentation shows it, and tuned as its documentation advises.

`ROWS` says what each row does differently; `load(name)` imports its library and gives its function.
"""

import importlib
from dataclasses import dataclass

from benchmarks.pace import Train

INSTALL = "pip install -e '.[bench]'"


@dataclass(frozen=True)
class Row:
    title: str
    where: str  # "module.function"
    library: str  # to import; "torch" is always there
    what: str  # this row's choices, one line
    group: str  # "tinylab", "plain", "keras", "lightning", "torchvision", "loop"
    data: str = "decoded"  # what it reads: "JPEG files", "decoded", "one batch"
    tuned: bool = False  # computes in the device's fastest precision: bfloat16 on a GPU, and on a CPU that has it
    learns: bool = True  # takes part in the check of equal learning


_LOADER = "DataLoader with worker processes"

ROWS: dict[str, Row] = {
    "tinylab": Row("tinylab", "ours.tinylab", "torch", "training.train(…).steps()", "tinylab", tuned=True),
    "torch layers": Row(
        "tinylab, torch's own layers", "ours.torch_layers", "torch",
        "the same loop; what tinylab's own layers bring is the difference", "tinylab", tuned=True,
    ),
    "plain": Row(
        "PyTorch, JPEG folder", "plain.folder", "torch",
        f"Pillow, {_LOADER}, NCHW, Adam, loss.item()", "plain", "JPEG files",
    ),
    "plain tuned": Row(
        "PyTorch, JPEG folder, tuned", "plain.folder_tuned", "torch",
        "the same, workers kept, channels_last, fused Adam, no .item()", "plain", "JPEG files", tuned=True,
    ),
    "resident": Row(
        "PyTorch, decoded array", "plain.decoded", "torch",
        f"one image at a time, {_LOADER}, NCHW, Adam, loss.item()", "plain",
    ),
    "resident tuned": Row(
        "PyTorch, decoded array, tuned", "plain.decoded_tuned", "torch",
        "the same, workers kept, channels_last, fused Adam, no .item()", "plain", tuned=True,
    ),
    "keras": Row(
        "Keras 3 fit", "with_keras.documented", "keras",
        "RandomFlip, RandomTranslation, Normalization layers; accuracy; progress bar", "keras",
    ),
    "keras tuned": Row(
        "Keras 3 fit, tuned", "with_keras.tuned", "keras",
        "PyDataset that makes whole batches, no metric, verbose=0", "keras", tuned=True,
    ),
    "lightning": Row(
        "Lightning Trainer", "with_lightning.documented", "lightning",
        f"{_LOADER}, self.log, logger, checkpoints, progress bar", "lightning",
    ),
    "lightning tuned": Row(
        "Lightning Trainer, tuned", "with_lightning.tuned", "lightning",
        "workers kept, channels_last, fused Adam, no logger, bar or checkpoints", "lightning", tuned=True,
    ),
    "torchvision": Row(
        "torchvision transforms", "with_torchvision.folder", "torchvision",
        f"ImageFolder, v2 transforms, {_LOADER}, NCHW, loss.item()", "torchvision", "JPEG files",
    ),
    "one batch": Row(
        "the loop alone", "ours.one_batch", "torch",
        "tinylab's device and optimizer, the same normalised batch every step", "loop", "one batch",
        tuned=True, learns=False,
    ),
}  # fmt: skip


def load(name: str) -> Train:
    """The function of a row. RuntimeError, one line, if its library cannot be imported."""
    row = ROWS[name]
    if row.library == "keras":
        importlib.import_module("benchmarks.rows.keras_backend")  # chooses torch before anything imports keras
    try:
        importlib.import_module(row.library)
    except Exception as error:  # torchvision beside another torch fails with a RuntimeError
        hint = INSTALL if row.library != "torchvision" else "install the torchvision made for this torch"
        raise RuntimeError(f"{row.library} cannot be imported ({type(error).__name__}): {hint}") from None
    module, function = row.where.split(".")
    found: Train = getattr(importlib.import_module(f"benchmarks.rows.{module}"), function)
    return found
