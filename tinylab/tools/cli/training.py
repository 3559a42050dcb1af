"""`tinylab train` and `tinylab predict`: one network trained as the lectures do, and what it says of a folder."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from tinylab.support.errors import InvalidInputError, nearest, whole
from tinylab.tools.cli.options import DATA, output


def train(
    model: Annotated[str, typer.Argument(help="model_1, model_2, model_3, or a line of notation.")],
    out: Annotated[Path, typer.Option(help="Folder for the history, the checkpoint and the curves.")],
    data: Annotated[str, DATA] = "sample",
    recipe: Annotated[str, typer.Option(help="report, plain or well.")] = "report",
    epochs: Annotated[int | None, typer.Option(help="By default the recipe's.")] = None,
    classes: Annotated[int | None, typer.Option(help="So many of the classes; by default all.")] = None,
    per_class: Annotated[int | None, typer.Option(help="So many training images a class; by default all.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="By default the recipe's.")] = None,
    dropout: Annotated[float | None, typer.Option(help="Of every dropout layer.")] = None,
    l2: Annotated[float | None, typer.Option(help="Adds l2·Σw² to the loss.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images; by default the recipe's.")] = None,
    seed: Annotated[int, typer.Option(help="Of weights, order, augmentation and dropout.")] = 0,
    watch: Annotated[str, typer.Option(help="The split measured after every epoch.")] = "validation",
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu; by default the best there is.")] = None,
) -> None:
    """Train a network, as the lectures do."""
    from tinylab import data as images
    from tinylab import figures, models, training
    from tinylab.support.device import pick
    from tinylab.support.files import atomic_write

    if recipe not in training.RECIPES:
        raise InvalidInputError(f"recipe {recipe!r} is unknown{nearest(recipe, training.RECIPES)}")
    changes = {"epochs": epochs, "learning_rate": learning_rate, "dropout": dropout, "l2": l2, "batch": batch}
    given: dict[str, Any] = {name: value for name, value in changes.items() if value is not None}
    chosen = replace(training.RECIPES[recipe], seed=seed, **given)
    checkpoint = output(out) / "checkpoint.pt"
    if checkpoint.exists() and not resume:
        raise InvalidInputError(f"{out} holds a run already. Go on with it (--resume), or choose another --out")
    if resume and not checkpoint.exists():
        raise InvalidInputError(f"there is no run to resume in {out}. Start one without --resume")
    target = pick(device)
    dataset = images.load(data, classes, per_class=per_class, seed=seed)
    network = models.build(model, len(dataset.classes), size=dataset.train.images.shape[1], seed=seed)
    run = training.train(
        network,
        dataset,
        chosen,
        watch=watch,
        device=target,
        checkpoint=checkpoint,
        resume=resume,
        progress=sys.stderr.isatty(),
    )
    if run.team.leads:  # under torchrun, one process speaks for all
        count, classes = len(dataset.train), len(dataset.classes)
        print(f"{count:,} training images of {classes} classes, on {target.label}", flush=True)
    for epoch in run:
        if not run.team.leads:
            continue
        run.history.save(out / "history.json")
        print(
            f"epoch {epoch.epoch} of {chosen.epochs}: train {epoch.train_loss:.3f} / {epoch.train_accuracy:.1%}, "
            f"{watch} {epoch.validation_loss:.3f} / {epoch.validation_accuracy:.1%}, "
            f"{epoch.images_per_second:.0f} images/s",
            flush=True,
        )
    if not run.team.leads:
        return
    run.history.save(out / "history.json")  # a run killed after its last checkpoint has one that lacks an epoch
    atomic_write(out / "curves.png", figures.curves(run.history).png())
    best = run.history.best
    print(f"lowest {watch} loss in epoch {best.epoch}: {best.validation_loss:.3f} / {best.validation_accuracy:.1%}")
    print(f"written to {out}: history.json, checkpoint.pt, checkpoint.best.pt, curves.png")


def predict(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint that `tinylab train` wrote.")],
    images: Annotated[Path, typer.Option(help="Folder of JPEG or PNG files, as large as those of the training.")],
    out: Annotated[Path, typer.Option(help="File for the predictions, a line 'file wnid' for each image.")],
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu; by default the best there is.")] = None,
    top: Annotated[int | None, typer.Option(help="Also print so many likeliest classes, with probabilities.")] = None,
    data: Annotated[str, typer.Option(help="With --top: the prepared data set that knows the classes' words.")] = "",
) -> None:
    """Name the class of every image in a folder, in the challenge's submission format."""
    from tinylab import data as room
    from tinylab import evaluation
    from tinylab.support.device import pick
    from tinylab.training import checkpoints

    if out.is_dir():
        raise InvalidInputError(f"--out {out} is a folder. Name a file, such as {out / 'predictions.txt'}")
    target = pick(device)
    saved = checkpoints.load(checkpoint)
    if top is not None:
        whole("top", top, 1, len(saved.classes))
    known = room.load(data) if data else None
    words = dict(zip(known.classes, known.words, strict=True)) if known else {}
    predictions = evaluation.predict_folder(saved, images, target, progress=sys.stderr.isatty())
    evaluation.write_submission(out, predictions, saved.classes)
    if top is not None:
        print(predictions.likeliest([words.get(name, name) for name in saved.classes], top))
    print(f"{len(predictions.files):,} images, {len(saved.classes)} classes, on {target.label}, written to {out}")
