"""Options that several commands have in common."""

import typer

DATA = typer.Option("--data", help="'sample', the name of a prepared data set, or the path of an archive or folder.")
