"""What a run shows: bars in a terminal, gone when it ends; lines of a log elsewhere; each result once."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from tinylab.tools.notebooks.inspection import Fault
from tinylab.tools.notebooks.progress import Progress
from tinylab.tools.notebooks.runner import Outcome


def shown(terminal: bool) -> str:
    """Of a lecture of eight cells that runs through, and one that never ran."""
    console = Console(file=io.StringIO(), force_terminal=terminal, color_system=None, width=100)
    with Progress(console) as progress:
        outcome = Outcome(Path("01_[b]data.ipynb"), "", 8, "running")
        for outcome.cell in range(9):
            progress.update(outcome)
            progress._bars.refresh()
        outcome.status, outcome.seconds = "ok", 3.2
        progress.update(outcome)
        progress.update(Outcome(Path("02_gone.ipynb"), "", 0, "failed", faults=[Fault(None, "", "no [b]notebook")]))
        if terminal:
            assert progress._bars.tasks == []
    return console.file.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_each_result_is_shown_once_and_as_it_is(terminal: bool) -> None:
    said = shown(terminal)
    assert said.count("✓ 01_[b]data  8 cells, 3.2 s\n") == 1
    assert said.count("✗ 02_gone  0 cells, 0.0 s\n    no [b]notebook\n") == 1


def test_a_terminal_shows_a_bar_for_what_runs() -> None:
    bars = shown(terminal=True).split("▸ 01_[b]data")[1:]
    assert "starting 0:00:00" in bars[0]
    assert "cell 8 of 8 0:00:00" in bars[-1]
    assert bars[-1].count("━") == 24 * 7 // 8  # the last cell runs still


def test_a_log_has_a_line_at_each_quarter() -> None:
    assert shown(terminal=False).splitlines()[:5] == [
        "  01_[b]data: 8 cells",
        "  01_[b]data: cell 2 of 8",
        "  01_[b]data: cell 4 of 8",
        "  01_[b]data: cell 6 of 8",
        "  01_[b]data: cell 8 of 8",
    ]
