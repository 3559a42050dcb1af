"""What a run shows while it goes: a live table in a terminal, plain lines anywhere else."""

import threading
from collections.abc import Sequence

from rich.console import Console, Group
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.text import Text

from tinylab.tools.notebooks.pages import duration
from tinylab.tools.notebooks.runner import Outcome

_LOOK = {"waiting": ("·", "dim"), "running": ("▸", "cyan"), "ok": ("✓", "green"), "failed": ("✗", "bold red")}


class Progress:
    """A context in which `update` may be called with an outcome, from any thread, whenever one changes."""

    def __init__(self, console: Console) -> None:
        self.console = console
        words = [TextColumn(part, markup=False) for part in ("▸", "{task.description}", "{task.fields[cell]}")]
        columns = *words[:2], BarColumn(24), words[2], TimeElapsedColumn()
        self._bars = Bars(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._running: dict[str, TaskID] = {}
        self._quarters: dict[str, int] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> "Progress":
        self._bars.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._bars.stop()

    def update(self, outcome: Outcome) -> None:
        with self._lock:
            if outcome.status in ("ok", "failed"):
                if outcome.name in self._running:
                    self._bars.remove_task(self._running.pop(outcome.name))
                self.console.print(_result(outcome), soft_wrap=True)  # a line is a line in a log
            elif self.console.is_terminal:
                self._bar(outcome)
            else:
                self._line(outcome)

    def _bar(self, outcome: Outcome) -> None:
        if outcome.name not in self._running:
            self._running[outcome.name] = self._bars.add_task(outcome.name, total=outcome.cells, cell="starting")
        if outcome.cell:
            cell = f"cell {outcome.cell} of {outcome.cells}"
            self._bars.update(self._running[outcome.name], completed=outcome.cell - 1, cell=cell)

    def _line(self, outcome: Outcome) -> None:
        """A line when a notebook starts, and at each quarter of its cells."""
        quarter = 4 * outcome.cell // max(outcome.cells, 1)
        if quarter > self._quarters.get(outcome.name, -1):
            self._quarters[outcome.name] = quarter
            where = f"cell {outcome.cell} of {outcome.cells}" if outcome.cell else f"{outcome.cells} cells"
            self.console.print(f"  {outcome.name}: {where}", highlight=False, markup=False)


def _result(outcome: Outcome) -> Group:
    sign, style = _LOOK[outcome.status]
    head = Text.assemble((f"{sign} {outcome.name}", style), f"  {outcome.cells} cells, {duration(outcome.seconds)}")
    faults: Sequence[Text] = [Text(f"    {fault}", style) for fault in outcome.faults]
    return Group(head, *faults)
