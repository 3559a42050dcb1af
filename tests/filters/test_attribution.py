"""Grad-CAM against its definition written out, the all-zero map, and what must be left as it was."""

import numpy as np
import pytest
import torch

from tests import tiny
from tests.filters.test_address import state
from tests.filters.test_maximise import Broken
from tinylab import filters
from tinylab.support.errors import InvalidInputError

LINE = "conv3-4 - relu - max pool - conv3-6 - relu - max pool - dropout - fc(8) - relu - softmax"
DATA = tiny.dataset()
IMAGES = DATA.validation.take(slice(0, 4))[0]


@pytest.mark.parametrize(("layer", "size"), [(1, (16, 16)), ("conv3-6", (8, 8)), (6, (4, 4))])
def test_against_the_definition(layer: int | str, size: tuple[int, int]) -> None:
    model = tiny.network(line=LINE)
    cam = filters.grad_cam(model, IMAGES, DATA.normalisation, layer, classes=[0, 1, 2, 1])
    double = tiny.network(line=LINE).double().eval()
    number = filters.find(model, layer).number
    x = torch.from_numpy((IMAGES - DATA.normalisation.mean.astype(float)) / DATA.normalisation.scale)
    maps = double[:number](x.permute(0, 3, 1, 2)).detach().requires_grad_()
    logits = double[number:](maps)
    (gradient,) = torch.autograd.grad(sum(logits[i, c] for i, c in enumerate([0, 1, 2, 1])), maps)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    expected = (weights * maps).sum(dim=1).relu()
    assert cam.maps.shape[1:] == size
    assert cam.maps == pytest.approx(expected.detach().numpy(), abs=1e-5)
    assert cam.maps.max() > 0


def test_without_classes_the_answer_is_explained() -> None:
    model = tiny.network(line=LINE)
    cam = filters.grad_cam(model, IMAGES, DATA.normalisation, 4)
    with torch.no_grad():
        answers = model.eval()(DATA.normalisation.apply(IMAGES)).argmax(dim=1)
    assert cam.classes.tolist() == answers.tolist()


def test_an_all_zero_map_stays_zero() -> None:
    model = tiny.network(line=LINE)
    with torch.no_grad():  # relu of the last fc(8) is silent: no gradient reaches the maps
        model[8].bias.fill_(-1000.0)
    cam = filters.grad_cam(model, IMAGES, DATA.normalisation, 4)
    assert not cam.maps.any()
    assert not cam.relative().any()
    assert np.isfinite(cam.relative()).all()


def test_relative_is_per_image() -> None:
    maps = np.array([[[0.0, 2.0]], [[0.0, 0.0]], [[0.1, 0.05]]], dtype=np.float32)
    cam = filters.Cam(filters.Address(1, "conv"), np.zeros(3, int), maps)
    assert cam.relative() == pytest.approx(np.array([[[0, 1]], [[0, 0]], [[1, 0.5]]]))


def test_modes_flags_and_hooks_are_left_alone() -> None:
    model = tiny.network(line=LINE).train()
    model[0].weight.requires_grad_(False)
    before = state(model)
    filters.grad_cam(model, IMAGES, DATA.normalisation, 4)
    assert state(model) == before


@pytest.mark.parametrize("broken", [1, 4])
def test_hooks_and_modes_are_restored_after_an_error(broken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.network(line=LINE).train()
    model[broken] = once = Broken()
    calls = []

    def forward(x: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if len(calls) > 1:  # not at the first look at the answers, but under captum's hooks
            raise RuntimeError("injected")
        return x.relu()

    monkeypatch.setattr(once, "forward", forward)
    before = state(model)
    with pytest.raises(RuntimeError, match="injected"):
        filters.grad_cam(model, IMAGES, DATA.normalisation, 4)
    assert state(model) == before
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"layer": "fc(8)"}, "layer 9, fc(8) has no maps"),
        ({"classes": [0, 1]}, "for 4 images"),
        ({"classes": [0, 1, 2, 3]}, "Allowed: one each, 0 to 2"),
        ({"images": IMAGES[0]}, "images of shape (16, 16, 3)"),
    ],
)
def test_bad_input(arguments: dict[str, object], says: str) -> None:
    model = tiny.network(line=LINE).train()
    before = state(model)
    wanted: dict[str, object] = {"images": IMAGES, "normalisation": DATA.normalisation, "layer": 4} | arguments
    with pytest.raises(InvalidInputError) as caught:
        filters.grad_cam(model, **wanted)  # type: ignore[arg-type]
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert state(model) == before
