"""Controls: the same controller headless and in the background, one run at a time, no error lost."""

import base64
import threading
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from tinylab import lab
from tinylab.data import Dataset, Split
from tinylab.lab import short
from tinylab.lab.convolution import TYPED
from tinylab.lab.runs import Knobs, ShortRun, Worker
from tinylab.support.errors import InvalidInputError, TrainingError
from tinylab.training import Recipe
from tinylab.training.history import Step

PATIENCE = 60  # seconds until a hanging thread fails a test; never waited for otherwise
LINE = "conv3-2 - relu - max pool - dropout - softmax"
WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(autouse=True)
def _live(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a notebook that somebody sits at, unless a test says otherwise."""
    monkeypatch.setenv(lab.VARIABLE, "0")


@pytest.fixture
def headless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(lab.VARIABLE, "1")


def split(name: str, per_class: int, classes: int = 3) -> Split:
    random = np.random.default_rng(len(name))
    labels = np.repeat(np.arange(classes), per_class)
    images = random.integers(0, 200, (len(labels), 64, 64, 3), dtype=np.uint8)
    images[..., 0] += labels.astype(np.uint8)[:, None, None] * 20
    return Split(name, images, labels, np.array([f"{i}.JPEG" for i in range(len(labels))]), np.arange(len(labels)))


@pytest.fixture(scope="module")
def data() -> Dataset:
    parts = {name: split(name, 4) for name in ("train", "development", "validation", "test")}
    return Dataset("tiny", ("n0", "n1", "n2"), ("cat", "dog", "owl"), **parts)


RECIPE = Recipe(epochs=2, batch=6, dropout=0.25)


# ---------------------------------------------------------------- headless or not


@pytest.mark.parametrize(
    ("value", "expected"), [("1", True), ("true", True), ("0", False), ("", False), ("False", False)]
)
def test_the_variable_decides(monkeypatch: pytest.MonkeyPatch, value: str, expected: bool) -> None:
    monkeypatch.setenv(lab.VARIABLE, value)
    assert lab.headless() is expected


def test_without_a_kernel_it_is_headless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(lab.VARIABLE)
    assert lab.headless()
    monkeypatch.setattr("tinylab.lab.control.get_ipython", lambda: SimpleNamespace(kernel=object()))
    assert not lab.headless()


# ---------------------------------------------------------------- convolution


@pytest.mark.parametrize(
    ("text", "kernel"),
    [
        ("1 0 -1; 2 0 -2; 1 0 -1", [[1, 0, -1], [2, 0, -2], [1, 0, -1]]),
        ("1,2,3", [[1, 2, 3]]),
        (" 1/4 ;.5; 1/4 ", [[0.25], [0.5], [0.25]]),
        ("7", [[7]]),
        ("1e-1 -2 +3", [[0.1, -2, 3]]),
    ],
)
def test_parse_kernel(text: str, kernel: list[list[float]]) -> None:
    parsed = lab.parse_kernel(text)
    assert parsed.dtype == np.float64
    assert parsed.tolist() == kernel


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1 0 x", "'x' is not a number"),
        ("1/0", "'1/0' is not a number"),
        ("1/2/3", "'1/2/3' is not a number"),
        ("nan", "'nan' is not a number"),
        ("1 2 3; 4 5 6; 7 8", "the rows have 3, 3, 2 numbers"),
        ("1 2; 3 4", "a kernel of 2×2 is not possible"),
        ("", "a kernel of 1×0 is not possible"),
        ("1 0 -1; 2 0 -2; 1 0 -1;", "the rows have 3, 3, 3, 0 numbers"),
        (" ".join(["1"] * 13), "a kernel of 1×13 is not possible"),
    ],
)
def test_parse_kernel_explains(text: str, says: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        lab.parse_kernel(text)
    assert says in str(caught.value)
    assert "Allowed" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_named_kernel_parses() -> None:
    sums = {name: lab.parse_kernel(text).sum() for name, text in lab.KERNELS.items()}
    assert {name for name, total in sums.items() if abs(total) < 1e-12} == {"Sobel x", "Sobel y", "Laplacian"}
    assert all(abs(total - 1) < 1e-12 for name, total in sums.items() if "Sobel" not in name and name != "Laplacian")


def test_convolve_against_sums_written_out() -> None:
    random = np.random.default_rng(0)
    image, kernel = random.normal(size=(6, 7)), random.normal(size=(3, 5))
    padded = np.pad(image, ((1, 1), (2, 2)))
    expected = [[(padded[r : r + 3, c : c + 5] * kernel).sum() for c in range(7)] for r in range(6)]
    assert lab.convolve(image, kernel) == pytest.approx(np.array(expected), abs=1e-12)


@pytest.fixture
def explorer() -> lab.Control:
    """A vertical edge: dark on the left, bright on the right."""
    image = np.zeros((16, 16, 3), np.uint8)
    image[:, 8:] = 255
    return lab.convolution_explorer(image)


def test_choosing_a_kernel_changes_numbers_picture_and_text(explorer: lab.Control) -> None:
    before = explorer.image.value
    explorer.choice.value = "Laplacian"
    assert explorer.typed.value == lab.KERNELS["Laplacian"]
    assert explorer.image.value != before
    assert bytes(explorer.image.value).startswith(b"\x89PNG")
    assert "[0 1 0; 1 -4 1; 0 1 0]" in explorer.text.value
    assert explorer.image.tooltip == explorer.picture.alt
    assert "Laplacian kernel" in explorer.picture.alt


def test_typing_a_kernel(explorer: lab.Control) -> None:
    explorer.typed.value = "1 0 -1; 2 0 -2; 1 0 -1"
    assert explorer.choice.value == TYPED
    assert "from -4 to 4" in explorer.picture.alt  # at the right border, bright meets the zeros outside
    explorer.typed.value = lab.KERNELS["blur"]
    assert explorer.choice.value == "blur"


def test_a_slip_of_the_pen_is_explained_and_changes_nothing(explorer: lab.Control) -> None:
    before = explorer.image.value
    explorer.typed.value = "1 0 <b>"
    assert "is not a number. Allowed" in explorer.message.value
    assert lab.ERROR_CLASS in explorer.message._dom_classes
    assert "<b>" not in explorer.message.value  # shown, never interpreted
    assert explorer.image.value == before
    explorer.typed.value = "0 1 0"
    assert explorer.message.value == ""


def test_strength_blends(explorer: lab.Control) -> None:
    explorer.choice.value = "blur"
    explorer.strength.value = 0.0
    untouched = explorer.picture.axes[2].images[0].get_array()
    assert np.unique(untouched).tolist() == [0, 255]
    explorer.strength.value = 0.5
    assert "at strength 0.50" in explorer.picture.alt
    assert len(np.unique(explorer.picture.axes[2].images[0].get_array())) > 2


def test_start_from_a_typed_kernel() -> None:
    control = lab.convolution_explorer(np.zeros((8, 8)), "0 1 0")
    assert control.choice.value == TYPED
    with pytest.raises(InvalidInputError, match="'sobel' is not a number"):
        lab.convolution_explorer(np.zeros((8, 8)), "sobel")


def test_an_error_in_a_callback_is_shown_and_raised(explorer: lab.Control, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("no <ink> left")

    monkeypatch.setattr(explorer, "_draw", broken)
    with pytest.raises(RuntimeError, match="no <ink> left"):
        explorer.strength.value = 0.3
    assert "RuntimeError: no &lt;ink&gt; left" in explorer.message.value


# ---------------------------------------------------------------- what is displayed


def test_one_bundle_holds_widgets_still_and_text(explorer: lab.Control) -> None:
    data, metadata = explorer._repr_mimebundle_()
    assert set(data) == {WIDGET, "image/png", "text/plain"}
    assert data[WIDGET]["model_id"] == explorer.box.model_id
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert data["text/plain"] == metadata["image/png"]["alt"] == explorer.picture.alt


@pytest.mark.usefixtures("headless")
def test_a_stored_page_promises_no_widgets(explorer: lab.Control) -> None:
    assert set(explorer._repr_mimebundle_()[0]) == {"image/png", "text/plain"}


def test_the_live_image_has_a_fixed_height(explorer: lab.Control) -> None:
    height = explorer.image.layout.height
    explorer.choice.value = "emboss"
    assert explorer.image.layout.height == height == f"{explorer.picture.css_size()[1]}px"


# ---------------------------------------------------------------- training, for real


@pytest.mark.usefixtures("headless")
def test_headless_the_run_is_made_at_once(data: Dataset) -> None:
    control = lab.short_training(data, LINE, RECIPE)
    history = control.run.progress.history
    assert [epoch.epoch for epoch in history.epochs] == [1, 2]
    assert history.recipe.dropout == 0.25
    assert len(control.run.progress.batch_loss) == 4  # 12 images in batches of 6, twice
    assert f"development loss {history.last.validation_loss:.2f}" in control.picture.alt
    assert "Finished: 2 of 2 epochs at learning rate 0.001, dropout 0.25" in control.text.value
    assert not control.worker.busy


def test_in_the_background_it_is_the_same_run(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    control = lab.short_training(data, LINE, RECIPE)
    assert control.run.progress.history is None  # nothing happens before the button is pressed
    assert "press Restart" in control.picture.alt
    first = control.image.value
    control.learning_rate.value, control.dropout.value = 0.01, 0.5
    control.restart_button.click()
    control.join(PATIENCE)
    there = control.run.progress.history
    assert control.image.value != first
    assert (there.recipe.learning_rate, there.recipe.dropout) == (0.01, 0.5)

    monkeypatch.setenv(lab.VARIABLE, "1")
    here = lab.short_training(data, LINE, Recipe(epochs=2, batch=6, dropout=0.5, learning_rate=0.01))
    assert here.run.progress.history.column("validation_loss") == there.column("validation_loss")
    assert here.run.progress.batch_loss == control.run.progress.batch_loss


def test_a_restart_keeps_the_earlier_runs_to_compare_with(data: Dataset) -> None:
    control = lab.short_training(data, LINE, RECIPE)
    histories = []
    for dropout in (0.0, 0.3, 0.6, 0.9):
        control.dropout.value = dropout
        control.restart()
        control.join(PATIENCE)
        histories.append(control.run.progress.history)
    assert control.run.earlier == histories[1:3]
    grey = [line for line in control.picture.axes[0].get_lines() if line.get_linestyle() == "--"]
    assert len(grey) == 3


@pytest.mark.usefixtures("headless")
def test_a_diverging_run_is_red_when_headless(data: Dataset) -> None:
    with pytest.raises(TrainingError, match="epoch 1, step 2"):
        lab.short_training(data, LINE, Recipe(epochs=2, batch=6, optimizer="sgd", learning_rate=1.0, l2=1e30))


def test_a_diverging_run_is_explained_in_the_widget_and_raised_by_join(data: Dataset) -> None:
    control = lab.short_training(data, LINE, Recipe(epochs=2, batch=6, optimizer="sgd", learning_rate=1.0, l2=1e30))
    control.restart()
    with pytest.raises(TrainingError, match="the update was not applied"):
        control.join(PATIENCE)
    assert "Lower the learning rate" in control.message.value
    assert control.run.status == "failed"
    assert "Failed: 0 of 2 epochs" in control.picture.alt
    control.join(PATIENCE)  # raised once
    control.recipe = RECIPE
    control.learning_rate.value = 1e-3
    control.restart()
    control.join(PATIENCE)
    assert control.message.value == ""
    assert control.run.status == "finished"


def test_bad_arguments_fail_at_once(data: Dataset) -> None:
    with pytest.raises(InvalidInputError, match="model_1"):
        lab.short_training(data, "model_9")
    with pytest.raises(InvalidInputError, match="epochs"):
        lab.short_training(data, LINE, epochs=0)


def test_small_data_is_balanced_and_not_larger_than_asked(data: Dataset) -> None:
    control = lab.short_training(data, LINE, per_class=2)
    assert np.bincount(control.data.train.targets).tolist() == [2, 2, 2]
    assert np.bincount(control.data.development.targets).tolist() == [2, 2, 2]
    assert len(lab.short_training(data, LINE, per_class=99).data.train) == 12
    assert lab.short_training(data, LINE, per_class=None).data is data


def test_epochs_are_the_recipe_s_unless_given(data: Dataset) -> None:
    assert lab.short_training(data, LINE).recipe.epochs == 8
    assert lab.short_training(data, LINE, RECIPE).recipe.epochs == 2
    assert lab.short_training(data, LINE, RECIPE, epochs=3).recipe == replace(RECIPE, epochs=3)


# ---------------------------------------------------------------- controller and thread, with a made-up run


class Scripted:
    """A run that stands still before each step until it is let go; no clock is involved."""

    def __init__(self, steps: int = 3, error: Exception | None = None) -> None:
        self.history, self.batches = SimpleNamespace(epochs=[], column=lambda name: []), [None] * steps
        self.arrived, self.go, self.error, self.finished = threading.Event(), threading.Event(), error, False

    def steps(self) -> Iterator[Step]:
        for number in range(1, len(self.batches) + 1):
            self.arrived.set()
            assert self.go.wait(PATIENCE)
            if self.error is not None:
                raise self.error
            yield Step(1, number, 1.0 / number, 0.5, 1e-3)
        self.finished = True


KNOBS = Knobs(1e-3, 0.25)


def test_stop_ends_a_run_at_the_next_batch() -> None:
    scripted, reports = Scripted(), []
    run = ShortRun(lambda knobs: scripted, lambda run, due: reports.append((run.status, due)))
    worker = Worker()
    worker.start(lambda stop: run(KNOBS, stop))
    assert scripted.arrived.wait(PATIENCE)
    worker.stop()
    scripted.go.set()
    worker.join(PATIENCE)
    assert run.progress.batch_loss == [1.0]
    assert reports == [("running", True), ("stopped", True)]
    assert not worker.busy


def test_one_run_at_a_time() -> None:
    running, most, scripts = [], [], [Scripted(), Scripted()]

    def job(scripted: Scripted) -> object:
        def work(stop: threading.Event) -> None:
            running.append(scripted)
            most.append(len(running))
            ShortRun(lambda knobs: scripted, lambda run, due: None)(KNOBS, stop)
            running.remove(scripted)

        return work

    worker = Worker()
    worker.start(job(scripts[0]))
    assert scripts[0].arrived.wait(PATIENCE)
    second = threading.Thread(target=worker.start, args=(job(scripts[1]),))
    second.start()  # waits for the first run, which stands still
    assert not scripts[1].arrived.is_set()
    scripts[0].go.set()
    second.join(PATIENCE)
    assert scripts[1].arrived.wait(PATIENCE)
    scripts[1].go.set()
    worker.join(PATIENCE)
    assert most == [1, 1]
    assert scripts[1].finished
    assert not scripts[0].finished


def test_whatever_the_thread_raises_comes_out_of_join_once() -> None:
    scripted = Scripted(error=KeyError("lost"))
    scripted.go.set()
    run = ShortRun(lambda knobs: scripted, lambda run, due: None)
    worker = Worker()
    worker.start(lambda stop: run(KNOBS, stop))
    with pytest.raises(KeyError, match="lost"):
        worker.join(PATIENCE)
    assert run.status == "failed"
    worker.join(PATIENCE)


def test_joining_nothing_is_fine() -> None:
    Worker().stop()
    Worker().join()


def test_redraws_are_at_most_two_a_second(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that a test sets: a drawing costs 0.01 s, a batch 0.1 s."""
    clock, shown = [100.0], []
    control = lab.short_training(data, LINE, RECIPE)
    monkeypatch.setattr(short.time, "monotonic", lambda: clock[0])

    def draw() -> object:
        clock[0] += 0.01
        shown.append(clock[0])
        return control.picture

    monkeypatch.setattr(control, "_draw", draw)
    control._report(control.run, True)
    for _ in range(50):
        clock[0] += 0.1
        control._report(control.run, False)
    assert 8 <= len(shown) <= 11  # in 5 s
    assert min(np.diff(shown)) >= 0.5
    control._report(control.run, True)  # start and end are always drawn
    assert len(shown) <= 12


def test_costly_drawing_leaves_time_for_training(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, shown = [100.0], []
    control = lab.short_training(data, LINE, RECIPE)
    monkeypatch.setattr(short.time, "monotonic", lambda: clock[0])

    def draw() -> object:
        clock[0] += 1.0
        shown.append(clock[0])
        return control.picture

    monkeypatch.setattr(control, "_draw", draw)
    for _ in range(300):
        clock[0] += 0.1
        control._report(control.run, False)
    assert len(shown) * 1.0 <= 0.25 * (clock[0] - 100)


def test_an_error_while_drawing_is_shown_and_raised(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    control = lab.short_training(data, LINE, RECIPE)

    def broken() -> None:
        raise ZeroDivisionError("in the picture")

    monkeypatch.setattr(control, "_draw", broken)
    control.restart()
    with pytest.raises(ZeroDivisionError, match="in the picture"):
        control.join(PATIENCE)
    assert "ZeroDivisionError: in the picture" in control.message.value
