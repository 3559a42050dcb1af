"""The notation: every valid line survives the round trip, every bad one is named with its place."""

import contextlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tinylab.models import notation
from tinylab.support.errors import InvalidInputError

probabilities = st.floats(0, 0.999, allow_nan=False).filter(lambda p: p not in (0.25, 0.5))
convolutions = st.builds("conv{}-{}".format, st.sampled_from([1, 3, 5, 7]), st.integers(1, 9))
between = st.one_of(
    st.sampled_from(["relu", "dropout", "batch norm"]),
    st.builds(lambda p: f"dropout({p!r})", probabilities),
)
fully_connected = st.builds("fc({})".format, st.integers(1, 50))


@st.composite
def lines(draw: st.DrawFn, classes: int) -> str:
    """Any valid line: maps first (at most four pools, for 16×16 images), then vectors, then softmax."""
    maps = draw(st.lists(st.one_of(convolutions, between, st.just("max pool")), max_size=8))
    pools = [i for i, layer in enumerate(maps) if layer == "max pool"]
    maps = [layer for i, layer in enumerate(maps) if i not in pools[4:]]
    vectors = draw(st.lists(st.one_of(fully_connected, between), max_size=6))
    while vectors and vectors[-1].startswith("fc"):
        vectors.pop()
    last = draw(st.sampled_from([[], [f"fc({classes})"]]))
    return " - ".join([*maps, *vectors, *last, "softmax"])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_round_trip(data: st.DataObject) -> None:
    classes = data.draw(st.integers(2, 30))
    line = data.draw(lines(classes))
    model = notation.parse(line, classes=classes, size=16)
    printed = notation.format(model)
    assert printed == line
    twin = notation.parse(printed, classes=classes, size=16)
    assert notation.format(twin) == printed
    assert str(twin) == str(model)  # the same modules with the same settings under the same names
    assert model.eval()(torch.zeros(1, 3, 16, 16)).shape == (1, classes)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_written_differently_means_the_same(data: st.DataObject) -> None:
    line = data.draw(lines(5))
    gap = data.draw(st.sampled_from([" - ", "  -  ", "\n - ", " – ", " —\n"]))
    other = gap.join(line.split(" - ")).replace("max pool", "Max  Pool").replace("relu", "reLu")
    assert notation.format(notation.parse(other, classes=5, size=16)) == line


def test_names_tell_the_layer() -> None:
    model = notation.parse("conv3-4 - relu - conv3-4 - relu - max pool - dropout(0.3) - fc(8) - softmax", classes=8)
    assert [name for name, _ in model.named_children()] == [
        "conv3-4",
        "relu",
        "conv3-4_2",
        "relu_2",
        "max pool",
        "dropout",
        "flatten",
        "fc(8)",
    ]
    implied = notation.parse("conv03-04 - relu - softmax", classes=8)
    assert [name for name, _ in implied.named_children()] == ["conv3-4", "relu", "flatten", "softmax: fc(8)"]


def test_a_line_of_softmax_alone_is_a_linear_classifier() -> None:
    model = notation.parse("softmax", classes=7, size=4)
    assert [type(layer) for layer in model] == [nn.Flatten, nn.Linear]
    assert model(torch.zeros(2, 3, 4, 4)).shape == (2, 7)


def test_dropout_defaults_depend_on_the_place() -> None:
    line = "dropout - conv3-4 - max pool - dropout - fc(8) - relu - dropout - softmax"
    model = notation.parse(line, size=8)
    assert [layer.p for layer in model if isinstance(layer, nn.Dropout)] == [0.25, 0.25, 0.5]
    swapped = notation.parse("dropout(0.25) - fc(8) - dropout(0.25) - softmax", size=8)
    assert notation.format(swapped) == "dropout - fc(8) - dropout(0.25) - softmax"


def test_the_same_padding_keeps_height_and_width() -> None:
    for kernel in (1, 3, 5, 7):
        model = notation.parse(f"conv{kernel}-2 - softmax", size=9)
        assert model[0](torch.zeros(1, 3, 9, 9)).shape == (1, 2, 9, 9)


