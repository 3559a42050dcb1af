"""The signatures of the mistakes: drawn numbers are the given ones, at most 20 classes, nothing cut off."""

import numpy as np
import pytest
from matplotlib.text import Text

from tinylab import figures
from tinylab.support.errors import InvalidInputError

MATRIX = np.array([[8, 2, 0], [1, 9, 0], [4, 2, 4]])


def cases(count, classes=3):
    rng = np.random.default_rng(0)
    names = [
        "as it should be",
        "files in sorted order",
        "files shuffled",
        "classes in sorted order",
        "mean forgotten",
        "dropout left on",
    ]
    return {name: rng.integers(0, 9, (classes, classes)) + 20 * np.eye(classes, dtype=int) for name in names[:count]}


def test_bars_and_words_say_the_matrix():
    picture = figures.signatures({"as it should be": MATRIX})
    top, recognised, named = picture.axes
    assert [bar.get_height() for bar in recognised.patches] == [80, 90, 40]
    assert [bar.get_height() for bar in named.patches] == pytest.approx([100 * n / 30 for n in (13, 13, 4)])
    np.testing.assert_allclose(top.images[0].get_array(), MATRIX / 10)
    for words in ("accuracy 70.0 %", "between 40.0 % and 90.0 %", "takes 43.3 % of the answers", "2 for 0, 40.0 %"):
        assert words in picture.alt


def test_many_classes_are_zoomed_to_those_the_first_case_knows_best():
    matrices = cases(2, classes=50)
    known = np.diag(matrices["as it should be"]) / matrices["as it should be"].sum(axis=1)
    best = np.sort(np.argsort(-known, kind="stable")[:20])
    picture = figures.signatures(matrices)
    assert picture.axes[0].images[0].get_array().shape == (20, 20)
    assert [bar.get_height() for bar in picture.axes[2].patches] == pytest.approx((100 * known[best]).tolist())
    assert "20 of 50 classes" in picture.alt


@pytest.mark.parametrize("count", [1, 4, 6])
def test_no_text_is_cut_off_or_covered(style, count):
    picture = figures.signatures(cases(count), title="Signatures")
    picture.png()
    width, height = picture.canvas.get_width_height()
    texts = [t for ax in picture.axes for t in (ax.title, ax.xaxis.label, ax.yaxis.label) if t.get_text().strip()]
    boxes = {t: t.get_window_extent() for t in texts if isinstance(t, Text)}
    for text, box in boxes.items():
        assert box.x0 >= -1, text
        assert box.y0 >= -1, text
        assert box.x1 <= width + 1, text
        assert box.y1 <= height + 1, text
    for one in boxes:
        for other in boxes:
            assert one is other or not boxes[one].overlaps(boxes[other]), (one, other)


@pytest.mark.parametrize(
    ("matrices", "said"),
    [
        ({}, "0 matrices"),
        ({"a": np.zeros((2, 3))}, "Allowed: 1 to 6"),
        ({"a": np.eye(2), "b": np.eye(3)}, "2 matrices of shapes"),
        ({str(i): np.eye(2) for i in range(7)}, "7 matrices"),
    ],
)
def test_signatures_refuse(matrices, said):
    with pytest.raises(InvalidInputError, match=said):
        figures.signatures(matrices)
