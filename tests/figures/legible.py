"""What every picture owes its reader, in any style: nothing cut off, no two names over each other."""

import itertools
from collections.abc import Iterable

from matplotlib.text import Text

from tinylab.figures import Picture
from tinylab.figures import style as styles


def assert_nothing_cut_off(picture: Picture) -> None:
    """All that is drawn lies on the picture."""
    picture.draw_without_rendering()
    box, (width, height) = picture.get_tightbbox(), picture.get_size_inches()
    slack = 1.5 / styles.DPI  # of anti-aliasing
    assert min(box.x0, box.y0) >= -slack, (box, width, height)
    assert box.x1 <= width + slack, (box, width, height)
    assert box.y1 <= height + slack, (box, width, height)


def assert_apart(texts: Iterable[Text]) -> None:
    """No two of these texts overlap by more than a pixel across and two down; empty ones are nowhere."""
    # a name's own extent: that of an annotation would include its pointer
    boxes = [(text.get_text(), Text.get_window_extent(text)) for text in texts if text.get_text()]
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        assert min(a.x1, b.x1) - max(a.x0, b.x0) <= 1 or min(a.y1, b.y1) - max(a.y0, b.y0) <= 2, (one, other)


def assert_legible(picture: Picture) -> None:
    """Both, for the names that stand beside lines and marks."""
    assert_nothing_cut_off(picture)
    assert_apart(text for ax in picture.axes for text in ax.texts)
