"""A checkpoint and a folder of images to predictions: what `tinylab predict` does.

Size, normalisation and class order come from the checkpoint, so they cannot differ from training's.
"""

import stat
from pathlib import Path

import numpy as np
from torch import nn
from tqdm import tqdm

from tinylab.data.decode import REMEDIES, Wanted, decode
from tinylab.data.layout import CONVERTIBLE, SUFFIXES, natural
from tinylab.data.split import Split
from tinylab.evaluation.scores import Predictions, predict
from tinylab.support.device import Device, pick
from tinylab.support.errors import DataError, TinylabError, TrainingError
from tinylab.support.files import reason, status
from tinylab.training import EVALUATION_BATCH
from tinylab.training.checkpoints import Checkpoint


def images_in(folder: str | Path) -> list[Path]:
    """The images of a folder, in numeric order (test_2 before test_10); folders inside it are not searched.

    Hidden files, such as the `._test_0.JPEG` that macOS leaves on other disks, are left out.

    Raises DataError if there is no such folder, or no image in it.
    """
    folder = Path(folder)
    there = status(folder)
    if there is None or not stat.S_ISDIR(there.st_mode):
        what = "there is no such folder" if there is None else "is a file, not a folder"
        raise DataError(f"{folder}: {what}. Name the folder that the images lie in")
    try:
        inside = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
        found = [path for path in inside if path.name.lower().endswith(SUFFIXES + CONVERTIBLE) and path.is_file()]
        below = [path for path in inside if path.name == "images" and path.is_dir()]
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({reason(error)}). Ask its owner for permission") from None
    if not found:
        hint = f"did you mean {below[0]}?" if below else f"Expected files that end in {', '.join(SUFFIXES)}"
        raise DataError(f"{folder}: there are no images in this folder. {hint}")
    return sorted(found, key=lambda path: natural(path.name))


def predict_folder(
    checkpoint: Checkpoint,
    folder: str | Path,
    device: Device | None = None,
    progress: bool = False,
    *,
    resize: bool = False,
    convert: bool = False,
) -> Predictions:
    """What the network of `checkpoint` says about every image of `folder`, in numeric order of the file names.

    resize   an image of another size than those of the training is scaled until its shorter side fits, and its middle
             taken, as `tinylab data prepare --resize` does
    convert  other formats and colour modes are taken, as with its --convert

    Raises DataError, naming the file, for an image that is damaged or not as large as those of the training,
    TrainingError for a network that the notation cannot build.
    """
    paths = images_in(folder)
    wanted = Wanted(checkpoint.normalisation.mean.shape[0], resize, convert)
    network, device = _network(checkpoint), device or pick()
    probabilities = np.empty((len(paths), len(checkpoint.classes)), dtype=np.float32)
    with tqdm(total=len(paths), unit=" images", disable=not progress) as bar:
        for start in range(0, len(paths), EVALUATION_BATCH):
            some = paths[start : start + EVALUATION_BATCH]
            found = predict(network, _split(some, wanted), checkpoint.normalisation, device)
            probabilities[start : start + len(some)] = found.probabilities
            bar.update(len(some))
    return Predictions(np.asarray([path.name for path in paths]), probabilities, None)


def _network(checkpoint: Checkpoint) -> nn.Module:
    try:
        return checkpoint.network()
    except (TinylabError, RuntimeError) as error:  # RuntimeError: weights of other shapes
        why = str(error).strip().splitlines()[0]
        raise TrainingError(
            f"the checkpoint's network, '{checkpoint.architecture}', cannot be built again ({why}). "
            "Take one of `tinylab train`"
        ) from None


def _split(paths: list[Path], wanted: Wanted) -> Split:
    images = np.stack([_decoded(path, wanted) for path in paths])
    return Split("images", images, None, np.array([path.name for path in paths]), np.arange(len(paths)))


def _decoded(path: Path, wanted: Wanted) -> np.ndarray:
    try:
        return decode(path.read_bytes(), wanted, str(path))[0]
    except OSError as error:
        raise DataError(f"{path} cannot be read ({reason(error)}). Check it") from None
    except DataError as error:
        option = next((option for option, words in REMEDIES.items() if words in str(error)), None)
        raise error if option is None else DataError(f"{error}: {option}") from None
