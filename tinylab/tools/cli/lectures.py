"""`tinylab run`, `student`, `grade`, `slides`, `book`, `lab`, `kernel`: the lectures run, handed out, graded, shown."""

import os
import re
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from tinylab.support.errors import InvalidInputError, NotebookError, check_int
from tinylab.tools.cli.options import DATA, output

kernel_app = typer.Typer(help="A Jupyter kernel for your own JupyterLab, VS Code or JupyterHub.", no_args_is_help=True)


def run_lectures(
    context: typer.Context,
    notebooks: Annotated[
        list[str] | None, typer.Argument(help="Names (03_model_1), numbers (03) or paths; by default all.")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="smoke, lecture or full; by default lecture.")] = None,
    data: Annotated[str, DATA] = "sample",
    classes: Annotated[
        int | None, typer.Option(help="So many of the classes; by default the profile's, or as many as there are.")
    ] = None,
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
    from tinylab.figures import style
    from tinylab.tools.notebooks import pages, runner, stored
    from tinylab.tools.notebooks.progress import Progress

    paths = course.find(notebooks or [])
    if classes is not None:
        check_int("classes", classes, 2)
        os.environ[course.CLASSES_VARIABLE] = str(classes)  # for the notebooks, which ask for their settings themselves
        context.call_on_close(lambda: os.environ.pop(course.CLASSES_VARIABLE, None))
    data = images.resolve(data)
    settings = course.settings(profile, data, seed)
    output(out)
    if store and not (
        (settings.profile, data, seed) == ("lecture", "sample", 0)
        and not os.environ.get(course.CLASSES_VARIABLE)
        and style.look() == style.STYLES["page"]
    ):
        raise InvalidInputError(
            "--store needs profile lecture, data sample, seed 0, and neither --classes nor a variable "
            f"{course.CLASSES_VARIABLE} or {style.VARIABLE}: what readers of the web see"
        )
    # a wrong name or path is said here, once; the sample is made
    images.load(data, classes or settings.classes, seed=seed)
    started = time.perf_counter()
    with Progress(Console()) as progress:
        outcomes = runner.run(
            paths,
            profile=settings.profile,
            data=data,
            seed=seed,
            jobs=jobs,
            timeout=course.TIMEOUTS[settings.profile] if timeout is None else timeout,
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
    from tinylab.tools.notebooks import inspection

    if outcome.status != "ok":
        return []
    notebook = stored.sealed(stored.cleaned(outcome.notebook))
    faults: list[str] = stored.faults(notebook)
    for fault in faults:
        print(f"tinylab: {outcome.name} is not stored: {fault}", file=sys.stderr)
    if not faults:
        inspection.write(outcome.path, notebook)
        print(f"stored {outcome.path}")
    return faults


def student(
    out: Annotated[Path, typer.Argument(help="Folder for the notebooks.")],
    notebooks: Annotated[list[str] | None, typer.Argument(help="As for run; by default all.")] = None,
    update: Annotated[bool, typer.Option("--update", help="Keep answers, replace the rest.")] = False,
    lecturer: Annotated[
        Path | None, typer.Option(help="Also write nbgrader's source version there: solutions, rubrics, hidden checks.")
    ] = None,
) -> None:
    """Write the lectures without their solutions, for students to fill in; nbgrader knows their cells and points."""
    from tinylab import course
    from tinylab.tools.notebooks import student as edition

    lectures = course.find(notebooks or [])
    if lecturer is not None:
        solutions, shared = (lecturer / "source").resolve(), out.resolve()
        if solutions.is_relative_to(shared) or shared.is_relative_to(solutions):
            raise InvalidInputError(
                f"--lecturer {str(lecturer)!r} would put the solutions into the class's folder {str(out)!r}. "
                "Name a folder outside it"
            )
    if update:
        for news in edition.update(lectures, output(out)):
            print(f"{news.path.name}: {news.kept} answers and own cells kept, {news.replaced} cells renewed")
            for conflict in news.conflicts:
                print(f"  {conflict}")
    else:
        written = edition.write(lectures, output(out))
        print(f"{len(written)} notebooks without solutions written to {out}")
    if lecturer is not None:
        edition.write_lecturer(lectures, output(lecturer))
        print(f"the lecturer's copies, with solutions and rubrics, written to {lecturer}")


def grade(
    submitted: Annotated[Path, typer.Argument(help="Folder of the returned notebooks, SUBMITTED/<student>/*.ipynb.")],
    out: Annotated[Path, typer.Option(help="Table of the points; feedback pages go into a folder of its name.")] = Path(
        "grades.csv"
    ),
    timeout: Annotated[float, typer.Option(help="Time limit of a cell or a call, in seconds.")] = 20.0,
    jobs: Annotated[int, typer.Option(help="Submissions at a time; they share the cores.")] = 1,
    seed: Annotated[int | None, typer.Option(help="Of the hidden inputs; drawn if none is given.")] = None,
) -> None:
    """Grade returned notebooks: points for each student and exercise, feedback pages, and what broke where.

    Each submission runs in a kernel of its own; answers in words are left to a reader.
    """
    from tinylab import data
    from tinylab.support.errors import check_int, check_range
    from tinylab.tools.notebooks import grade as grading

    check_int("jobs", jobs, 1)
    check_range("timeout", timeout, 1, 3600)
    grading.table(out)  # what is wrong with it is said before the work
    output(grading.folder_of(out.absolute()))
    data.load("sample", 2)  # drawn once, and not by each submission
    done = grading.grade(
        submitted, timeout=timeout, jobs=jobs, seed=seed, watcher=lambda one: print(f"  {one.student}: {one.path.name}")
    )
    folder = grading.write(done, out)
    rows = grading.best(done)
    manual = sum(row.points is None for row in rows)
    broken = [one for one in done if one.broken]
    print(f"{len(rows)} rows graded into {out}, {manual} of them to be read by you; feedback in {folder}")
    for row in rows:
        if row.checks is not None:
            said = f"{row.points:g} in the table, {row.checks:g} by the checks; the table counts"
            print(f"  {row.student} {row.exercise}: {said}")
    for one in broken:
        whose = ", ".join(dict.fromkeys([one.student, one.path.name]))
        print(f"  {whose}: {one.broken[0]}" + (" …" if len(one.broken) > 1 else ""))


def slides(
    notebooks: Annotated[list[str] | None, typer.Argument(help="As for run; by default all.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the decks.")] = Path("build/slides"),
    answers: Annotated[bool, typer.Option("--answers", help="With the solutions of the exercises.")] = False,
) -> None:
    """Write slides that open without a network, from the lectures' stored outputs."""
    from tinylab import course
    from tinylab.tools.notebooks import slides as decks

    print(decks.write(course.find(notebooks or []), output(out), answers))


def book(
    notebooks: Annotated[list[str] | None, typer.Argument(help="As for run; by default all.")] = None,
    out: Annotated[Path, typer.Option(help="The PDF.")] = Path("build/book/tinylab.pdf"),
) -> None:
    """Print the lectures with their stored outputs into one PDF, through a Chromium that is there."""
    from tinylab import course
    from tinylab.tools.notebooks import book as printed

    output(out.absolute().parent)
    print(printed.write(course.find(notebooks or []), out))


@kernel_app.command("install")
def kernel_install(
    name: Annotated[str, typer.Option(help="Name of the kernel.")] = "tinylab",
    prefix: Annotated[Path | None, typer.Option(help="Install there, such as into a conda environment.")] = None,
    user: Annotated[bool, typer.Option("--user", help="Install for this user (the default).")] = False,
) -> None:
    """Make this Python a kernel that JupyterLab, VS Code and JupyterHub offer by name."""
    from ipykernel.kernelspec import install

    from tinylab.support.device import pick

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


def lab(context: typer.Context) -> None:
    """Open JupyterLab on the lectures; further options go to JupyterLab (such as --no-browser)."""
    import subprocess

    from tinylab import course
    from tinylab.data.folders import VARIABLE, cache_root

    if os.environ.get(VARIABLE):
        cache_root()  # writes a relative path out, for kernels that run elsewhere
    command = [sys.executable, "-m", "jupyterlab", str(course.folder())]
    if not any(re.match(r"--(ServerApp\.|NotebookApp\.)?ip(=|$)", argument) for argument in context.args):
        command.append("--ServerApp.ip=localhost")
    command += context.args
    ended = subprocess.run(command).returncode
    if ended and getattr(os, "geteuid", lambda: 1)() == 0 and "--allow-root" not in context.args:
        raise NotebookError(
            "JupyterLab does not run as root, who may do anything. Start it as another user; or, where nobody else can "
            "reach it, such as in a container of your own: tinylab lab --allow-root"
        )
    raise typer.Exit(ended)
