"""The pictures of lecture 10: what is drawn is what was given, nothing is cut off, and the text twin says it too."""

import numpy as np
import pytest

from tests.figures.legible import assert_apart, assert_nothing_cut_off
from tinylab import figures
from tinylab.support.errors import InvalidInputError
from tinylab.training import transfer


def results(
    sizes: tuple[int, ...] = (10, 50, 500), ways: tuple[str, ...] = transfer.WAYS, seeds: int = 4
) -> transfer.Results:
    """Attempts whose accuracy is known: 0.30, plus 0.1 a size, 0.05 a way and 0.01 a seed."""
    return transfer.Results(
        tuple(
            transfer.Attempt(way, size, seed, 60, 0.9, 0.30 + 0.1 * i + 0.05 * j + 0.01 * seed, 1.0, 0.1)
            for i, size in enumerate(sizes)
            for j, way in enumerate(ways)
            for seed in range(seeds)
        ),
        5,
    )


LONGER = {"plain": {6: (0.74, 0.43), 12: (0.97, 0.51), 24: (1.0, 0.47)}, "modern": {6: (0.46, 0.42), 12: (0.66, 0.56)}}
COSTS = {
    "Model 1": (7_300_000, {"as described": 0.44, "modern recipe": 0.55}),
    "Model 2": (10_500_000, {"as described": 0.46, "modern recipe": 0.53}),
    "Model 3": (5_900_000, {"as described": 0.49, "modern recipe": 0.43}),
    "modern-small": (16_200_000, {"modern recipe": 0.65}),
}
KNN = (0.25, 0.28, 0.33)  # for each number of images
ROWS = [
    ("the report", "Model 3", "15.6 %"),
    ("the report's recipe", "Model 3", "16.2 ± 0.4 % †"),
    ("done well, flips at test", "Model 3, a long title of a recipe", "48.0 ± 0.3 %"),
    ("beyond", "modern", "not yet run"),
]

EVERY = {
    "few images": lambda: figures.few_images(results(), chance=0.2, level=("k-NN", KNN)),
    "few images, one size and seed": lambda: figures.few_images(results((5,), seeds=1), chance=0.2),
    "longer": lambda: figures.longer(LONGER, chance=0.2, level=("k-NN", 0.28)),
    "longer, one": lambda: figures.longer({"plain": {6: (0.5, 0.4)}}),
    "costs": lambda: figures.costs(COSTS, chance=0.2, level=("k-NN", 0.28)),
    "costs, all alike": lambda: figures.costs({n: (7_000_000, s) for n, (_, s) in COSTS.items()}),
    "costs, one": lambda: figures.costs({"modern": (2_000_000_000, {"modern recipe": 0.6})}),
    "ladder": lambda: figures.ladder(ROWS),
}


@pytest.mark.parametrize("name", EVERY)
def test_nothing_is_cut_off_and_no_names_overlap(name: str, style: str) -> None:
    picture = EVERY[name]()
    assert_nothing_cut_off(picture)
    for ax in picture.axes:
        low, high = ax.get_xlim()
        assert_apart([*ax.texts, *(t for t in ax.get_xticklabels() if low <= t.get_position()[0] <= high)])


def test_few_images_draws_means_errors_and_every_seed() -> None:
    given = results()
    picture = figures.few_images(given, chance=0.2)
    (ax,) = picture.axes
    bars = {c[0].get_linestyle(): c for c in ax.containers}
    assert len(bars) == len(transfer.WAYS)  # told apart without colour
    for container, way in zip(ax.containers, transfer.WAYS, strict=True):
        means = container[0].get_ydata()
        wanted = [100 * np.mean(given.column(way, size)) for size in given.sizes]
        assert means == pytest.approx(wanted)
        for segment, mean in zip(container[2][0].get_segments(), wanted, strict=True):
            error = 100 * np.std([0, 0.01, 0.02, 0.03], ddof=1) / 2
            assert segment[:, 1] == pytest.approx([mean - error, mean + error])
    faint = [line for line in ax.get_lines() if line.get_alpha() == 0.35]
    assert sum(len(line.get_ydata()) for line in faint) == len(given.attempts)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["10", "50", "500"]
    assert {*transfer.WAYS, "guessing: 20 %"} == {text.get_text() for text in ax.texts}
    assert "from scratch: 31.5 % with 10, 41.5 % with 50, 51.5 % with 500." in picture.alt


