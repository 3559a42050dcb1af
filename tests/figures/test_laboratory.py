"""The laboratory's picture: what is drawn where, what the text twin says, always the same size."""

import math

import numpy as np
import pytest

from tinylab import figures
from tinylab.figures.laboratory import Branch, Scene, Strip, Watched
from tinylab.support.errors import InvalidInputError
from tinylab.training.history import Epoch, History
from tinylab.training.recipe import Recipe

PER = 10  # steps an epoch


def history(losses: list[float]) -> History:
    epochs = [
        Epoch(number, 1e-3, loss, 0.5, loss - 0.2, 0.6, loss, 1 - loss / 3, 0.0, 1.0, 100.0)
        for number, loss in enumerate(losses, start=1)
    ]
    return History(Recipe(), "line", "tiny", "development", ("a", "b", "c", "d"), epochs)


def batches(steps: int, value: float) -> np.ndarray:
    """Loss and accuracy alike, at the epoch of each step."""
    return np.stack([np.full(steps, value), np.full(steps, value), np.arange(1, steps + 1) / PER], axis=1)


def branch(
    letter: str, losses: list[float], start: int = 0, name: str = "from the beginning", extra: int = 3
) -> Branch:
    return Branch(letter, name, history(losses), batches(len(losses) * PER + extra, 0.7), start / PER)


def scene(*branches: Branch, **options: object) -> Scene:
    return Scene(branches, options.pop("current", branches[0].letter), 6, 4, **options)


def dashed(ax: object, style: str) -> list[object]:
    return [line for line in ax.get_lines() if line.get_linestyle() == style and line.get_transform() == ax.transData]


def test_one_future_with_marks_and_best_epoch() -> None:
    picture = figures.laboratory(
        scene(
            branch("A", [1.2, 0.8, 0.9]),
            marks=((13, "dropout 0.1 → 0.5"), (25, "L2 0 → 0.01\nmomentum 0.9 → 0.5")),
            title="Training: step 33",
            values="adam",
        )
    )
    loss, accuracy = picture.axes
    validation = next(line for line in dashed(loss, "--") if len(line.get_xdata()) == 3)
    assert validation.get_ydata().tolist() == [1.2, 0.8, 0.9]
    batches = next(line for line in loss.get_lines() if len(line.get_xdata()) == 33)
    assert batches.get_xdata()[[0, -1]].tolist() == [0.1, 3.3]
    for ax in (loss, accuracy):
        upright = [line.get_xdata()[0] for line in ax.get_lines() if len(set(line.get_xdata())) == 1]
        assert {1.3, 2.5} <= set(upright)
    texts = [text.get_text() for text in loss.texts]
    assert {"dropout 0.1 → 0.5", "lowest loss: epoch 2", "training", "development", "each batch"} <= set(texts)
    assert "guessing: ln 4" in texts
    said = picture.alt
    assert "At step 13: dropout 0.1 → 0.5. At step 25: L2 0 → 0.01, momentum 0.9 → 0.5." in said
    assert "Branch A: from the beginning: best development loss 0.80 at epoch 2 (73.3 %)" in said
    assert "After epoch 3: training loss 0.70 and accuracy 60.0 %, development loss 0.90 and accuracy 70.0 %." in said


def test_a_future_is_drawn_from_where_it_left_in_a_hue_of_its_own() -> None:
    other = branch("C", [1.2, 0.8, 0.5, 0.4], 23, "dropout 0.1 → 0.5 at step 23")
    picture = figures.laboratory(scene(branch("A", [1.2, 0.8, 0.9]), other, current="C"))
    lines = dashed(picture.axes[0], "--")
    by_hue = {line.get_color(): line.get_xdata().tolist() for line in lines}
    assert by_hue[figures.style.HUES[0]] == [1, 2, 3]
    assert by_hue[figures.style.HUES[2]] == [2, 3, 4]
    keys = [text.get_text() for text in picture.texts]
    assert any(key.startswith("C  dropout 0.1 → 0.5 at step 23: best development loss 0.40") for key in keys)
    assert sum("(current)" in key for key in keys) == 1
    assert "A development" in [text.get_text() for text in picture.axes[0].texts]


def test_a_diverging_batch_does_not_flatten_the_rest() -> None:
    wild = Branch("A", "from the beginning", history([1.2]), batches(15, 50.0))
    loss = figures.laboratory(scene(wild)).axes[0]
    assert loss.get_ylim()[1] == pytest.approx(3 * math.log(4))
    assert "▲ 50" in [text.get_text() for text in loss.texts]  # and is said


def test_a_spike_of_the_first_step_does_not_flatten_the_rest() -> None:
    spiky = batches(200, 0.5)
    spiky[0, 0] = 39_506
    loss = figures.laboratory(scene(Branch("A", "from the beginning", history([0.9, 0.6]), spiky))).axes[0]
    assert loss.get_ylim()[1] < 1.2 * math.log(4)
    assert "▲ 39,506" in [text.get_text() for text in loss.texts]


def test_neighbours_are_a_line_of_accuracy() -> None:
    picture = figures.laboratory(scene(branch("A", [1.2]), neighbours=0.31))
    heights = [line.get_ydata()[0] for line in picture.axes[1].get_lines()]
    assert 31.0 in [pytest.approx(height) for height in heights]
    assert "k-NN: 31.0 %" in [text.get_text() for text in picture.axes[1].texts]


def test_size_does_not_depend_on_what_is_shown(style: str) -> None:
    names = ["spotted mushroom", *["cat"] * 4]
    strip = Strip(
        Watched(np.zeros((5, 16, 16, 3), np.uint8), names), ["a very long name of a dog", *names[1:]], [0.5] * 5
    )
    empty = figures.laboratory(scene(branch("A", [], extra=0)))
    full = figures.laboratory(scene(*(branch(x, [1.0, 0.9]) for x in "ABCD"), strip=strip))
    assert empty.css_size() == full.css_size()
    assert "no epoch has finished" in empty.alt
    assert "spotted mushroom taken for a very long name of a dog (50 %)" in full.alt
    assert len(full.axes) == 2 + 5
    words = {text.get_text(): text.get_window_extent() for text in full.texts}
    wrong, right = words["✗ 50 %\na very long nam…"], words["✓ 50 %\ncat"]
    assert max(wrong.x1, words["spotted mushroom"].x1) < min(one.get_window_extent().x0 for one in full.axes[3:])
    assert right.y0 > 0  # nothing is cut off below
    assert full.png(compact=False).startswith(b"\x89PNG")


def test_bad_scenes() -> None:
    for branches, current in (([], "A"), ([branch("A", [])], "B"), ([branch(x, []) for x in "ABCDE"], "A")):
        with pytest.raises(InvalidInputError, match="Allowed: 1 to 4, one of them current"):
            figures.laboratory(Scene(tuple(branches), current, 6, 4))
