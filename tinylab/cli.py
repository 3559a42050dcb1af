"""The `tinylab` command: data, training, predictions, the lectures run headlessly, a kernel and JupyterLab.

What a user got wrong is one line on standard error and exit code 2; a lecture that failed is exit code 1, and so
is a defect of ours, with a hint at --traceback. Heavy rooms are imported inside the commands that need them, so
that `tinylab --help` does not wait for torch.
"""

import io
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from tinylab import __version__
from tinylab.errors import InvalidInputError, NotebookError, TinylabError, nearest

app = typer.Typer(
    name="tinylab",
    help="A course on why a sensible convolutional network failed on Tiny ImageNet, and what makes it work.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Images: download, decode once, see what is where.", no_args_is_help=True)
kernel_app = typer.Typer(help="A Jupyter kernel for your own JupyterLab, VS Code or JupyterHub.", no_args_is_help=True)
app.add_typer(data_app, name="data")
app.add_typer(kernel_app, name="kernel")

DATA = typer.Option("--data", help="'sample', the name of a prepared data set, or the path of an archive or folder.")


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", help="Say the version and stop.")] = False,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show where an error comes from.")] = False,
) -> None:
    """Options of every command; `main` has looked at both already."""


@data_app.command("fetch")
def data_fetch(
    to: Annotated[Path | None, typer.Option(help="File or folder; by default the cache.")] = None,
) -> None:
    """Download the Tiny ImageNet archive (248 MB; for non-commercial research and education)."""
    from tinylab import data

    print(data.fetch(to))


@data_app.command("prepare")
def data_prepare(
    source: Annotated[Path, typer.Option("--from", help="An archive or folder in the layout of Tiny ImageNet.")],
    name: Annotated[
        str | None, typer.Option(help="What to call it; by default after the file, without '-200'.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that decode; by default one a core.")] = None,
    size: Annotated[int, typer.Option(help="Width and height of the images in pixels.")] = 64,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Even if it is prepared already.")] = False,
) -> None:
    """Decode the images of an archive or folder once, into the cache."""
    from tinylab import data

    name = name or source.resolve().name.removesuffix(".zip").removesuffix("-200")
    started = time.perf_counter()
    folder = data.prepare(source, name, workers, size, rebuild=rebuild)
    print(f"{name} is ready in {folder} after {time.perf_counter() - started:.1f} s: use it with --data {name}")


@data_app.command("info")
def data_info() -> None:
    """Say what is where."""
    from tinylab import data

    print(data.info())


@app.command()
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
    from tinylab.device import pick

    if recipe not in training.RECIPES:
        raise InvalidInputError(f"recipe {recipe!r} is unknown{nearest(recipe, training.RECIPES)}")
    changes = {"epochs": epochs, "learning_rate": learning_rate, "dropout": dropout, "l2": l2, "batch": batch}
    given: dict[str, Any] = {name: value for name, value in changes.items() if value is not None}
    chosen = replace(training.RECIPES[recipe], seed=seed, **given)
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists() and not resume:
        raise InvalidInputError(f"{out} holds a run already. Go on with it (--resume), or choose another --out")
    if resume and not checkpoint.exists():
        raise InvalidInputError(f"there is no run to resume in {out}. Start one without --resume")
    target = pick(device)
    dataset = images.load(data, classes, per_class=per_class, seed=seed)
    network = models.build(model, len(dataset.classes), seed=seed)
    out.mkdir(parents=True, exist_ok=True)
    print(f"{len(dataset.train):,} training images of {len(dataset.classes)} classes, on {target.label}")
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
    for epoch in run:
        run.history.save(out / "history.json")
        print(
            f"epoch {epoch.epoch} of {chosen.epochs}: train {epoch.train_loss:.3f} / {epoch.train_accuracy:.1%}, "
            f"{watch} {epoch.validation_loss:.3f} / {epoch.validation_accuracy:.1%}, "
            f"{epoch.images_per_second:.0f} images/s",
            flush=True,
        )
    (out / "curves.png").write_bytes(figures.curves(run.history).png())
    best = run.history.best
    print(f"lowest {watch} loss in epoch {best.epoch}: {best.validation_loss:.3f} / {best.validation_accuracy:.1%}")
    print(f"written to {out}: history.json, checkpoint.pt, curves.png")


