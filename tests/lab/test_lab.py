"""Controls: the same controller headless and in the background, one run at a time, no error lost."""

import base64
from types import SimpleNamespace

import numpy as np
import pytest

from tinylab import lab
from tinylab.data import Dataset, Split
from tinylab.lab.control import ERROR_CLASS, Control
from tinylab.lab.convolution import KERNELS, TYPED, convolve, parse_kernel
from tinylab.support import notebook
from tinylab.support.errors import InvalidInputError
from tinylab.support.notebook import VARIABLE
from tinylab.training import Recipe

PATIENCE = 60  # seconds until a hanging thread fails a test; never waited for otherwise
LINE = "conv3-2 - relu - max pool - dropout - softmax"
WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(autouse=True)
def _live(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a notebook that somebody sits at, unless a test says otherwise."""
    monkeypatch.setenv(VARIABLE, "0")


@pytest.fixture
def headless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "1")


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
    monkeypatch.setenv(VARIABLE, value)
    assert notebook.headless() is expected


def test_without_a_kernel_it_is_headless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE)
    assert notebook.headless()
    monkeypatch.setattr("tinylab.support.notebook.get_ipython", lambda: SimpleNamespace(kernel=object()))
    assert not notebook.headless()


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
    parsed = parse_kernel(text)
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
        parse_kernel(text)
    assert says in str(caught.value)
    assert "Allowed" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_named_kernel_parses() -> None:
    sums = {name: parse_kernel(text).sum() for name, text in KERNELS.items()}
    assert {name for name, total in sums.items() if abs(total) < 1e-12} == {"Sobel x", "Sobel y", "Laplacian"}
    assert all(abs(total - 1) < 1e-12 for name, total in sums.items() if "Sobel" not in name and name != "Laplacian")


def test_convolve_against_sums_written_out() -> None:
    random = np.random.default_rng(0)
    image, kernel = random.normal(size=(6, 7)), random.normal(size=(3, 5))
    padded = np.pad(image, ((1, 1), (2, 2)))
    expected = [[(padded[r : r + 3, c : c + 5] * kernel).sum() for c in range(7)] for r in range(6)]
    assert convolve(image, kernel) == pytest.approx(np.array(expected), abs=1e-12)


@pytest.fixture
def explorer() -> Control:
    """A vertical edge: dark on the left, bright on the right."""
    image = np.zeros((16, 16, 3), np.uint8)
    image[:, 8:] = 255
    return lab.convolution_explorer(image)


def test_choosing_a_kernel_changes_numbers_picture_and_text(explorer: Control) -> None:
    before = explorer.image.value
    explorer.choice.value = "Laplacian"
    assert explorer.typed.value == KERNELS["Laplacian"]
    assert explorer.image.value != before
    assert bytes(explorer.image.value).startswith(b"\x89PNG")
    assert "[0 1 0; 1 -4 1; 0 1 0]" in explorer.text.value
    assert explorer.image.tooltip == explorer.picture.alt
    assert "Laplacian kernel" in explorer.picture.alt


def test_typing_a_kernel(explorer: Control) -> None:
    explorer.typed.value = "1 0 -1; 2 0 -2; 1 0 -1"
    assert explorer.choice.value == TYPED
    assert "from -4 to 4" in explorer.picture.alt  # at the right border, bright meets the zeros outside
    explorer.typed.value = KERNELS["blur"]
    assert explorer.choice.value == "blur"


def test_a_slip_of_the_pen_is_explained_and_changes_nothing(explorer: Control) -> None:
    before = explorer.image.value
    explorer.typed.value = "1 0 <b>"
    assert "is not a number. Allowed" in explorer.message.value
    assert ERROR_CLASS in explorer.message._dom_classes
    assert "<b>" not in explorer.message.value  # shown, never interpreted
    assert explorer.image.value == before
    explorer.typed.value = "0 1 0"
    assert explorer.message.value == ""


def test_strength_blends(explorer: Control) -> None:
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


def test_an_error_in_a_callback_is_shown_and_raised(explorer: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("no <ink> left")

    monkeypatch.setattr(explorer, "_draw", broken)
    with pytest.raises(RuntimeError, match="no <ink> left"):
        explorer.strength.value = 0.3
    assert "RuntimeError: no &lt;ink&gt; left" in explorer.message.value


# ---------------------------------------------------------------- what is displayed


def test_one_bundle_holds_widgets_still_and_text(explorer: Control) -> None:
    data, metadata = explorer._repr_mimebundle_()
    assert set(data) == {WIDGET, "image/png", "text/plain"}
    assert data[WIDGET]["model_id"] == explorer.box.model_id
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert data["text/plain"] == metadata["image/png"]["alt"] == explorer.picture.alt


@pytest.mark.usefixtures("headless")
def test_a_stored_page_promises_no_widgets(explorer: Control) -> None:
    assert set(explorer._repr_mimebundle_()[0]) == {"image/png", "text/plain"}


def test_the_live_image_has_a_fixed_height(explorer: Control) -> None:
    height = explorer.image.layout.height
    explorer.choice.value = "emboss"
    assert explorer.image.layout.height == height == f"{explorer.picture.css_size()[1]}px"
