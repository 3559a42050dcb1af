"""What the lectures show instead of describing it: what is drawn is what was given, and the text twin says it, too."""

from dataclasses import replace

import numpy as np
import pytest

from tests.figures.legible import assert_nothing_cut_off
from tests.figures.test_figures import IMAGES, RANDOM, history
from tinylab import figures, models
from tinylab.support.errors import InvalidInputError

ROWS = {row.title: (row.train, row.validation) for row in models.REPORTED.values()}
RUNS = {"as described": history(12), "without L2": history(6)}
NETWORKS = {row.title: models.build(name, 200) for name, row in models.REPORTED.items()}
SURE = {"epoch 5": (RANDOM.random(300), 1.16, 0.43), "epoch 18": (RANDOM.beta(0.3, 0.3, 300), 2.1, 0.56)}
LAYERS = {name: {e: (1 + e * i, 0.05 * e) for e in range(7)} for i, name in enumerate(("relu", "relu_2", "relu_3"))}
SQUARES = [("conv5-32", 30, 30, 5), ("conv3-32", 29, 29, 7), ("max pool", 19, 19, 26)]
TIMED = {225: 0.00025, 900: 0.0009, 1800: 0.0018}
PATCH, KERNEL = np.array([[0.0, 0.5, 1.0]] * 3), np.array([[-1.0, 0.0, 1.0]] * 3)

EVERY = {
    "trajectories": lambda: figures.trajectories(RUNS, ROWS, chance=0.05, level=("k-NN", 0.1)),
    "one trajectory": lambda: figures.trajectories({"plain": history(1)}),
    "networks": lambda: figures.networks(NETWORKS),
    "confidence": lambda: figures.confidence(SURE),
    "confidence of four": lambda: figures.confidence({f"without L2, {n} epochs": SURE["epoch 5"] for n in "1234"}),
    "activity": lambda: figures.activity(LAYERS),
    "receptive field": lambda: figures.receptive_field(IMAGES[0], SQUARES, np.ones((64, 64))),
    "squares alone": lambda: figures.receptive_field(IMAGES[0], SQUARES),
    "crossing": lambda: figures.crossing(TIMED, {"Model 1": 0.005}, reach=100_000),
    "window": lambda: figures.window(PATCH, KERNEL),
}


@pytest.mark.parametrize("name", EVERY)
def test_nothing_is_cut_off_and_there_is_a_text_twin(name, style):
    picture = EVERY[name]()
    assert_nothing_cut_off(picture)
    assert len(picture.alt) > 60


def test_a_trajectory_has_a_dot_for_each_epoch_and_a_cross_for_each_reported_row():
    ax = figures.trajectories(RUNS, ROWS, chance=0.05).axes[0]
    run = history(12)
    line = next(line for line in ax.lines if len(line.get_xdata()) == 12)
    assert line.get_xdata() == pytest.approx(100 * np.array(run.column("running_accuracy")))
    assert line.get_ydata() == pytest.approx(100 * np.array(run.column("eval_accuracy")))
    crosses = {tuple(np.round(line.get_xydata()[0], 2)) for line in ax.lines if line.get_marker() == "X"}
    assert crosses == {(56.93, 24.35), (18.71, 17.99), (62.36, 15.6)}


def test_a_trajectory_of_skills_takes_guessing_away():
    """Of two classes an accuracy of 0.75 is a skill of 0.5; the report's rows are given as skills."""
    run = history(3)
    ax = figures.trajectories({"plain": run}, {"Model 1": (0.57, 0.24)}, as_skill=True).axes[0]
    line = next(line for line in ax.lines if len(line.get_xdata()) == 3)
    guess = 1 / len(run.classes)
    assert line.get_xdata() == pytest.approx(100 * (np.array(run.column("running_accuracy")) - guess) / (1 - guess))
    assert line.get_ydata() == pytest.approx(100 * (np.array(run.column("eval_accuracy")) - guess) / (1 - guess))
    assert ax.get_xlabel().startswith("training skill")


def test_bars_under_the_blocks_are_shares_that_add_up():
    picture = figures.networks({"Model 1": NETWORKS["Model 1"]})
    bars = picture.axes[1].patches
    blue = [bar.get_height() for bar in bars[::2]]
    assert sum(blue) == pytest.approx(100)
    assert max(blue) == pytest.approx(100 * (16384 + 1) * 512 / 8_557_288)  # fc(512), by hand
    assert sum(bar.get_height() for bar in bars[1::2]) == pytest.approx(100)
    assert "conv3-64 64 × 32 × 32" in picture.alt


