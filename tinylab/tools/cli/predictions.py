"""`tinylab predict`: what a trained network says of a folder of images."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from tinylab.support import files
from tinylab.support.errors import InvalidInputError, check_int


def predict(
    images: Annotated[Path, typer.Option(help="Folder of JPEG or PNG files, as large as those of the training.")],
    out: Annotated[Path, typer.Option(help="File for the predictions, a line 'file wnid' for each image.")],
    checkpoint: Annotated[Path | None, typer.Argument(help="A checkpoint that `tinylab train` wrote.")] = None,
    network: Annotated[str | None, typer.Option(help="Instead: a network that comes with tinylab.")] = None,
    resize: Annotated[bool, typer.Option("--resize", help="As for data prepare: other sizes made to fit.")] = False,
    convert: Annotated[bool, typer.Option("--convert", help="As for data prepare: other kinds are taken.")] = False,
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu; by default the best there is.")] = None,
    top: Annotated[int | None, typer.Option(help="Also print so many likeliest classes, with probabilities.")] = None,
    data: Annotated[str, typer.Option(help="With --top: the prepared data set that knows the classes' words.")] = "",
) -> None:
    """Name the class of every image in a folder, in the challenge's submission format."""
    from tinylab import data as room
    from tinylab import evaluation
    from tinylab.course import results
    from tinylab.support.device import pick
    from tinylab.training import checkpoints

    files.replaceable(out)  # said now rather than when all images have been asked about
    target = pick(device)
    if (checkpoint is None) == (network is None):
        raise InvalidInputError("which network? Give a checkpoint, or --network and the name of one; not both")
    words: dict[str, str] = {}
    if network is not None:
        saved: checkpoints.Checkpoint = (shipped := results.network(network))
        words = dict(zip(shipped.classes, shipped.words, strict=True))
    else:
        assert checkpoint is not None
        saved = checkpoints.load(checkpoint)
    if top is not None:
        check_int("top", top, 1, len(saved.classes))
    if data:
        known = room.load(data)
        words = dict(zip(known.classes, known.words, strict=True))
    evaluation.check_names([path.name for path in evaluation.images_in(images)], saved.classes)
    predictions = evaluation.predict_folder(
        saved, images, target, progress=sys.stderr.isatty(), resize=resize, convert=convert
    )
    evaluation.write_submission(out, predictions, saved.classes)
    if top is not None:
        print(predictions.likeliest([words.get(name, name) for name in saved.classes], top))
    print(f"{len(predictions.files):,} images, {len(saved.classes)} classes, on {target.label}, written to {out}")
