"""A prediction: nothing to press where nobody is; committed, kept, revealed and counted where somebody is."""

import json

import pytest

from tinylab import course
from tinylab.course import foresight as room
from tinylab.support.errors import InvalidInputError

CHOICES = ["fewer", "more"]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYLAB_CACHE", str(tmp_path))
    monkeypatch.setattr(room, "_revealed", {})


@pytest.fixture
def somebody(monkeypatch):
    monkeypatch.setenv("TINYLAB_HEADLESS", "0")


def _commit(shown, value):
    _, field, row = shown.widget.children
    field.value = value
    row.children[0].click()
    return row.children[1].value


def test_headless_nothing_is_pressed_and_nothing_differs(somebody, monkeypatch):
    _commit(course.predict("04.1", "More or fewer?", CHOICES), "more")
    monkeypatch.setenv("TINYLAB_HEADLESS", "1")
    asked = course.predict("04.1", "More or fewer?", CHOICES)
    assert set(asked._repr_mimebundle_()) == {"text/plain", "text/html"}
    assert str(asked) == "Predict: More or fewer?\n○ fewer  ○ more"
    assert str(course.reveal("04.1", "fewer", "By half.")) == "Came out: fewer. By half."
    assert str(course.foreseen()) == "Your predictions stand here when you have committed some."


def test_a_prediction_is_kept_revealed_and_counted(somebody, tmp_path):
    shown = course.predict("04.1", "More or fewer?", CHOICES)
    assert any(kind.startswith("application/vnd.jupyter.widget") for kind in shown._repr_mimebundle_())
    assert "committed: fewer" in _commit(shown, "fewer")
    _commit(course.predict("04.2", "How many?"), 8.5)
    assert str(course.reveal("04.1", "fewer")) == "You predicted: fewer. Came out: fewer. Foreseen."
    assert "Foreseen." in str(course.reveal("04.2", 10.0)).split(". ")[-1]  # within a fifth
    assert str(course.reveal("04.2", 20.0)).endswith("Not foreseen.")
    assert str(course.foreseen()) == "You foresaw 1 of 2."
    out = course.export_predictions(tmp_path / "mine.json")
    assert json.loads(out.read_text()) == {"04.1": "fewer", "04.2": 8.5}


def test_nothing_chosen_is_not_committed(somebody):
    shown = course.predict("04.1", "More or fewer?", CHOICES)
    assert _commit(shown, None) == "choose one first"
    assert course.predictions() == {}


def test_without_a_prediction_there_is_nothing_to_compare(somebody):
    assert str(course.reveal("04.1", 0.5)) == "Came out: 0.5."


@pytest.mark.parametrize("content", [b"", b"[1]", b"{broken", b'{"04.1": [1], "x": "y"}', b"\xff"])
def test_a_broken_file_holds_no_predictions(content, tmp_path, somebody):
    (tmp_path / room.FILE).write_bytes(content)
    assert course.predictions() == {}


@pytest.mark.parametrize(("key", "choices"), [("4", CHOICES), ("04.x", None), ("04.1", ["one"]), ("04.1", ["a", "a"])])
def test_bad_input_is_refused(key, choices):
    with pytest.raises(InvalidInputError, match="predict"):
        course.predict(key, "?", choices)