def test_the_histogram_holds_every_image():
    ax = figures.confidence(SURE).axes[0]
    assert sum(bar.get_height() for bar in ax.patches) == pytest.approx(100)


def test_confidence_over_powers_of_ten():
    """p of 10⁻⁷, 10⁻⁵, 0.1, 0.99: half lie below a thousandth; the first is drawn at the left edge, 10⁻⁶."""
    picture = figures.confidence({"end": (np.array([1e-7, 1e-5, 0.1, 0.99]), 1.0, 0.5)}, log=True)
    assert "50.0% of 4 images below 0.001, 25.0% above 0.95" in picture.alt
    bars = picture.axes[0].patches
    assert (len(bars), bars[0].get_x()) == (20, -6)
    assert [bar.get_height() for bar in bars if bar.get_height()] == [25] * 4


def test_half_of_an_even_footprint_falls_on_half_of_the_pixels():
    even = np.zeros((64, 64))
    even[19:45, 19:45] = 1.0
    assert (
        "Half of the gradient falls on 338 of the 676 pixels" in figures.receptive_field(IMAGES[0], SQUARES, even).alt
    )


def test_a_window_multiplies_and_adds_up():
    assert figures.window(PATCH, KERNEL).alt.endswith("sum +3.00.")


@pytest.mark.parametrize(
    "call",
    [
        lambda: figures.trajectories({}),
        lambda: figures.trajectories({str(i): history(2) for i in range(6)}),
        lambda: figures.trajectories({"none": history(0)}),
        lambda: figures.networks({}),
        lambda: figures.confidence({}),
        lambda: figures.confidence({str(i): SURE["epoch 5"] for i in range(5)}),
        lambda: figures.confidence({"a": (np.array([1.5]), 1.0, 0.5)}),
        lambda: figures.confidence({"a": (np.array([]), 1.0, 0.5)}),
        lambda: figures.activity({}),
        lambda: figures.receptive_field(IMAGES[0], []),
        lambda: figures.crossing({100: 1.0}, {"a": 1.0}, reach=1000),
        lambda: figures.crossing({100: 1.0, 200: 0.0}, {"a": 1.0}, reach=1000),
        lambda: figures.crossing({100: 1.0, 200: 2.0}, {}, reach=1000),
        lambda: figures.window(np.ones((3, 3)), np.ones((2, 2))),
        lambda: figures.window(np.ones((6, 6)), np.ones((6, 6))),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(InvalidInputError):
        call()


def test_lines_cross_where_the_slopes_say():
    alt = figures.crossing({100: 0.001, 1000: 0.02}, {"flat": 0.1}, reach=100_000).alt
    assert "level with it at about 5,000 to 10,000 images" in alt  # 0.1 s over 20 µs and 10 µs an image
    assert "k-NN about 1.41 s" in alt  # the geometric mean of both, times 100,000


def test_one_spike_does_not_flatten_a_loss():
    run = history(12, classes=20)
    spoilt = [replace(epoch, running_loss=900.0 if epoch.epoch == 1 else epoch.running_loss) for epoch in run.epochs]
    run.epochs[:] = spoilt
    assert figures.curves(run).axes[0].get_ylim()[1] <= 3 * np.log(20)
    high = [replace(epoch, running_loss=50.0, train_loss=50.0, eval_loss=50.0) for epoch in spoilt]
    run.epochs[:] = high  # all of it is there: then it is shown
    assert figures.curves(run).axes[0].get_ylim()[1] > 50


def test_a_kernel_that_keeps_the_picture_is_drawn_on_the_pictures_scale():
    sharpen = np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], float)
    response = np.array([[-0.8, 0.0], [1.0, 2.0]])
    shown = figures.convolution(IMAGES[0], sharpen, response).axes[2].images[0].get_array()
    assert shown[:, :, 0].tolist() == [[0, 0], [255, 255]]
    edges = figures.convolution(IMAGES[0], KERNEL, response).axes[2].images[0].get_array()
    assert 120 < edges[0, 1, 0] < 135  # zero is mid-grey


def test_costs_start_at_zero_and_carry_their_error():
    networks = {"Model 1": (7_000_000, {"as described": 0.44, "modern recipe": 0.55})}
    picture = figures.costs(networks, images=250)
    assert picture.axes[0].get_ylim()[0] == 0
    assert "one standard error on 250 images" in picture.alt
