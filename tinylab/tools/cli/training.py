"""`tinylab train`: one network trained as the lectures do, or as a script of the laboratory tells."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinylab.support import files
from tinylab.support.errors import InvalidInputError, nearest
from tinylab.tools.cli.options import DATA, output

if TYPE_CHECKING:
    from tinylab.data.dataset import Dataset
    from tinylab.support.device import Device
    from tinylab.training import Run


def train(
    out: Annotated[Path, typer.Option(help="Folder for the history, the checkpoint and the curves.")],
    model: Annotated[str | None, typer.Argument(help="model_1, model_2, model_3, or a line of notation.")] = None,
    data: Annotated[str | None, DATA] = None,
    recipe: Annotated[str | None, typer.Option(help="report, plain or well; by default report.")] = None,
    epochs: Annotated[int | None, typer.Option(help="By default the recipe's.")] = None,
    classes: Annotated[int | None, typer.Option(help="So many of the classes; by default all.")] = None,
    per_class: Annotated[int | None, typer.Option(help="So many training images per class; by default all.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="By default the recipe's.")] = None,
    dropout: Annotated[float | None, typer.Option(help="Of every dropout layer.")] = None,
    l2: Annotated[float | None, typer.Option(help="Adds l2·Σw² to the loss.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images; by default the recipe's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, order, augmentation and dropout; by default 0.")] = None,
    eval_split: Annotated[str | None, typer.Option(help="The split measured after every epoch: development.")] = None,
    final: Annotated[
        bool, typer.Option("--final", help="Score the official validation images, once, at the end.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out, as it was asked for.")] = False,
    script: Annotated[
        Path | None, typer.Option(help="Train what a laboratory did: its script in a file, in place of a recipe.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu; by default the best there is.")] = None,
) -> None:
    """Train a network, as the lectures do."""
    from tinylab import data as images
    from tinylab import models, training
    from tinylab.support.device import pick
    from tinylab.tools.experiments import material

    checkpoint = output(out) / "checkpoint.pt"
    _holds_what_it_should(checkpoint, resume)
    if script is not None:
        given = {
            "a network": model,
            "--recipe": recipe,
            "--epochs": epochs,
            "--learning-rate": learning_rate,
            "--dropout": dropout,
            "--l2": l2,
            "--batch": batch,
            "--eval-split": eval_split,
            "--resume": resume or None,
        }
        if more := [name for name, value in given.items() if value is not None]:
            raise InvalidInputError(f"--script says all of a run. Leave {', '.join(more)} out")
        _replay(script, checkpoint, data, classes, per_class, seed, final, device)
        return
    changes = {"epochs": epochs, "learning_rate": learning_rate, "dropout": dropout, "l2": l2, "batch": batch}
    named = {
        "model": model,
        "data": None if data is None else images.resolve(data),
        "recipe": recipe,
        "classes": classes,
        "per_class": per_class,
        "seed": seed,
        "eval_split": eval_split,
        "changes": {name: value for name, value in changes.items() if value is not None},
    }
    asked = _asked(out / "asked.json", named, resume)
    if asked["recipe"] not in training.RECIPES:
        raise InvalidInputError(f"recipe {asked['recipe']!r} is unknown{nearest(asked['recipe'], training.RECIPES)}")
    chosen = replace(training.RECIPES[asked["recipe"]], seed=asked["seed"], **asked["changes"])
    target = pick(device)
    dataset = images.load(asked["data"], asked["classes"], per_class=asked["per_class"], seed=asked["seed"])
    size, watched = dataset.train.images.shape[1], asked["eval_split"]
    network = models.build(asked["model"], len(dataset.classes), size=size, seed=asked["seed"])
    with _alone(out):
        _holds_what_it_should(checkpoint, resume)  # for as long as nobody else writes there
        run = training.train(
            network,
            dataset,
            chosen,
            eval_split=watched,
            device=target,
            checkpoint=checkpoint,
            resume=resume,
            progress=sys.stderr.isatty(),
        )
        files.atomic_write(out / "asked.json", json.dumps(asked, indent=1).encode())
        _begins(dataset, target)
        for epoch in run:
            run.history.save(out / "history.json")
            print(material.told(epoch, chosen.epochs, watched), flush=True)
        _conclude(out, run, dataset, final, "history.json, checkpoint.pt, checkpoint.best.pt")


def _replay(
    path: Path,
    checkpoint: Path,
    data: str | None,
    classes: int | None,
    per_class: int | None,
    seed: int | None,
    final: bool,
    device: str | None,
) -> None:
    """Train what the script in a file tells, to its last update; its network is in the checkpoint, the end of no epoch
    as it may be, so that nothing goes on from there."""
    from tinylab import data as images
    from tinylab.lab.live import script as scripts
    from tinylab.lab.live.session import Session
    from tinylab.support.device import pick
    from tinylab.tools.experiments import material
    from tinylab.training import checkpoints

    try:
        told = scripts.read(path.read_bytes().decode().strip())
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path} cannot be read ({files.reason(error)}). Check it") from None
    if not told.steps:
        raise InvalidInputError(f"{path}: the run of this script was never started. Train a step first")
    data = told.data["name"] if data is None else data
    classes = told.data["classes"] if classes is None else classes
    seed = told.recipe.seed if seed is None else seed
    dataset = images.load(images.resolve(data), classes, per_class=per_class, seed=seed)
    each, rest = divmod(told.data["training images"], len(dataset.classes))
    if per_class is None and not rest and len(dataset.train) > told.data["training images"]:
        dataset = replace(dataset, train=dataset.train.per_class(each, seed))
    told.fits(dataset)
    target, shown = pick(device), 0

    def report(*_: object) -> None:
        nonlocal shown
        for epoch in session.run.history.epochs[shown:]:
            print(material.told(epoch, told.recipe.epochs, told.eval_split), flush=True)
            shown = epoch.epoch

    session = Session(
        dataset, told.model, told.recipe, eval_split=told.eval_split, device=target, memory=0, report=report
    )
    out = checkpoint.parent
    with _alone(out):
        _holds_what_it_should(checkpoint, False)
        _begins(dataset, target)
        session.ask("replay", told)
        session.run_for(told.steps)
        files.atomic_write(out / "script.json", told.line().encode())
        checkpoints.save(checkpoint, replace(session.run.state(), optimizer={}, raw=None))
        print(f"{told.steps} updates {session.note}")
        _conclude(out, session.run, dataset, final, "history.json, script.json, checkpoint.pt")


def _begins(dataset: "Dataset", target: "Device") -> None:
    count = f"{len(dataset.train):,} training images of {len(dataset.classes)} classes"
    print(f"{count}, on {target.label}", flush=True)


def _conclude(out: Path, run: "Run", dataset: "Dataset", final: bool, written: str) -> None:
    """What is written and said at the end of a training."""
    from tinylab import figures, training

    run.history.save(out / "history.json")  # a run killed after its last checkpoint has one that lacks an epoch
    if run.history.epochs:
        try:
            files.atomic_write(out / "curves.png", figures.curves(run.history).png())
            written += ", curves.png"
        except Exception as error:  # whatever it is, hours of training are not lost for a picture
            print(f"tinylab: curves.png is missing ({files.reason(error)})", file=sys.stderr)
        best = run.history.best
        lowest = f"{best.eval_loss:.3f} / {best.eval_accuracy:.1%}"
        print(f"lowest {run.history.eval_split} loss in epoch {best.epoch}: {lowest}")
    if final:
        measured = training.score(run.measured, run.for_evaluation(dataset.validation))
        print(f"official validation images, at the end: {measured.loss:.3f} / {measured.accuracy:.1%}")
    print(f"written to {out}: {written}")


def _holds_what_it_should(checkpoint: Path, resume: bool) -> None:
    there = files.status(checkpoint) is not None
    if there and not resume:
        out = checkpoint.parent
        raise InvalidInputError(f"{out} holds a run already. Go on with it (--resume), or choose another --out")
    if resume and not there:
        raise InvalidInputError(f"there is no run to resume in {checkpoint.parent}. Start one without --resume")


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Nobody else trains into this folder; InvalidInputError if somebody does."""

    def busy() -> None:
        raise InvalidInputError(f"another `tinylab train` is at work in {out}. Wait for it, or choose another --out")

    with files.locked(out / ".lock", busy):
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                if os.listdir(out) == [".lock"]:  # nothing came of it
                    (out / ".lock").unlink()
                    out.rmdir()


def _asked(path: Path, named: dict[str, Any], resume: bool) -> dict[str, Any]:
    """What the run is asked for: what is named now; else, resumed, what it was asked for before; else the defaults."""
    defaults: dict[str, Any] = {
        "model": None,
        "data": "sample",
        "recipe": "report",
        "classes": None,
        "per_class": None,
        "seed": 0,
        "eval_split": "development",
        "changes": {},
    }
    if resume and files.status(path) is not None:
        try:
            before = json.loads(path.read_bytes())
            defaults = {name: before[name] for name in defaults}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InvalidInputError(
                f"{path} does not say what the run was asked for ({type(error).__name__}). Delete it, and name all "
                "options again"
            ) from None
    asked = {name: defaults[name] if value is None else value for name, value in named.items()}
    asked["changes"] = defaults["changes"] | named["changes"]
    if asked["model"] is None:
        raise InvalidInputError("which network? Name model_1, model_2, model_3, or a line of notation")
    return asked