def test_lines_to_compare_with_are_drawn_named_and_told() -> None:
    level = ("k-NN", 0.28)
    pictures = [figures.longer(LONGER, chance=0.2, level=level), figures.costs(COSTS, chance=0.2, level=level)]
    for picture in pictures:
        dotted = [line for line in picture.axes[-1].get_lines() if line.get_linestyle() == ":"]
        assert [float(line.get_ydata()[0]) for line in dotted] == pytest.approx([20, 28])
        assert {"guessing: 20 %", "k-NN: 28 %"} <= {text.get_text() for text in picture.axes[-1].texts}
        assert picture.alt.endswith(" k-NN: 28.0 %.")
    picture = figures.few_images(results(), chance=0.2, level=("k-NN", KNN))
    (line,) = [line for line in picture.axes[0].get_lines() if line.get_marker() == "x"]
    assert line.get_ydata() == pytest.approx([25, 28, 33])
    assert picture.alt.endswith("k-NN: 25.0 % with 10, 28.0 % with 50, 33.0 % with 500.")


def test_longer_draws_both_accuracies_of_each_length() -> None:
    picture = figures.longer(LONGER, chance=0.2)
    for ax, lengths in zip(picture.axes, LONGER.values(), strict=True):
        drawn = [np.column_stack(line.get_data()) for line in ax.get_lines() if line.get_marker() == "o"]
        for column, points in enumerate(drawn):
            assert points == pytest.approx(np.array([(n, 100 * pair[column]) for n, pair in lengths.items()]))
    assert "plain: 6 epochs 74.0 % / 43.0 %; 12 epochs 97.0 % / 51.0 %; 24 epochs 100.0 % / 47.0 %." in picture.alt
    assert picture.alt.startswith("Are more epochs enough? Training")


def test_costs_draw_every_result_and_an_arrow_from_first_to_last() -> None:
    picture = figures.costs(COSTS)
    (ax,) = picture.axes
    order = ["Model 3", "Model 1", "Model 2", "modern-small"]  # the cheapest first
    assert [tick.get_text().split("\n")[0] for tick in ax.get_xticklabels()] == order
    points = {(line.get_xdata()[0], round(line.get_ydata()[0], 6)) for line in ax.get_lines()}
    assert points == {(i, round(100 * share, 6)) for i, n in enumerate(order) for share in COSTS[n][1].values()}
    arrows = [t for t in ax.texts if not t.get_text() and t.arrow_patch is not None]
    ends = np.array([(*arrow.xyann, arrow.xy[1]) for arrow in arrows])  # place, from, to
    wanted = [(i, *(100 * share for share in COSTS[name][1].values())) for i, name in enumerate(order[:3])]
    assert ends == pytest.approx(np.array(wanted))
    assert "Model 3 (5.9 M multiply-adds): as described 49.0 %, modern recipe 43.0 %." in picture.alt


def test_the_ladder_has_a_bar_for_what_was_run_and_says_what_was_not() -> None:
    picture = figures.ladder(ROWS)
    (ax,) = picture.axes
    assert [patch.get_width() for patch in ax.patches] == [15.6, 16.2, 48.0, 0.0]
    assert [text.get_text() for text in ax.texts] == [text for *_, text in ROWS]
    colours = [patch.get_facecolor() for patch in ax.patches]
    assert len(set(colours)) == 4
    assert "beyond, modern: not yet run" in picture.alt


def test_the_ladder_reads_the_table_of_records() -> None:
    from tinylab.course import results

    rows = [(row[0], row[1], row[4]) for row in results.table([]).rows]
    picture = figures.ladder([*rows, ("beyond", "modern", "not yet run")])
    widths = [patch.get_width() for patch in picture.axes[0].patches]
    assert widths == [24.3, 18.0, 15.6, 0.0]
    assert picture.alt.count("not yet run") == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: figures.few_images(transfer.Results((), 5)), "without an attempt"),
        (lambda: figures.longer({}), "no runs"),
        (lambda: figures.longer({"plain": {}}), "no runs"),
        (lambda: figures.longer({"plain": {6: (57, 24)}}), "shares, not percent"),
        (lambda: figures.costs({}), "no networks"),
        (lambda: figures.costs({"Model 1": (1, {})}), "no networks"),
        (lambda: figures.ladder([]), "no rows"),
    ],
)
def test_mistakes(make: object, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        make()
