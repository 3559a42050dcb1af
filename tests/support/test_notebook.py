"""A line for whoever waits at a notebook: one for all bars of a cell, and none where nobody sits."""

from types import SimpleNamespace

import pytest

from tests import tiny
from tinylab.support import notebook
from tinylab.training import Recipe, train


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a notebook's cell shows, a text for each output, as somebody sits there whom nothing is too fast for."""
    import IPython.display

    texts: list[str] = []

    class Handle:
        def __init__(self, place: int) -> None:
            self.place = place

        def update(self, data: dict[str, str], raw: bool) -> None:
            texts[self.place] = data["text/plain"]

    def display(data: dict[str, str], **_: object) -> Handle:
        texts.append(data["text/plain"])
        return Handle(len(texts) - 1)

    shell = SimpleNamespace(execution_count=7, kernel=SimpleNamespace(_allow_stdin=True))
    monkeypatch.setattr(notebook, "get_ipython", lambda: shell)
    monkeypatch.setattr(IPython.display, "display", display)
    monkeypatch.setattr(notebook, "PATIENCE", 0.0)
    monkeypatch.setattr(notebook.Line, "_cell", (None, None))
    monkeypatch.delenv(notebook.VARIABLE, raising=False)
    return texts


def test_trainings_of_one_cell_share_a_line(shown: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        train(tiny.network(), tiny.dataset(), Recipe(epochs=2, batch=16)).finish()
    assert len(shown) == 1
    assert shown[0].startswith("epoch 2/2: 100%")
    assert "loss=" in shown[0]
    assert capsys.readouterr().err == ""
    notebook.get_ipython().execution_count = 8
    train(tiny.network(), tiny.dataset(), Recipe(epochs=1, batch=16)).finish()
    assert len(shown) == 2


def test_nobody_there_and_nothing_is_shown(shown: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(notebook.VARIABLE, "1")
    train(tiny.network(), tiny.dataset(), Recipe(epochs=1, batch=16)).finish()
    monkeypatch.delenv(notebook.VARIABLE)
    train(tiny.network(), tiny.dataset(), Recipe(epochs=1, batch=16), progress=False).finish()
    monkeypatch.setattr(notebook, "PATIENCE", 3600.0)
    train(tiny.network(), tiny.dataset(), Recipe(epochs=1, batch=16)).finish()
    assert shown == []


def test_outside_a_notebook_there_is_no_line_whatever_the_variable_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(notebook.VARIABLE, "0")
    monkeypatch.setattr(notebook, "get_ipython", lambda: None)
    assert not isinstance(notebook.bar(None, total=1), notebook.Line)