@app.command()
def predict(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint that `tinylab train` wrote.")],
    images: Annotated[Path, typer.Option(help="Folder of JPEG or PNG files, as large as those of the training.")],
    out: Annotated[Path, typer.Option(help="File for the predictions, a line 'file wnid' for each image.")],
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu; by default the best there is.")] = None,
) -> None:
    """Name the class of every image in a folder, in the challenge's submission format."""
    from tinylab import checkpoints, evaluation
    from tinylab.device import pick

    if out.is_dir():
        raise InvalidInputError(f"--out {out} is a folder. Name a file, such as {out / 'predictions.txt'}")
    target = pick(device)
    saved = checkpoints.load(checkpoint)
    predictions = evaluation.predict_folder(saved, images, target, progress=sys.stderr.isatty())
    evaluation.write_submission(out, predictions, saved.classes)
    print(f"{len(predictions.files):,} images, {len(saved.classes)} classes, on {target.label}, written to {out}")


@app.command("run")
def run_lectures(
    notebooks: Annotated[
        list[str] | None, typer.Argument(help="Names (03_model_1), numbers (03) or paths; by default all.")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="smoke, lecture or full; by default lecture.")] = None,
    data: Annotated[str, DATA] = "sample",
    seed: Annotated[int, typer.Option(help="An integer from 0.")] = 0,
    jobs: Annotated[int, typer.Option(help="Notebooks at a time; they share the cores.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder for the pages.")] = Path("build/course"),
    timeout: Annotated[
        float | None, typer.Option(help="Time limit of a cell in seconds; by default the profile's.")
    ] = None,
    store: Annotated[bool, typer.Option("--store", help="Write the outputs back into the notebooks.")] = False,
) -> None:
    """Run the lectures without anyone watching, and write a page for each."""
    from rich.console import Console

    from tinylab import course
    from tinylab import data as images
    from tinylab.headless import pages, runner, stored
    from tinylab.headless.progress import Progress

    paths = course.find(notebooks or [])
    settings = course.settings(profile, data, seed)
    if store and (settings.profile, data, seed) != ("lecture", "sample", 0):
        raise InvalidInputError("--store needs profile lecture, data sample and seed 0: what readers of the web see")
    images.load(data, settings.classes, seed=seed)  # a wrong name or path is said here, once; the sample is made
    started = time.perf_counter()
    with Progress(Console()) as progress:
        outcomes = runner.run(
            paths,
            profile=settings.profile,
            data=data,
            seed=seed,
            jobs=jobs,
            timeout=timeout or course.TIMEOUTS[settings.profile],
            watcher=progress.update,
        )
    seconds = time.perf_counter() - started
    page = pages.write(out, outcomes, profile=settings.profile, data=data, seed=seed, seconds=seconds)
    failed = [outcome for outcome in outcomes if outcome.status != "ok"]
    refused = [name for outcome in outcomes if store for name in _store(outcome, stored)]
    print(f"{len(outcomes) - len(failed)} of {len(outcomes)} lectures ran in {pages.duration(seconds)}: {page}")
    if failed or refused:
        raise typer.Exit(1)


def _store(outcome: Any, stored: Any) -> list[str]:
    """Write a lecture's outputs back into its notebook; what keeps it from being stored is said and returned."""
    import nbformat

    if outcome.status != "ok":
        return []
    notebook = stored.cleaned(outcome.notebook)
    faults: list[str] = stored.faults(notebook)
    for fault in faults:
        print(f"tinylab: {outcome.name} is not stored: {fault}", file=sys.stderr)
    if not faults:
        nbformat.write(notebook, outcome.path)
        print(f"stored {outcome.path}")
    return faults


