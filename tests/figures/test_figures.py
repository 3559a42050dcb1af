"""Pictures: text twin, nothing cut off, nothing overlapping, and the numbers that were given are those drawn."""

import base64
import functools
import io
import itertools
import math
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.figures.legible import assert_legible
from tinylab import diagnosis, figures
from tinylab.figures import style as styles
from tinylab.support.errors import InvalidInputError
from tinylab.training import Epoch, History, Recipe

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (12, 64, 64, 3), dtype=np.uint8)
WORDS = ("European fire salamander", "bullfrog", "spider web", "volleyball", "dining table, board")


def history(epochs: int = 20, turn: float = 8, classes: int = 20, eval_split: str = "development") -> History:
    """A run whose validation loss is lowest at epoch `turn` while its training loss falls throughout."""
    made = History(
        Recipe(epochs=max(epochs, 1)), "fc(20) - softmax", "made up", eval_split, tuple(map(str, range(classes)))
    )
    for e in range(1, epochs + 1):
        loss, accuracy = 3 * math.exp(-e / 10), 1 - 0.9 * math.exp(-e / 9)
        made.epochs.append(
            Epoch(
                e,
                1e-3,
                loss + 0.3,
                accuracy - 0.1,
                loss,
                accuracy,
                1.5 + 0.01 * (e - turn) ** 2,
                0.4,
                0.0,
                1.0,
                99.0,
            )
        )
    return made


