"""Runs inside the kernel of a headless lecture: notes cells that start, and errors that nobody would see.

An exception in a background thread, in a widget callback, under `interact` or in `with Output():` does not
stop a notebook, and what a thread prints after its cell has ended reaches no output at all. So each is written,
as it happens, to the file that the runner reads: one JSON object a line. Does nothing when no file is named.
"""

import asyncio
import json
import os
import re
import sys
import threading
from concurrent.futures import thread as executors
from types import TracebackType
from typing import Any

VARIABLE = "TINYLAB_WATCH"  # the file to write to; set by the runner
PATIENCE = 10.0  # seconds that a thread may go on after the last cell

_before: set[threading.Thread] = set()
_cells = 1  # executed so far; counted here because versions of IPython differ on when its own count moves


def start() -> None:
    """Watch this kernel from now on (the first cell of a headless run calls this)."""
    from IPython.core.getipython import get_ipython

    shell: Any = get_ipython()
    if shell is None or VARIABLE not in os.environ:
        return
    _before.update(threading.enumerate())
    _write(event="kernel", pid=os.getpid())
    shell.events.register("pre_run_cell", _started)
    _watch_callbacks(shell)
    _watch_threads(shell)
    _watch_tasks(shell)


def finish() -> None:
    """Wait for threads that the lecture left behind, so that their errors count (the last cell calls this)."""
    if VARIABLE not in os.environ:
        return
    pooled = set(executors._threads_queues)  # type: ignore[attr-defined]  # idle workers wait for ever
    left = [thread for thread in threading.enumerate() if thread not in _before | pooled and not thread.daemon]
    for thread in left:
        thread.join(PATIENCE)
        if thread.is_alive():
            message = f"thread {thread.name!r} was still running {PATIENCE:.0f} s after the last cell; join it"
            _write(event="error", where="a background thread", count=None, message=message)
    _write(event="end")


def _started(info: object) -> None:
    global _cells
    _cells += 1
    _write(event="cell", count=_cells)


def _watch_threads(shell: Any) -> None:
    original = threading.excepthook

    def hook(args: threading.ExceptHookArgs) -> None:
        if args.exc_type is not SystemExit:
            _error(shell, "a background thread", args.exc_type, args.exc_value, args.exc_traceback)
        original(args)

    threading.excepthook = hook


def _watch_callbacks(shell: Any) -> None:
    """Widget callbacks, `interact` and `Output` all end in the shell's `showtraceback`, and so do cells."""
    original = shell.showtraceback

    def show(exc_tuple: Any = None, *args: Any, **kwargs: Any) -> Any:
        kind, value, trace = exc_tuple or sys.exc_info()
        if kind is not None:
            _error(shell, "a widget callback", kind, value, trace)
        return original(exc_tuple, *args, **kwargs)

    shell.showtraceback = show


def _watch_tasks(shell: Any) -> None:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # a kernel that runs cells outside its loop
        return

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is not None:
            _error(shell, "a background task", type(error), error, error.__traceback__)
        loop.default_exception_handler(context)

    loop.set_exception_handler(handle)


def _error(
    shell: Any,
    where: str,
    kind: type[BaseException],
    value: BaseException | None,
    trace: TracebackType | None,
) -> None:
    """Note one error, with the number of the cell whose code raised it (the innermost frame of a cell)."""
    count = _cells
    while trace is not None:
        name = shell.compile.format_code_name(trace.tb_frame.f_code.co_filename)  # ("Cell", "In[3]") or None
        number = re.search(r"\d+", name[1]) if name else None
        count = int(number.group()) if number else count
        trace = trace.tb_next
    _write(event="error", where=where, count=count, message=f"{kind.__name__}: {value}")


def _write(**fact: Any) -> None:
    with open(os.environ[VARIABLE], "a", encoding="utf-8") as file:
        file.write(json.dumps(fact) + "\n")