def test_pooling_rounds_odd_sizes_down() -> None:
    assert notation.parse("max pool - softmax", size=9, classes=2)(torch.zeros(1, 3, 9, 9)).shape == (1, 2)


def test_the_last_fc_means_the_number_of_classes() -> None:
    for written in (200, 10):  # the report's number, or the right one
        model = notation.parse(f"fc({written}) - softmax", classes=10, size=4)
        assert model[-1].out_features == 10
        assert notation.format(model) == "fc(10) - softmax"


def test_batch_norm_follows_what_flows_through_it() -> None:
    model = notation.parse("conv3-6 - batch norm - fc(9) - batch norm - softmax", size=4)
    kinds = [(type(m), m.num_features) for m in model if isinstance(m, nn.BatchNorm2d | nn.BatchNorm1d)]
    assert kinds == [(nn.BatchNorm2d, 6), (nn.BatchNorm1d, 9)]


BAD = [
    ("conv3-32 - relo - softmax", r"layer 2 'relo' \(character 12 of the line\).*did you mean 'relu'"),
    ("conv3-32 - relu - maxpool - softmax", r"layer 3 'maxpool' .*did you mean 'max pool'"),
    ("convv3-32 - softmax", r"layer 1 'convv3-32' .*did you mean 'conv3-32'"),
    ("relu - batchnorm - softmax", r"layer 2 'batchnorm' .*did you mean 'batch norm'"),
    ("relu - drop out - softmax", r"layer 2 'drop out' .*did you mean 'dropout'"),
    ("fc512 - softmax", r"layer 1 'fc512' .*did you mean 'fc\(512\)'"),
    ("relu-max pool - softmax", "Layers stand between ' - '"),
    ("relu - - softmax", "layer 2 ''"),
    ("conv4-32 - softmax", "even kernel.*conv5-32"),
    ("conv33-2 - softmax", "odd, up to 31"),
    ("conv3-0 - softmax", "0 units"),
    ("fc(0) - relu - softmax", "0 units"),
    ("fc(999999999) - relu - softmax", "999999999 units"),
    ("fc(60000) - relu - softmax", "weights"),
    ("fc(12) - softmax", "10 classes.*fc\\(10\\)"),
    ("fc(8) - conv3-8 - softmax", "layer 2 'conv3-8' .*first fc"),
    ("fc(8) - max pool - softmax", "layer 2 'max pool' .*first fc"),
    (" - ".join(["max pool"] * 7 + ["softmax"]), "layer 7 'max pool' .*1×1"),
    ("dropout(1) - softmax", "0 ≤ p < 1"),
    ("dropout(-0.1) - softmax", "0 ≤ p < 1"),
    ("dropout(nan) - softmax", "0 ≤ p < 1"),
    ("dropout() - softmax", "0 ≤ p < 1"),
    ("dropout(half) - softmax", "0 ≤ p < 1"),
    ("conv3-4 - relu", "ends in 'relu'.*' - softmax'"),
    ("softmax - relu - softmax", "layer 1 'softmax'"),
    ("", "is empty"),
    ("   ", "is empty"),
    (None, "is text"),
]


@pytest.mark.parametrize(("line", "message"), BAD)
def test_a_bad_line_names_token_place_and_remedy(line: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as caught:
        notation.parse(line, classes=10)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=40))
@settings(max_examples=100, deadline=None)
def test_any_text_gives_a_network_or_one_clear_line(text: str) -> None:
    for line in (text, f"{text} - softmax"):
        with contextlib.suppress(InvalidInputError):
            assert notation.parse(line, size=8)(torch.zeros(2, 3, 8, 8)).shape == (2, 200)


@pytest.mark.parametrize("settings_", [{"classes": 1}, {"classes": 2.0}, {"classes": True}, {"size": 0}])
def test_impossible_settings(settings_: dict[str, int]) -> None:
    with pytest.raises(InvalidInputError, match=next(iter(settings_))):
        notation.parse("softmax", **settings_)


def test_a_module_without_a_name_in_the_notation() -> None:
    with pytest.raises(InvalidInputError, match="Sigmoid"):
        notation.format(nn.Sequential(nn.Sigmoid()))