NORMALISATION = SimpleNamespace(
    mean=np.full((64, 64, 3), (120.0, 110.0, 100.0), np.float32),
    scale=np.array([60.0, 50.0, 40.0], np.float32),
)
NORMALISED = torch.from_numpy(((IMAGES - 115.0) / 70.0).astype(np.float32)).permute(0, 3, 1, 2)
KERNEL = np.array([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
MATRIX = RANDOM.integers(0, 9, (20, 20)) + 30 * np.eye(20, dtype=int)

EVERY = {
    "grid in rows": lambda: figures.image_grid(
        [IMAGES[:5]] * 5, row_labels=WORDS, title="Five classes, five images each"
    ),
    "flat grid": lambda: figures.image_grid(IMAGES, titles=[WORDS[i % 5] for i in range(12)], title="Guesses"),
    "bare grid": lambda: figures.image_grid(IMAGES[:3]),
    "filters": lambda: figures.filters(RANDOM.normal(size=(32, 3, 3, 3)), title="Untrained filters"),
    "mean image": lambda: figures.mean_image(NORMALISATION),
    "batch": lambda: figures.batch_before_after(IMAGES, NORMALISED),
    "convolution": lambda: figures.convolution(IMAGES[0], KERNEL, RANDOM.normal(size=(64, 64)), title="Sobel"),
    "curves": lambda: figures.curves(history()),
    "curves, still falling": lambda: figures.curves(history(8, turn=30)),
    "curves, one epoch": lambda: figures.curves(history(1)),
    "curves, no epoch": lambda: figures.curves(history(0)),
    "four runs": lambda: figures.curves({f"Model {i}": history(20 - i, 5 + i) for i in range(1, 5)}),
    "lines": lambda: figures.lines({"real images": [3.0, 2, 1], "blank": [3.0, 2.9]}, level=("ln 20", 2.9957)),
    "spread": lambda: figures.lines(
        {"too small": [1, 0.1, 0.01], "right": [1, 1.1, 0.9], "too large": [1, 10, 100]}, log=True
    ),
    "Figure 2": lambda: figures.reported_losses(),
}


@functools.cache
def drawn(name: str, style: str = "page") -> figures.Picture:
    """One of EVERY, laid out as for drawing; kept, since this is what takes the time."""
    picture = EVERY[name]()
    picture.draw_without_rendering()
    return picture


# ---------------------------------------------------------------- of every picture


@pytest.mark.parametrize("name", EVERY)
def test_nothing_is_cut_off_and_no_names_overlap(name: str, style: str) -> None:
    assert_legible(drawn(name, style))


@pytest.mark.parametrize("name", EVERY)
def test_png_is_opaque_small_and_described(name: str) -> None:
    picture = drawn(name)
    data, metadata = picture._repr_mimebundle_()
    png = base64.b64decode(data["image/png"])
    image = Image.open(io.BytesIO(png))
    assert image.format == "PNG"
    assert "A" not in image.mode
    assert "transparency" not in image.info
    assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    assert len(png) < (400_000 if name == "grid in rows" else 200_000)  # noise, the worst that an image can be
    assert len(picture.alt) >= len("3 images.")
    assert data["text/plain"] == metadata["image/png"]["alt"] == picture.alt == str(picture)
    # 1.5 stored pixels for each of the browser's
    assert image.width == pytest.approx(1.5 * metadata["image/png"]["width"], abs=2)


def test_style_sizes(style: str) -> None:
    picture = drawn("curves", style)
    sizes = [text.get_fontsize() for ax in picture.axes for text in ax.texts]
    drawn_lines = [line for ax in picture.axes for line in ax.get_lines() if len(line.get_xdata()) == 20]
    lines = [line.get_linewidth() for line in drawn_lines if line.get_linestyle() in ("-", "--")]
    if style == "projector":
        assert styles.STYLES[style].font >= 16
        assert min(sizes) >= 14.4  # 0.9 of the font for what matters least
        assert min(lines) * 96 / 72 >= 2.5  # points to the browser's pixels
    else:
        assert max(sizes) < 12


def test_unknown_style_names_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(styles.VARIABLE, "projektor")
    with pytest.raises(InvalidInputError, match=r"'projektor' of \$TINYLAB_STYLE.*did you mean 'projector'"):
        figures.curves(history())


def test_no_pyplot() -> None:
    code = "import sys, tinylab.figures, tinylab.lab; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("colour", [*styles.HUES, styles.GREY, styles.INK])
def test_colours_reach_3_to_1_on_white(colour: str) -> None:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]  # WCAG 2.2
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    assert 1.05 / (luminance + 0.05) >= 3


@pytest.mark.parametrize("name", ["grid in rows", "batch", "filters", "mean image", "convolution", "signatures"])
def test_torch_and_numpy_draw_the_same(name: str) -> None:
    weights = RANDOM.normal(size=(4, 3, 3, 3)).astype(np.float32)
    response = RANDOM.normal(size=(64, 64))
    draw = {
        "grid in rows": lambda give: figures.image_grid(give(IMAGES[:2])),
        "batch": lambda give: figures.batch_before_after(give(IMAGES), give(NORMALISED.numpy())),
        "filters": lambda give: figures.filters(give(weights)),
        "mean image": lambda give: figures.mean_image(
            SimpleNamespace(mean=give(NORMALISATION.mean), scale=give(NORMALISATION.scale))
        ),
        "convolution": lambda give: figures.convolution(give(IMAGES[0]), give(KERNEL), give(response)),
        "signatures": lambda give: figures.signatures({"as it should be": give(MATRIX)}),
    }[name]
    assert draw(torch.from_numpy).png(False) == draw(lambda values: values).png(False)


# ---------------------------------------------------------------- style


@given(st.lists(st.floats(0, 1), max_size=12), st.floats(0.001, 0.3))
def test_spread_keeps_order_gaps_and_limits(wanted: list[float], gap: float) -> None:
    places = styles.spread(wanted, gap)
    gap = min(gap, 1 / max(len(wanted) - 1, 1))
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in places)
    for (w, p), (v, q) in itertools.combinations(zip(wanted, places, strict=True), 2):
        assert abs(p - q) >= gap - 1e-9
        if w != v:
            assert (p < q) == (w < v)


def test_spread_leaves_what_has_room_and_centres_what_has_not() -> None:
    assert styles.spread([0.9, 0.1, 0.5], 0.1) == pytest.approx([0.9, 0.1, 0.5])
    assert styles.spread([0.5, 0.5, 0.5], 0.1) == pytest.approx([0.4, 0.5, 0.6])
    assert styles.spread([0.0, 0.0], 0.1) == pytest.approx([0.0, 0.1])


