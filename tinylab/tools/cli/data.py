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
    source: Annotated[Path, typer.Option("--from", help="An archive, or a folder in its layout, or one a class.")],
    name: Annotated[
        str | None, typer.Option(help="What to call it; by default after the file, without '-200'.")
    ] = None,
    size: Annotated[int, typer.Option(help="Width and height of the images in pixels.")] = 64,
    resize: Annotated[
        bool, typer.Option("--resize", help="Scale other images until the shorter side fits, and take the middle.")
    ] = False,
    convert: Annotated[
        bool, typer.Option("--convert", help="Take WebP, GIF, BMP and TIFF, CMYK, palettes and 16 bits, too.")
    ] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Even if it is prepared already.")] = False,
) -> None:
    """Decode the images of an archive or folder once, into the cache."""
    from tinylab import data
    from tinylab.data.archive import stem

    name = name or stem(source.resolve()).removesuffix("-200")
    started = time.perf_counter()
    folder = data.prepare(source, name, size, rebuild=rebuild, resize=resize, convert=convert)
    converted = data.open_cache(name).manifest.get("converted", {})
    if converted:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in converted.items())
        print(f"{sum(converted.values()):,} images converted: {kinds}")
    print(f"{name} is ready in {folder} after {time.perf_counter() - started:.1f} s: use it with --data {name}")


@app.command("info")
def info() -> None:
    """Say what is where."""
    from tinylab import data

    print(data.info())
