"""Options that several commands have in common."""

import os
from pathlib import Path

import typer

from tinylab.support.errors import InvalidInputError
from tinylab.support.files import status

DATA = typer.Option("--data", help="'sample', the name of a prepared data set, or the path of an archive or folder.")


def output(folder: Path) -> Path:
    """The folder, which need not be there yet; InvalidInputError, before hours of work, if it can never be."""
    whole = folder.absolute()
    status(whole)  # raises for a name that is too long, or a folder that is closed
    there = next(place for place in (whole, *whole.parents) if os.path.exists(place))
    if not os.path.isdir(there):
        raise InvalidInputError(f"output folder {str(folder)!r} is not possible: {there} is a file. Name a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InvalidInputError(f"output folder {str(folder)!r} is not possible: {there} is read-only. Name another")
    return folder
