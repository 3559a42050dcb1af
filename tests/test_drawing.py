"""The drawing of the rooms is that of today's imports: `make drawing` renews it."""

import xml.etree.ElementTree as ElementTree

import tinylab
from benchmarks import drawing


def test_the_stored_drawing_is_of_today_s_imports():
    assert drawing.OUT.read_text(encoding="utf-8") == drawing.drawing(), "run `make drawing`"


def test_every_room_is_drawn_once_and_a_line_goes_down():
    root = ElementTree.fromstring(drawing.drawing())
    space = "{http://www.w3.org/2000/svg}"
    assert sorted(text.text for text in root.iter(f"{space}text")) == sorted(tinylab._ROOMS)
    for path in root.iter(f"{space}path"):
        words = path.attrib["d"].replace("M", "").replace("C", "").split()
        assert float(words[1]) < float(words[-1])
    assert "training imports data, models, optimizers, support" in drawing.drawing()
