"""The pure parts of the live laboratory's chart (`chart.js`) in a real Chromium, held against numpy and by hand."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright import sync_api

from tests.browser.jupyter import CHROMIUM
from tinylab.lab.live import widget

pytestmark = pytest.mark.skipif(CHROMIUM is None and "CI" not in os.environ, reason="no Chromium here")
PANEL = {"left": 0, "top": 0, "width": 300, "height": 200, "end": 1, "low": 0, "high": 1, "log": False}


@pytest.fixture(scope="module")
def page(browser: sync_api.Browser) -> Iterator[sync_api.Page]:
    opened = browser.new_page()
    opened.add_script_tag(content=(Path(widget.__file__).parent / "chart.js").read_text("utf-8"))
    yield opened
    opened.close()


def call(page: sync_api.Page, function: str, *arguments: object) -> Any:
    return page.evaluate(f"given => {function}(...given)", arguments)


def branch(loss: list[float], epochs: list[list[float]] | None = None) -> dict[str, object]:
    return {"letter": "A", "start": 0, "x": list(range(len(loss))), "loss": loss, "epochs": epochs or []}


def test_an_axis_grows_with_the_run_by_round_numbers_and_ends_with_it(page: sync_api.Page) -> None:
    run = np.geomspace(0.02, 900, 200)
    ends = [call(page, "axisEnd", x, 1000) for x in run]
    assert ends == sorted(ends)
    assert all(x <= end <= 1.7 * x for x, end in zip(run, ends, strict=True))
    assert all(float(f"{end:.3g}") == pytest.approx(end) for end in ends)
    assert call(page, "axisEnd", 19.5, 20) == 20
    assert call(page, "axisEnd", 25, 20) == 25  # what is there is shown


def test_a_quantile_is_numpy_s(page: sync_api.Page) -> None:
    values = np.random.default_rng(0).normal(size=999)
    for q in (0.0, 0.5, 0.9, 0.999):
        assert call(page, "quantile", values.tolist(), q) == np.quantile(values, q, method="higher")
    assert call(page, "quantile", [1.0, math.nan, math.inf], 0.9) == 1.0
    assert math.isnan(call(page, "quantile", [], 0.5))


def test_a_diverging_run_flattens_nothing_and_a_logarithm_shows_it(page: sync_api.Page) -> None:
    view = {"branches": [branch([2.3, 2.0, 39506.0], [[1, 2.1, 0.2, 1.9, 0.3, 2.0, 0.3]])], "classes": 10, "log": False}
    low, high = call(page, "lossRange", view)
    assert low == 0
    assert 2.3 < high <= 3 * math.log(10)
    low, high = call(page, "lossRange", view | {"log": True})
    assert low < 1.9
    assert high > 39506


@pytest.mark.parametrize(
    ("low", "high", "log", "expected"),
    [
        (0, 100, False, [0, 20, 40, 60, 80, 100]),
        (0, 0.5, False, [0, 0.1, 0.2, 0.3, 0.4, 0.5]),
        (0, 6.9, False, [0, 2, 4, 6]),
        (0.5, 30, True, [0.5, 1, 2, 5, 10, 20]),
        (0.9, 39506, True, [1, 10, 100, 1000, 10000]),
    ],
)
def test_ticks_are_round(page: sync_api.Page, low: float, high: float, log: bool, expected: list[float]) -> None:
    assert call(page, "ticks", low, high, 5, log) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.00126, "0.00126"), (2.30259, "2.3"), (0, "0"), (39506.2, "39,506"), (12_345_678, "1.2e+7"), (1e-9, "1e-9")],
)
def test_a_number_in_few_characters(page: sync_api.Page, value: float, text: str) -> None:
    assert call(page, "brief", value) == text


def test_names_at_the_ends_of_lines_do_not_overlap(page: sync_api.Page) -> None:
    chance = np.random.default_rng(1)
    for _ in range(20):
        wanted = [{"x": float(x), "y": float(y), "wide": 60.0} for x, y in chance.uniform((0, -20), (40, 220), (8, 2))]
        places = call(page, "placed", wanted, 14, 0, 200)
        assert all(0 <= place <= 200 for place in places)
        apart = np.diff(sorted(places))  # all of them lie beside each other
        assert apart.min() >= 14
    assert call(page, "placed", [{"x": 0, "y": 50, "wide": 60}, {"x": 100, "y": 50, "wide": 60}], 14, 0, 200) == [
        50,
        50,
    ]


def test_a_thinned_line_keeps_its_spikes(page: sync_api.Page) -> None:
    y = np.random.default_rng(2).normal(size=20_000)
    y[[777, 12_345]] = 50, -50
    x = np.arange(1, 20_001) / 20_000
    points = np.array(call(page, "thinned", x.tolist(), y.tolist(), 0, PANEL))
    assert len(points) < 2.1 * PANEL["width"] + 2
    assert np.all(np.diff(points[:, 0]) > 0)
    assert {50, -50} <= set(points[:, 1])
    at = np.searchsorted(x, points[:, 0])
    assert np.array_equal(y[at], points[:, 1])  # none is invented
    few = call(page, "thinned", [1, 2, 3], [5, 4, 6], 1, PANEL)
    assert few == [[1, 5], [2, 4], [3, 6]]  # with the last before its start, where it left
