"""What a check has to know of the kernel that it runs in: which answers are stale, and when to stop waiting.

In a notebook a name keeps its old value when the cell that should give it a new one fails. So each cell that fails is
remembered with the names that it would have bound, and `stale` tells whether a check is about to judge one of them.
"""

import _thread
import re
import signal
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from tinylab.support.notebook import get_ipython

T = TypeVar("T")

# what a line of a cell binds
BOUND = re.compile(r"^[ \t]*(?:(?:async\s+)?def\s+(\w+)|(\w+)\s*(?::[^=\n]+)?=(?!=))", re.MULTILINE)
_failed: dict[str, str] = {}  # name: the error of the cell that should have bound it last


class Expired(Exception):
    """A function took longer than its time limit."""


def watch() -> None:
    """Remember, from now on, which cells of this kernel fail; does nothing outside a kernel."""
    shell = get_ipython()
    if shell is not None and not any(one.__name__ == _ran.__name__ for one in shell.events.callbacks["post_run_cell"]):
        shell.events.register("post_run_cell", _ran)


def stale(identifier: str) -> str | None:
    """Why the answer that the running cell hands to the check of an exercise is not the one last written."""
    shell = get_ipython()
    source = shell.user_ns.get("In", [""])[-1] if shell else ""
    asked = re.search(rf"check\(\s*['\"]{re.escape(identifier)}['\"]\s*,\s*(\w+)\s*\)", source)
    if asked is None or asked[1] not in _failed:
        return None
    return (
        f"The cell that defines {asked[1]} ended in a {_failed[asked[1]]}, so {asked[1]} is still what it was before. "
        "Put that cell right, run it, then this one."
    )


def within(seconds: float, function: Callable[..., T], *arguments: Any) -> T:
    """`function(*arguments)`; Expired, in place of its end, after `seconds`.

    Works in a process's main thread, where cells run; anywhere else the function takes the time that it takes.
    """
    if threading.current_thread() is not threading.main_thread():
        return function(*arguments)
    lock, state = threading.Lock(), {"finished": False, "expired": False}

    def expire() -> None:
        with lock:
            if not state["finished"]:
                state["expired"] = True
                _thread.interrupt_main()

    before = signal.getsignal(signal.SIGINT)
    if not callable(before):  # a process that was started in the background ignores it, and interrupt_main with it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(seconds, expire)
    timer.daemon = True
    timer.start()
    try:
        try:
            return function(*arguments)
        finally:
            with lock:
                state["finished"] = True
            timer.cancel()
            if not callable(before):
                signal.signal(signal.SIGINT, before)
    except KeyboardInterrupt:
        if state["expired"]:
            raise Expired(f"{seconds:g} s") from None
        raise


def _ran(result: Any) -> None:
    """After each cell: note or forget the names that it binds."""
    error = result.error_before_exec or result.error_in_exec
    for match in BOUND.finditer(result.info.raw_cell or ""):
        name = match[1] or match[2]
        if error is None:
            _failed.pop(name, None)
        else:
            _failed[name] = type(error).__name__