@app.command()
def student(
    out: Annotated[Path, typer.Argument(help="Folder for the notebooks.")],
    notebooks: Annotated[list[str] | None, typer.Argument(help="As for run; by default all.")] = None,
) -> None:
    """Write the lectures without their solutions, for students to fill in."""
    from tinylab import course
    from tinylab.headless import student as edition

    written = edition.write(course.find(notebooks or []), out)
    print(f"{len(written)} notebooks without solutions written to {out}")


@kernel_app.command("install")
def kernel_install(
    name: Annotated[str, typer.Option(help="Name of the kernel.")] = "tinylab",
    prefix: Annotated[Path | None, typer.Option(help="Install there, such as into a conda environment.")] = None,
    user: Annotated[bool, typer.Option("--user", help="Install for this user (the default).")] = False,
) -> None:
    """Make this Python a kernel that JupyterLab, VS Code and JupyterHub offer by name."""
    from ipykernel.kernelspec import install

    from tinylab.device import pick

    if prefix is not None and user:
        raise InvalidInputError("--user and --prefix were both given. Choose one")
    shown = f"tinylab ({pick().label.replace(' (', ', ').replace(')', '')})"  # "CPU (2 threads)" has its own
    try:
        where = install(
            user=prefix is None, kernel_name=name, display_name=shown, prefix=str(prefix) if prefix else None
        )
    except ValueError as error:
        raise InvalidInputError(f"kernel name {name!r} is not possible: {error}") from None
    except OSError as error:
        raise NotebookError(f"the kernel cannot be installed: {error}. Choose a folder with --prefix") from None
    print(f"installed {shown!r} in {where}")


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def lab(context: typer.Context) -> None:
    """Open JupyterLab on the lectures; further options go to JupyterLab (such as --no-browser)."""
    import subprocess

    from tinylab import course

    command = [sys.executable, "-m", "jupyterlab", str(course.folder()), *context.args]
    raise typer.Exit(subprocess.run(command).returncode)


def main(arguments: Sequence[str] | None = None) -> None:
    """The `tinylab` command; always ends in SystemExit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a pipe on Windows may know no "✓" or "²"
    given = list(sys.argv[1:] if arguments is None else arguments)
    if "--version" in given:
        print(_version())
        sys.exit(0)
    traces = "--traceback" in given
    given = [argument for argument in given if argument != "--traceback"]
    sys.exit(_call(given, traces))


def _call(arguments: list[str], traces: bool) -> int:
    """Run one command; returns its exit code. What went wrong is one line on standard error."""
    try:
        code = app(arguments, prog_name="tinylab", standalone_mode=False)
        if code == 130:  # typer's Ctrl-C
            return _say("interrupted", 130, traces)
        return code if isinstance(code, int) else 0
    except TinylabError as error:
        return _say(str(error), 2, traces)
    except KeyboardInterrupt:
        return _say("interrupted", 130, traces)
    except Exception as error:
        if hasattr(error, "format_message"):  # typer's own, for a wrong option; its class moved between versions
            message = error.format_message()  # empty without a command: the help is on the screen already
            return _say(f"{message} (tinylab --help tells more)", 2, traces) if message else 2
        if type(error).__name__ == "Abort":  # that of older versions
            return _say("interrupted", 130, traces)
        hint = "" if traces else " (a defect of tinylab; --traceback shows where)"
        return _say(f"{type(error).__name__}: {error}{hint}", 1, traces)


def _say(message: str, code: int, traces: bool) -> int:
    if traces and sys.exc_info()[0] is not KeyboardInterrupt:
        traceback.print_exc()
    print(f"tinylab: {' '.join(message.split())}", file=sys.stderr)
    return code


def _version() -> str:
    """Ours, and what results depend on; the versions are read, not imported."""
    import importlib.metadata
    import platform

    return f"tinylab {__version__} (Python {platform.python_version()}, torch {importlib.metadata.version('torch')})"
