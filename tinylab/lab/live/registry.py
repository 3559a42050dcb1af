"""Which laboratory belongs to which cell: running the cell again ends the one it made before.

Frontends send the identity of a cell with each execution; where one does not, the cell's text stands for it. Two
laboratories of one execution are both meant to be there.
"""

import threading
import weakref
from typing import Protocol

from IPython import get_ipython


class Closable(Protocol):
    def close(self) -> None: ...


_lock = threading.Lock()
_open: "weakref.WeakKeyDictionary[Closable, tuple[str, str]]" = weakref.WeakKeyDictionary()


def claim(laboratory: Closable) -> None:
    """Close those of earlier executions of this cell, and note this one instead."""
    cell, execution = _here()
    with _lock:
        earlier = [other for other, (its, run) in _open.items() if its == cell and run != execution]
        for other in earlier:
            del _open[other]
        if cell:
            _open[laboratory] = cell, execution
    for other in earlier:
        other.close()


def release(laboratory: Closable) -> None:
    """Forget one that is closed."""
    with _lock:
        _open.pop(laboratory, None)


def _here() -> tuple[str, str]:
    """The cell that is being executed, and the execution; empty outside of a kernel."""
    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is None:
        return "", ""
    parent = kernel.get_parent() or {}
    cell = parent.get("metadata", {}).get("cellId") or parent.get("content", {}).get("code", "")
    return str(cell), str(parent.get("header", {}).get("msg_id", ""))