@pytest.mark.parametrize(
    ("value", "text"), [(8_557_288, "8.56 M"), (1234, "1,234"), (0.12345, "0.123"), (0, "0"), (21.0, "21")]
)
def test_quantity(value: float, text: str) -> None:
    assert styles.quantity(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(75, "75 s"), (0.0031, "3.1 ms"), (2.1e-6, "2.1 µs"), (1e-8, "0.01 µs")])
def test_duration(seconds: float, text: str) -> None:
    assert figures.duration(seconds) == text


# ---------------------------------------------------------------- images


def rendered(picture: figures.Picture) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture.png(compact=False))).convert("RGB"))


def test_grid_shows_each_pixel_as_a_square_of_its_own_colour() -> None:
    """Nothing between the image and the screen smooths, shifts or recolours it."""
    picture = figures.image_grid(IMAGES[:2], columns=2)
    shown = rendered(picture)
    big = IMAGES[1].repeat(3, 0).repeat(3, 1)
    found = [
        (y, x)
        for y in range(12)
        for x in range(190, 215)
        if shown[y : y + 192, x : x + 192].shape == big.shape and (shown[y : y + 192, x : x + 192] == big).all()
    ]
    assert len(found) == 1


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        (np.full((2, 2, 3), 7, np.uint8), 7),
        (np.full((3, 4, 4), 0.5), 128),
        (np.full((4, 4, 3), 200.0), 200),
        (np.full((4, 4), 1.0), 255),
        (np.zeros((4, 4)), 0),
        (torch.full((3, 8, 8), 51, dtype=torch.uint8), 51),
        (torch.full((1, 8, 8), 0.2), 51),
    ],
)
def test_pixels_understands_layouts_and_ranges(given_: object, expected: int) -> None:
    image = figures.pixels(given_)
    assert image.dtype == np.uint8
    assert image.shape[2] == 3
    assert (image == expected).all()


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4, 4, 4)), np.zeros((5, 5, 7)), np.full((4, 4), -1.0), np.full((4, 4), np.nan)]
)
def test_pixels_refuses(bad: np.ndarray) -> None:
    with pytest.raises(InvalidInputError, match=r"cannot be drawn\. Allowed"):
        figures.pixels(bad)


def test_signed_puts_zero_in_the_middle() -> None:
    """w / (2·max|w|) + 0.5, by hand: -2, 0, 1, 2 become 0, 0.5, 0.75, 1."""
    assert figures.signed(np.array([-2.0, 0.0, 1.0, 2.0])).tolist() == [0, 128, 191, 255]
    assert figures.signed(np.zeros(2)).tolist() == [128, 128]


def test_filters_have_a_scale_of_their_own() -> None:
    weights = np.zeros((2, 3, 1, 1))
    weights[0], weights[1] = 1.0, 0.5
    assert {255} == set(np.unique(rendered(figures.filters(weights))))  # both white, on white


def test_filters_of_deeper_layers_are_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"\(64, 32, 3, 3\)"):
        figures.filters(np.zeros((64, 32, 3, 3)))


def test_stretched() -> None:
    assert figures.stretched(np.array([10.0, 15.0, 20.0])).tolist() == [0, 128, 255]
    assert figures.stretched(np.array([10.0, 15.0, 20.0]), 15, 20).tolist() == [0, 0, 255]


def test_grid_mistakes() -> None:
    with pytest.raises(InvalidInputError, match="no images"):
        figures.image_grid([])
    with pytest.raises(InvalidInputError, match="2 row labels for 1 rows"):
        figures.image_grid([IMAGES[:2]], row_labels=["a", "b"])
    with pytest.raises(InvalidInputError, match="1 titles for 2 images"):
        figures.image_grid(IMAGES[:2], titles=["a"])


