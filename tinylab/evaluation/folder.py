"""A checkpoint and a folder of images to predictions: what `tinylab predict` does.

Size, normalisation and class order come from the checkpoint, so they cannot differ from training's.
"""

from pathlib import Path

import numpy as np
from torch import nn
from tqdm import tqdm

from tinylab.data.decode import decode
from tinylab.data.layout import natural
from tinylab.data.split import Split
from tinylab.evaluation.scores import Predictions, predict
from tinylab.support.device import Device, pick
from tinylab.support.errors import DataError, TinylabError, TrainingError
from tinylab.training import EVALUATION_BATCH
from tinylab.training.checkpoints import Checkpoint

_SUFFIXES = (".jpeg", ".jpg", ".png")


def images_in(folder: str | Path) -> list[Path]:
    """The images of a folder, in numeric order (test_2 before test_10); folders inside it are not searched.

    Raises DataError if there is no such folder, or no image in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "there is no such folder"
        raise DataError(f"{folder}: {what}. Name the folder that the images lie in")
    found = [path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES and path.is_file()]
    if not found:
        inside = next((path for path in sorted(folder.iterdir()) if path.name == "images" and path.is_dir()), None)
        hint = f"did you mean {inside}?" if inside else f"Expected files that end in {', '.join(_SUFFIXES)}"
        raise DataError(f"{folder}: there are no images in this folder. {hint}")
    return sorted(found, key=lambda path: natural(path.name))


def predict_folder(
    checkpoint: Checkpoint, folder: str | Path, device: Device | None = None, progress: bool = False
) -> Predictions:
    """What the network of `checkpoint` says about every image of `folder`, in numeric order of the file names.

    Raises DataError, naming the file, for an image that is damaged or not as large as those of the training,
    TrainingError for a network that the notation cannot build.
    """
    paths = images_in(folder)
    size = checkpoint.normalisation.mean.shape[0]
    network, device = _network(checkpoint), device or pick()
    parts = []
    with tqdm(total=len(paths), unit=" images", disable=not progress) as bar:
        for start in range(0, len(paths), EVALUATION_BATCH):
            some = paths[start : start + EVALUATION_BATCH]
            parts.append(predict(network, _split(some, size), checkpoint.normalisation, device))
            bar.update(len(some))
    files, probabilities = (np.concatenate([getattr(p, kind) for p in parts]) for kind in ("files", "probabilities"))
    return Predictions(files, probabilities, None)


def _network(checkpoint: Checkpoint) -> nn.Module:
    try:
        return checkpoint.network()
    except (TinylabError, RuntimeError) as error:  # RuntimeError: weights of other shapes
        why = str(error).strip().splitlines()[0]
        raise TrainingError(
            f"the checkpoint's network, '{checkpoint.line}', cannot be built again ({why}). Take one of `tinylab train`"
        ) from None


def _split(paths: list[Path], size: int) -> Split:
    images = np.stack([_decoded(path, size) for path in paths])
    return Split("images", images, None, np.array([path.name for path in paths]), np.arange(len(paths)))


def _decoded(path: Path, size: int) -> np.ndarray:
    try:
        return decode(path.read_bytes(), size, str(path))[0]
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}). Check it") from None
