"""The `tinylab` command: data, training, predictions, sweeps and records, the lectures, a kernel and JupyterLab.

    data       tinylab data fetch, prepare, info
    training   tinylab train, predict
    sweeps     tinylab sweep, records
    lectures   tinylab run, student, grade, slides, book, lab, kernel install

What a user got wrong is one line on standard error and exit code 2; a lecture or a row of a sweep that failed is exit
code 1, and so is a defect of ours, with a hint at --traceback. Heavy rooms are imported inside the commands that need
them, so that `tinylab --help` does not wait for torch.
"""

import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from tinylab import __version__
from tinylab.support import files
from tinylab.support.errors import TinylabError
from tinylab.tools.cli import data, lectures, predictions, sweeps, training

app = typer.Typer(
    name="tinylab",
    help="A course on why a sensible convolutional network failed on Tiny ImageNet, and what makes it work.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", help="Say the version and stop.")] = False,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show where an error comes from.")] = False,
) -> None:
    """Options of every command; `main` has looked at both already."""


app.add_typer(data.app, name="data")
app.command()(training.train)
app.command()(predictions.predict)
app.command("sweep")(sweeps.sweep)
app.command("records")(sweeps.show_records)
app.command("run")(lectures.run_lectures)
app.command()(lectures.student)
app.command()(lectures.grade)
app.command()(lectures.slides)
app.command()(lectures.book)
app.add_typer(lectures.kernel_app, name="kernel")
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(lectures.lab)


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
        os.getcwd()  # without one, torch's own libraries end the process
        code = app(arguments, prog_name="tinylab", standalone_mode=False)
        if code == 130:  # typer's Ctrl-C
            return _say("interrupted", 130, traces)
        return code if isinstance(code, int) else 0
    except TinylabError as error:
        return _say(str(error), 2, traces)
    except KeyboardInterrupt:
        return _say("interrupted", 130, traces)
    except OSError as error:  # of the environment; one without a number may come from anywhere
        if error.errno is not None:
            return _say(files.environment(error), 2, traces)
        return _defect(error, traces)
    except Exception as error:
        if hasattr(error, "format_message"):  # typer's own, for a wrong option; its class moved between versions
            message = _named(error)  # empty without a command: the help is on the screen already
            return _say(f"{message} (tinylab --help tells more)", 2, traces) if message else 2
        return _defect(error, traces)


def _defect(error: Exception, traces: bool) -> int:
    hint = "" if traces else " (a defect of tinylab; --traceback shows where)"
    return _say(f"{type(error).__name__}: {error}{hint}", 1, traces)


def _named(error: Any) -> str:
    """What typer says, and what was typed: newer versions leave to pydantic what no number is, and name no value."""
    message: str = error.format_message()
    said: list[Any] = getattr(error.__cause__ or error.__context__, "errors", list)()
    return message + "".join(f"; received {part['input']!r}" for part in said[:1])


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