def test_text_twins_of_images() -> None:
    assert "European fire salamander, bullfrog, spider web" in drawn("grid in rows").alt
    assert "red 120 ± 60, green 110 ± 50, blue 100 ± 40" in drawn("mean image").alt
    assert f"mean {IMAGES.mean():.2f}" in drawn("batch").alt
    assert f"standard deviation {float(NORMALISED.std()):.2f}" in drawn("batch").alt
    assert "[-1 0 1; -2 0 2; -1 0 1]" in drawn("convolution").alt
    assert "32 filters of 3×3" in drawn("filters").alt


def test_convolution_and_batch_mistakes() -> None:
    with pytest.raises(InvalidInputError, match="Allowed"):
        figures.convolution(IMAGES[0], np.zeros(3), np.zeros((4, 4)))
    with pytest.raises(InvalidInputError, match="of the same batch"):
        figures.batch_before_after(IMAGES[:3], NORMALISED)


# ---------------------------------------------------------------- curves


def test_curves_draw_the_history_in_the_agreed_colours() -> None:
    made = history()
    loss, accuracy = figures.curves(made).axes
    by_look = {
        (line.get_color(), line.get_linestyle()): line for line in loss.get_lines() if len(line.get_xdata()) == 20
    }
    assert by_look["#0072B2", "-"].get_ydata() == pytest.approx(made.column("train_loss"))
    assert by_look["#D55E00", "--"].get_ydata() == pytest.approx(made.column("eval_loss"))
    assert by_look["#0072B2", ":"].get_ydata() == pytest.approx(made.column("running_loss"))
    percents = [line.get_ydata() for line in accuracy.get_lines() if len(line.get_xdata()) == 20]
    assert any(np.allclose(p, 100 * np.array(made.column("train_accuracy"))) for p in percents)
    levels = [
        line.get_ydata()[0] for ax in (loss, accuracy) for line in ax.get_lines() if line.get_color() == styles.GREY
    ]
    assert levels == pytest.approx([math.log(20), 5.0])
    texts = {text.get_text() for text in loss.texts}  # names of lines, and the best epoch
    assert {"training", "development", "while learning", "lowest loss: epoch 8", "guessing: ln 20 = 3.00"} <= texts


def test_curves_say_where_the_loss_turned() -> None:
    picture = figures.curves(history())
    assert (
        picture.get_suptitle() == "The development loss turns upwards after epoch 8 while training loss keeps falling"
    )
    made = history()
    for number in (
        f"{made.last.train_loss:.2f}",
        f"{100 * made.last.train_accuracy:.1f} %",
        "best epoch 8",
        "1.50",
    ):
        assert number in picture.alt


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (history(8, turn=30), "The development loss is still falling at epoch 8"),
        (history(9, turn=8), "The development loss is lowest at epoch 8 of 9"),  # +0.7 %: noise, no turn
        (history(1, eval_split="validation"), "After one epoch: validation loss"),
        (history(0), "No epoch has finished yet"),
    ],
)
def test_verdict(made: History, says: str) -> None:
    assert figures.verdict(made).startswith(says)


@pytest.mark.parametrize(
    ("losses", "says"),
    [
        ([3.0, 2.5, 2.2, 2.0, 1.9, 2.3], "is lowest at epoch 5 of 6"),  # one bad epoch at the end is no turn
        ([3.0, 2.0, 1.5, 2.0, 2.2, 1.45, 2.5, 2.6, 2.7], "turns upwards after epoch 3 "),  # nor a lucky one its place
    ],
)
def test_the_verdict_does_not_contradict_the_diagnosis(losses: list[float], says: str) -> None:
    made = history(len(losses))
    made.epochs[:] = [replace(epoch, eval_loss=loss) for epoch, loss in zip(made.epochs, losses, strict=True)]
    turning = diagnosis.turning_point(made)
    assert says in figures.verdict(made)
    assert turning.turned == ("turns" in says)
    assert turning.epoch == int(says.split("epoch ")[1].split()[0])


def test_best_epoch() -> None:
    assert figures.best_epoch(history()) == 8
    assert figures.best_epoch(history(0)) is None


