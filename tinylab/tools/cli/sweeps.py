"""`tinylab sweep` and `tinylab records`: many trainings by one command, resumable, and what is known from them."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer


def sweep(
    plan: Annotated[str, typer.Argument(help="Name of a plan that comes with tinylab, or the path of a TOML file.")],
    out: Annotated[Path | None, typer.Option(help="Folder for records; by default runs/<plan>.")] = None,
    data: Annotated[str | None, typer.Option("--data", help="Instead of the plan's: a name or a path.")] = None,
    ray: Annotated[str | None, typer.Option(help="Several rows at a time: 'local', or a cluster's address.")] = None,
    seconds: Annotated[
        float | None, typer.Option("--time", help="Stop at a checkpoint after so many seconds; the next call goes on.")
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="Show the rows and what they cost, train nothing.")] = False,
    answer: Annotated[
        bool, typer.Option("--answer", help="Say what the records so far answer, train nothing.")
    ] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Try failed rows again.")] = False,
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu; by default the best there is.")] = None,
) -> None:
    """Train every row of a plan that is not yet trained, and write a record of each."""
    from tinylab import data as images
    from tinylab.tools import experiments

    chosen = experiments.load(plan, data=None if data is None else images.resolve(data))
    folder = out or Path("runs") / chosen.name
    if listing:
        print(experiments.listing(chosen, folder, device))
        return
    if answer:
        print(experiments.answer(chosen, folder))
        return
    say = partial(print, flush=True)
    report = experiments.run(chosen, folder, address=ray, seconds=seconds, retry=retry, device=device, say=say)
    if report.failed:
        raise typer.Exit(1)


def show_records(
    name: Annotated[str | None, typer.Argument(help="A record or a plan; by default the table of them all.")] = None,
    add: Annotated[Path | None, typer.Option(help="Take over the records of a sweep's folder.")] = None,
    weights: Annotated[bool, typer.Option(help="Take weights over, too.")] = True,
    readme: Annotated[Path | None, typer.Option(help="Rewrite the tables in this file, between its marks.")] = None,
) -> None:
    """Show what was measured, or take new measurements over."""
    from tinylab.course import results
    from tinylab.tools.experiments.answers import summary

    if add is not None:
        for added in results.add(add, weights=weights):
            print(f"added {added}")
        print(f"{len(results.names())} records, {results.size() / 1e6:.1f} MB")
    if readme is not None:
        print(f"{readme} {'rewritten' if results.readme(readme) else 'was up to date'}")
    if name is not None and name in results.names():
        print(results.load(name))
    elif name is not None or (add is None and readme is None):
        print(results.table() if name is None else summary(name, results.load_all()))
