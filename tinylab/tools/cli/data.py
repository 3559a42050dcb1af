"""`tinylab data`: images: download, decode once, see what is where."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Images: download, decode once, see what is where.", no_args_is_help=True)


@app.command("fetch")
def fetch(
    to: Annotated[Path | None, typer.Option(help="File or folder; by default the cache.")] = None,
) -> None:
    """Download the Tiny ImageNet archive (248 MB; for non-commercial research and education)."""
    from tinylab import data

    print(data.fetch(to, progress=sys.stderr.isatty()))


@app.command("prepare")
def prepare(
    source: Annotated[Path, typer.Option("--from", help="An archive or folder in the layout of Tiny ImageNet.")],
    name: Annotated[
        str | None, typer.Option(help="What to call it; by default after the file, without '-200'.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that decode; by default one a core.")] = None,
    size: Annotated[int, typer.Option(help="Width and height of the images in pixels.")] = 64,
    resize: Annotated[
        bool, typer.Option("--resize", help="Scale other images until the shorter side fits, and take the middle.")
    ] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Even if it is prepared already.")] = False,
) -> None:
    """Decode the images of an archive or folder once, into the cache."""
    from tinylab import data

    name = name or source.resolve().name.removesuffix(".zip").removesuffix("-200")
    started = time.perf_counter()
    folder = data.prepare(source, name, workers, size, rebuild=rebuild, resize=resize)
    print(f"{name} is ready in {folder} after {time.perf_counter() - started:.1f} s: use it with --data {name}")


@app.command("info")
def info() -> None:
    """Say what is where."""
    from tinylab import data

    print(data.info())