def test_several_runs_share_panels() -> None:
    four = {f"Model {i}": history(20, 5 + i) for i in range(1, 5)}
    overlay = figures.curves(four)
    assert len(overlay.axes) == 2
    assert {f"Model {i}" for i in range(1, 5)} <= {text.get_text() for text in overlay.axes[0].texts}
    assert len({line.get_color() for line in overlay.axes[0].get_lines() if line.get_linestyle() == "--"}) == 4
    assert all(name in overlay.alt for name in four)
    for runs in ({}, {**four, "Model 5": history()}):
        with pytest.raises(InvalidInputError, match="Allowed: 1 to 4"):
            figures.curves(runs)


# ---------------------------------------------------------------- charts


def test_one_more_reference_line_is_drawn_named_and_told() -> None:
    """k nearest neighbours beside guessing, in panels of accuracy only."""
    for runs in (history(), {"Model 1": history(9), "Model 2": history(9)}):
        picture = figures.curves(runs, level=("k-NN", 0.123))
        drawn_in = [ax for ax in picture.axes if any(list(line.get_ydata()) == [12.3] * 2 for line in ax.get_lines())]
        assert drawn_in
        assert all(line.get_ylabel() != "loss (nats per image)" for line in drawn_in)
        assert "k-NN: 12.3 %" in {text.get_text() for ax in drawn_in for text in ax.texts}
        assert picture.alt.endswith("k-NN: 12.3 %.")


def test_the_sketch_of_figure_2_shows_what_the_report_says() -> None:
    training, validation = figures.reported_losses().axes[0].get_lines()[:2]
    x, loss = training.get_data()
    assert (np.diff(loss) < 0).all()
    assert loss[-1] > 1
    assert loss[0] - np.interp(100, x, loss) > 20 * (np.interp(100, x, loss) - loss[-1])
    x, loss = validation.get_data()
    assert x[loss.argmin()] == pytest.approx(20, abs=2)
    assert (np.diff(loss[x > 21]) > 0).all()


def test_lines_on_a_logarithmic_axis() -> None:
    picture = figures.lines({"too small": [1, 0.1, 0.0], "right": [1, 1, 1]}, log=True)
    assert picture.axes[0].get_yscale() == "log"
    assert "too small from 1 to 0.1" in picture.alt  # zero has no logarithm
    with pytest.raises(InvalidInputError, match="Allowed: 1 to 5"):
        figures.lines({})
    with pytest.raises(InvalidInputError, match="without a value"):
        figures.lines({"a": [float("nan")]})


def test_dollars_and_underscores_in_names_are_text_not_formulas() -> None:
    picture = figures.curves({"a $x_1 run": history(3), "b$": history(4)})
    assert picture.png()


def test_a_headline_wider_than_its_images_is_not_cut_off() -> None:
    images = np.zeros((2, 64, 64, 3), np.uint8)
    picture = figures.image_grid(images, titles=["a", "b"], title="WWW MMM: a headline of wide letters, $more")
    picture.png()
    assert picture.texts[0].get_window_extent().x1 <= picture.bbox.x1


def test_lines_may_begin_with_what_was_before_the_first_update():
    ax = figures.lines({"weight": [0.5, 0.4, 0.3]}, first=0).axes[0]
    assert list(ax.get_lines()[0].get_xdata()) == [0, 1, 2]
    assert ax.get_xlim()[0] < 0 < 2 < ax.get_xlim()[1]


def test_a_line_that_ends_early_is_named_where_it_ends_and_nothing_points_across_the_axes() -> None:
    picture = figures.lines({"short": [3.0, 2.0, 1.0], "long": list(range(1, 31))})
    short, long = (
        next(text for text in picture.axes[0].texts if text.get_text() == name) for name in ("short", "long")
    )
    assert short.arrow_patch is None
    assert long.arrow_patch is not None
    picture.canvas.draw()
    ends = picture.axes[0].transData.transform((3, 1.0))
    box = short.get_window_extent()
    assert 0 < box.x0 - ends[0] < 30
    assert box.y0 < ends[1] < box.y1
