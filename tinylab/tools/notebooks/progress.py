"""What a run shows while it goes: a live table in a terminal, plain lines anywhere else."""

import threading
import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tinylab.tools.notebooks.pages import duration
from tinylab.tools.notebooks.runner import Outcome

_LOOK = {"waiting": ("·", "dim"), "running": ("▸", "cyan"), "ok": ("✓", "green"), "failed": ("✗", "bold red")}


class Progress:
    """A context in which `update` may be called with an outcome, from any thread, whenever one changes."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.outcomes: dict[str, Outcome] = {}
        self._live = Live(get_renderable=self._table, console=console, refresh_per_second=4, transient=True)
        self._quarters: dict[str, int] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> "Progress":
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.console.is_terminal:
            self._live.stop()

    def update(self, outcome: Outcome) -> None:
        with self._lock:
            self.outcomes[outcome.name] = outcome
            if outcome.status in ("ok", "failed"):
                self.console.print(_result(outcome), soft_wrap=True)  # a line is a line in a log
            elif not self.console.is_terminal:
                self._line(outcome)

    def _line(self, outcome: Outcome) -> None:
        """A line when a notebook starts, and at each quarter of its cells."""
        quarter = 4 * outcome.cell // max(outcome.cells, 1)
        if quarter > self._quarters.get(outcome.name, -1):
            self._quarters[outcome.name] = quarter
            where = f"cell {outcome.cell} of {outcome.cells}" if outcome.cell else f"{outcome.cells} cells"
            self.console.print(f"  {outcome.name}: {where}", highlight=False)

    def _table(self) -> Group:
        table = Table.grid(padding=(0, 2))
        for outcome in list(self.outcomes.values()):
            if outcome.status == "running":
                done = max(outcome.cell - 1, 0) / max(outcome.cells, 1)
                bar = Text("━" * round(24 * done), "cyan") + Text("━" * (24 - round(24 * done)), "dim")
                spent = duration(time.monotonic() - (outcome.started or time.monotonic()))
                cell = f"cell {outcome.cell} of {outcome.cells}" if outcome.cell else "starting"
                table.add_row(Text("▸", "cyan"), outcome.name, bar, cell, Text(spent, "dim"))
        return Group(table)


def _result(outcome: Outcome) -> Group:
    sign, style = _LOOK[outcome.status]
    head = Text.assemble((f"{sign} {outcome.name}", style), f"  {outcome.cells} cells, {duration(outcome.seconds)}")
    faults: Sequence[Text] = [Text(f"    {fault}", style) for fault in outcome.faults]
    return Group(head, *faults)
