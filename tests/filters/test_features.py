"""Feature maps, the images a channel answers to most, filters through time: against brute force."""

import numpy as np
import pytest
import torch

from tests import tiny
from tests.filters.test_address import state
from tinylab import filters
from tinylab.filters import features
from tinylab.support.errors import InvalidInputError

LINE = "conv3-4 - relu - max pool - conv3-6 - batch norm - relu - dropout - fc(8) - relu - softmax"
DATA = tiny.dataset()


def test_feature_maps_are_the_values_before_the_relu() -> None:
    model = tiny.network(line=LINE).train()
    before = state(model)
    images = DATA.validation.take(slice(0, 3))[0]
    maps = filters.feature_maps(model, images, DATA.normalisation, 4)
    assert maps.dtype == np.float32
    assert maps.shape == (3, 6, 8, 8)
    assert maps.min() < 0
    x = torch.from_numpy((images - DATA.normalisation.mean.astype(float)) / DATA.normalisation.scale)
    double = tiny.network(line=LINE).double().eval()
    with torch.no_grad():
        expected = double[3](double[2](double[1](double[0](x.permute(0, 3, 1, 2)))))
    assert maps == pytest.approx(expected.numpy(), abs=1e-4)
    assert state(model) == before


def test_feature_maps_need_images() -> None:
    for images, says in ((np.zeros((16, 16, 3), np.uint8), "16, 3"), (np.zeros((0, 16, 16, 3), np.uint8), "no image")):
        with pytest.raises(InvalidInputError, match=says):
            filters.feature_maps(tiny.network(), images, DATA.normalisation, 1)


def test_top_images_against_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "EVALUATION_BATCH", 7)  # several batches, the last one smaller
    model = tiny.network(line=LINE)
    top = filters.top_images(model, DATA.validation, DATA.normalisation, "conv3-6", count=3)
    images = DATA.validation.take(slice(None))[0]
    maps = filters.feature_maps(model, images, DATA.normalisation, "conv3-6")
    for channel in range(6):
        best = sorted(range(len(images)), key=lambda row: -maps[row, channel].max())[:3]
        assert top.rows[channel].tolist() == best
        for rank, row in enumerate(best):
            one = maps[row, channel]
            assert tuple(top.places[channel, rank]) == np.unravel_index(one.argmax(), one.shape)
            assert top.values[channel, rank] == pytest.approx(one.max(), rel=1e-4)
    assert top.field == filters.Field(8, 2, -3)
    row, column = top.places[2, 1]
    assert top.box(2, 1) == (2 * row - 3, 2 * column - 3, 2 * row + 5, 2 * column + 5)


def test_what_lies_outside_the_box_does_not_matter() -> None:
    model = tiny.network(line=LINE)
    top = filters.top_images(model, DATA.validation, DATA.normalisation, 4, count=1, channels=[3, 1])
    for position, channel in enumerate((3, 1)):
        image = DATA.validation.take([int(top.rows[position, 0])])[0]
        upper, left, lower, right = (max(value, 0) for value in top.box(position, 0))
        cut = np.zeros_like(image)
        cut[:, upper:lower, left:right] = image[:, upper:lower, left:right]
        maps = filters.feature_maps(model, cut, DATA.normalisation, 4)
        row, column = top.places[position, 0]
        assert maps[0, channel, row, column] == pytest.approx(top.values[position, 0], rel=1e-4)


def test_of_equal_images_the_first() -> None:
    model = tiny.network(line=LINE)
    with torch.no_grad():
        model[0].weight.zero_()
    top = filters.top_images(model, DATA.validation, DATA.normalisation, 1, count=2)
    assert top.rows.tolist() == [[0, 1]] * 4
    assert not top.places.any()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"count": 31}, "count 31 is not possible"),
        ({"channels": [4]}, "channels [4] of layer 1"),
        ({"layer": "fc(8)"}, "sees the whole image"),
    ],
)
def test_top_images_bad_input(arguments: dict[str, object], says: str) -> None:
    wanted: dict[str, object] = {"layer": 1} | arguments
    with pytest.raises(InvalidInputError) as caught:
        filters.top_images(tiny.network(), DATA.validation, DATA.normalisation, **wanted)  # type: ignore[arg-type]
    assert says in str(caught.value)


# ---------------------------------------------------------------- filters, and filters through time


def test_first_filters_are_a_copy() -> None:
    model = tiny.network()
    found = filters.first_filters(model)
    assert found.shape == (4, 3, 3, 3)
    found += 1
    assert filters.first_filters(model) != pytest.approx(found)
    with pytest.raises(InvalidInputError, match="has no convolution"):
        filters.first_filters(tiny.network(line="fc(4) - relu - softmax"))


def test_alike_is_the_median_correlation() -> None:
    """Of three filters one stays, one is turned over, one is only brighter: 1, -1 and 1."""
    before = torch.arange(12.0).square().reshape(3, 1, 2, 2)
    after = before * torch.tensor([1.0, -2.0, 3.0]).view(3, 1, 1, 1) + 5
    assert filters.alike(before, after) == pytest.approx(1.0)
    assert filters.alike(before[1:2], after[1:2]) == pytest.approx(-1.0)
