"""Pictures of optimizers: nothing cut off, the numbers given are those drawn, the text twin says them."""

from types import SimpleNamespace

import numpy as np
import pytest

from tests.figures.legible import assert_legible
from tinylab import figures, optimizers
from tinylab.support.errors import InvalidInputError

BEALE = optimizers.SURFACES["Beale"]
PATHS = {
    "SGD": optimizers.path("Beale", "SGD", learning_rate=1.0, steps=30),  # diverges
    "SGD with momentum": optimizers.path("Beale", "SGD with momentum", learning_rate=0.003, steps=90),
    "Adam": optimizers.path("Beale", "Adam", learning_rate=0.1, steps=30),
}


def seen(suggestion: float | None = 1e-2, diverged: bool = False, warning: str = "") -> optimizers.RangeTest:
    rates = tuple(np.geomspace(1e-5, 1, 40))
    smoothed = [2 - 1.5 / (1 + (1e-2 / rate) ** 2) for rate in rates]
    smoothed[-1] = 80.0 if diverged else smoothed[-1]
    losses = [value + 0.1 * (-1) ** i for i, value in enumerate(smoothed)]
    return optimizers.RangeTest(rates, tuple(losses), tuple(smoothed), diverged, suggestion, "it fell", warning)


RUNS = {"SGD": [[3.0, 2.0, 1.0], [3.0, 1.0, 1.0]], "Adam": [[2.0, 2.0, 0.5], [4.0, 1.0, 0.7]]}
EVERY = {
    "three paths": lambda: figures.surface(BEALE, PATHS),
    "no path": lambda: figures.surface(optimizers.SURFACES["Rosenbrock"], {}),
    "one range test": lambda: figures.range_tests({"Adam": seen()}),
    "three range tests": lambda: figures.range_tests(
        {"SGD": seen(diverged=True), "Adam": seen(1e-4, warning="look again"), "none": seen(None)}
    ),
    "bands": lambda: figures.bands(RUNS, levels={"ln 20": 2.9957}),
    "long bands": lambda: figures.bands(
        {name: np.random.default_rng(0).normal(2, 0.1, (3, 300)) for name in ("SGD at 0.01", "Adam at 0.0003")},
        band="error", title="A race",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EVERY)
def test_no_text_is_cut_off_and_no_two_names_overlap(name: str, style: str) -> None:
    picture = EVERY[name]()
    assert_legible(picture)
    assert len(picture.alt) > 30


def test_paths_are_drawn_where_they_went_and_keep_their_colours() -> None:
    ax = figures.surface(BEALE, {"Adam": PATHS["Adam"]}).axes[0]
    (line,) = [line for line in ax.get_lines() if len(line.get_xdata()) == 31]
    np.testing.assert_array_equal(np.stack(line.get_data(), axis=1), PATHS["Adam"].positions)
    both = figures.surface(BEALE, PATHS).axes[0]
    colours = {line.get_color() for line in both.get_lines() if len(line.get_xdata()) == 31}
    assert line.get_color() in colours
    assert ax.get_xlim() == (0.0, 4.2)


def test_the_text_twin_says_where_each_ended() -> None:
    picture = figures.surface(BEALE, PATHS)
    assert "lowest at (3, 0.5) (stars)" in picture.alt
    assert "SGD diverged after 1 update;" in picture.alt
    x, y = PATHS["Adam"].positions[-1]
    assert f"Adam ended at ({x:.2f}, {y:.2f}), height {PATHS['Adam'].heights[-1]:.2g}, after 30 updates" in picture.alt
    assert "No optimizer is chosen." in figures.surface(BEALE, {}).alt


def test_a_range_test_has_a_logarithmic_axis_and_its_suggestion_marked() -> None:
    picture = figures.range_tests({"SGD": seen(diverged=True, warning="look again"), "none": seen(None)})
    first, second = picture.axes
    assert first.get_xscale() == "log"
    assert [line.get_xdata()[0] for line in first.get_lines() if line.get_linestyle() == "--"] == [1e-2]
    assert [line for line in second.get_lines() if line.get_linestyle() == "--"] == []
    assert "0.01" in [text.get_text() for text in first.texts]
    assert first.get_ylim()[1] < 3  # 80 at the end does not flatten the rest
    assert "SGD: suggested rate 0.01; it fell. Warning: look again." in picture.alt
    assert "none: no rate can be suggested; it fell." in picture.alt


@pytest.mark.parametrize(("band", "half"), [("range", 0.5), ("error", 0.5)])
def test_bands_hold_mean_and_spread(band: str, half: float) -> None:
    """Update 2 of SGD: 2 and 1, mean 1.5; their standard error is 0.707 / √2 = 0.5."""
    ax = figures.bands(RUNS, band=band).axes[0]
    assert ax.get_lines()[0].get_ydata() == pytest.approx([3, 1.5, 1])
    edges = ax.collections[0].get_paths()[0].vertices
    assert sorted({round(float(y), 9) for x, y in edges if x == 2}) == pytest.approx([1.5 - half, 1.5 + half])


def test_bands_say_what_they_show() -> None:
    picture = figures.bands(RUNS, levels={"ln 20": 2.9957, "k-NN": 1.5})
    assert picture.alt.endswith("ln 20 3; k-NN 1.5.")
    assert "SGD: mean of 2 3 at first, 1 in the end (band 1 to 1)" in picture.alt
    assert "Adam: mean of 2 3 at first, 0.6 in the end (band 0.5 to 0.7)" in picture.alt
    assert {"SGD", "Adam", "ln 20 = 3", "k-NN = 1.5"} == {text.get_text() for text in picture.axes[0].texts}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: figures.surface(BEALE, {str(i): PATHS["Adam"] for i in range(6)}), "6 paths. Allowed: up to 5"),
        (lambda: figures.range_tests({}), "0 results. Allowed: 1 to 3"),
        (lambda: figures.bands({}), "0 names. Allowed: 1 to 5"),
        (lambda: figures.bands({"a": [[1.0], [1.0, 2.0]]}), r"lengths \[1, 2\] for 'a'"),
        (lambda: figures.bands({"a": []}), r"lengths \[\] for 'a'"),
        (lambda: figures.bands(RUNS, band="eror"), "did you mean 'error'"),
    ],
)
def test_refusals(call, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        call()


def test_a_figure_takes_anything_that_looks_like_a_path() -> None:
    way = SimpleNamespace(positions=[[0, 0], [1, 1]], heights=[1.0, 0.5], diverged=False)
    assert "mine ended at (1.00, 1.00), height 0.5, after 1 update." in figures.surface(BEALE, {"mine": way}).alt
