"""Whether somebody sits at this notebook, and a line that tells them how far something has come."""

import os
import sys
from typing import Any

from tqdm import tqdm

VARIABLE = "TINYLAB_HEADLESS"
PATIENCE = 2.0  # seconds: what ends sooner says nothing


def get_ipython() -> Any:
    """IPython's shell; None, and nothing is imported, where there is none."""
    return sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None


def headless() -> bool:
    """True if nobody can move a slider: $TINYLAB_HEADLESS says so, or this is not a notebook's kernel, or one that is
    driven by a program (papermill, nbconvert, nbval), which allows no input."""
    asked = os.environ.get(VARIABLE)
    if asked is not None:
        return asked.lower() not in ("", "0", "false", "no")
    kernel = getattr(get_ipython(), "kernel", None)
    return kernel is None or not getattr(kernel, "_allow_stdin", True)


class Line(tqdm):
    """A progress bar as one line of a cell's output, which all bars of one execution share; nothing on stderr, which
    JupyterLab shows in red."""

    disable: bool
    _cell: tuple[Any, Any] = (None, None)  # the execution that has a line, and that line

    def __init__(self, **options: Any) -> None:
        super().__init__(delay=PATIENCE, ascii=False, ncols=90, **options)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        from IPython.display import display

        text = {"text/plain": str(self) if msg is None else msg}
        execution, line = Line._cell
        if execution == get_ipython().execution_count and line is not None:
            line.update(text, raw=True)
        else:
            Line._cell = get_ipython().execution_count, display(text, raw=True, display_id=True)

    def clear(self, nolock: bool = False) -> None:  # type: ignore[override]
        """The line stays."""

    def close(self) -> None:
        if not self.disable and self.start_t + PATIENCE < self._time():
            self.display()
        self.disable = True


def bar(progress: bool | None, **options: Any) -> tqdm:
    """A bar of tqdm on stderr (True), none (False), or a line where somebody sits at a notebook (None)."""
    sits = progress is None and get_ipython() is not None and not headless()
    return Line(**options) if sits else tqdm(disable=not progress, **options)
