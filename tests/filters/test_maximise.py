"""Activation maximisation against what can be known: a linear filter's optimum, steps by hand, batch and single."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests import tiny
from tests.filters.test_address import state
from tinylab import filters
from tinylab.data import Normalisation
from tinylab.filters import METHOD_2016, MODERN, Method, maximise
from tinylab.filters.parametrisation import Image
from tinylab.support.errors import InvalidInputError

SIDE = tiny.SIZE
RANDOM = np.random.default_rng(0)
# a mean image that is not flat and scales that differ, so that forgetting either shows
NORMALISATION = Normalisation(RANDOM.uniform(60, 190, (SIDE, SIDE, 3)), np.array([40.0, 60.0, 90.0]))
BASIS = np.array([[0.3, 0.1, 0.1], [0.1, 0.3, 0.1], [0.1, 0.1, 0.3]])
QUICK = replace(MODERN, steps=4)
LINE = "conv3-4 - relu - conv3-6 - batch norm - relu - max pool - dropout - fc(8) - relu - softmax"


def whole_image_filter(side: int = SIDE) -> nn.Sequential:
    """One convolution as large as the image: its value is a single sum, so the best image is known."""
    conv = nn.Conv2d(3, 2, side)
    down, across = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    waves = [np.cos(2 * np.pi * (2 * across + 0.3) / side), np.sin(2 * np.pi * (down + across + 0.3) / side)]
    colours = np.array([[1.0, 0.9, 0.8], [0.8, 0.9, 1.0]])  # nearly grey, so that no mixture of colours turns a sign
    weights = np.stack([c[:, None, None] * wave for c, wave in zip(colours, waves, strict=True)])
    with torch.no_grad():
        conv.weight.copy_(torch.from_numpy(0.05 * weights))
        conv.bias.zero_()
    return nn.Sequential(conv)


# along the gradient the filter itself appears; Adam moves every wave alike, also those that hardly matter, and a
# filter of a single wave is the hardest for it
@pytest.mark.parametrize(
    ("method", "alike", "height"),
    [
        (replace(METHOD_2016, before_relu=True), 0.99, 0.1),
        (replace(METHOD_2016, before_relu=True, steps=60), 0.99, 0.3),
        (replace(METHOD_2016, before_relu=True, bounded=True, adam=True, steps=60, rate=0.05), 0.99, 0.8),
        (replace(MODERN, adam=False, rate=10.0, colours=False, robust=False, steps=5), 0.9, 0.2),
        (replace(MODERN, adam=False, rate=10.0, robust=False, steps=5), 0.9, 0.2),
        (replace(MODERN, adam=False, rate=10.0, steps=5), 0.75, 0.2),
        (replace(MODERN, colours=False, robust=False, steps=60), 0.6, 0.5),
        (replace(MODERN, steps=60), 0.6, 0.5),
    ],
    ids=["2016", "2016, longer", "Adam", "waves", "colours", "shaken", "Adam on waves", "modern"],
)
def test_a_linear_filter_is_found(method: Method, alike: float, height: float) -> None:
    side = 64 if method.robust else SIDE  # the shaking is made for 64×64
    model = whole_image_filter(side)
    mean = np.resize(NORMALISATION.mean, (side, side, 3))
    normalisation = Normalisation(mean, NORMALISATION.scale)
    start = Image(
        [0, 1],
        side,
        side,
        fourier=method.fourier,
        basis=BASIS if method.colours else None,
        bounded=method.bounded,
        seed=0,
        device=torch.device("cpu"),
    )
    before = start.pixels().detach().permute(0, 2, 3, 1).numpy()
    found = maximise(model, normalisation, 1, method=method, colours=BASIS)
    weights = model[0].weight.detach().permute(0, 2, 3, 1).numpy() / NORMALISATION.scale  # (N, H, W, 3)
    # the steepest way is along the weights; the best of all images within 0..255 is black and white
    best = np.sign(weights) if method.adam else weights
    for channel in (0, 1):
        moved = (found.images - before)[channel].ravel()
        assert np.corrcoef(moved, best[channel].ravel())[0, 1] > alike
    seen = (found.images - normalisation.mean) / normalisation.scale
    values = np.einsum("nhwc,nchw->n", seen, model[0].weight.detach().numpy())
    assert found.values == pytest.approx(values, rel=1e-3)
    ends = 127.5 * np.ones_like(weights), 127.5 * (1 + np.sign(weights))
    grey, top = ((weights * (image - normalisation.mean)).sum(axis=(1, 2, 3)) for image in ends)
    share = (found.values - grey) / (top - grey)
    assert (share > height).all()


def test_one_step_of_2016_by_hand() -> None:
    model = whole_image_filter()
    start = Image([0], SIDE, SIDE, fourier=False, basis=None, bounded=False, seed=5, device=torch.device("cpu"))
    before = start.pixels().detach()[0].numpy()
    method = replace(METHOD_2016, before_relu=True, steps=1, rate=3.0, seed=5)
    found = maximise(model, NORMALISATION, 1, channels=[0], method=method).images[0].transpose(2, 0, 1)
    gradient = model[0].weight.detach().numpy()[0] / NORMALISATION.scale[:, None, None]
    step = 3.0 * gradient / np.sqrt(np.square(gradient).mean())  # pixel units
    assert found - before == pytest.approx(step, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("method", [METHOD_2016, QUICK])
def test_all_channels_in_one_batch_equal_one_by_one(method: Method) -> None:
    model = tiny.network(line=LINE)
    together = maximise(model, NORMALISATION, 3, method=method, colours=BASIS)
    assert together.images.shape == (6, SIDE, SIDE, 3)
    for channel in (0, 4):
        alone = maximise(model, NORMALISATION, 3, channels=[channel], method=method, colours=BASIS)
        assert alone.images[0] == pytest.approx(together.images[channel], abs=0.05)
        assert alone.values[0] == pytest.approx(together.values[channel], rel=1e-3, abs=1e-4)


def test_no_steps_give_the_random_start() -> None:
    found = maximise(whole_image_filter(), NORMALISATION, 1, method=replace(METHOD_2016, steps=0))
    assert np.abs(found.images - 127.5).max() < 10.01
    assert found.images.std() > 5


def test_it_climbs_and_may_be_repeated() -> None:
    model = tiny.network(line=LINE)
    few, many = (maximise(model, NORMALISATION, 3, method=replace(QUICK, steps=n), colours=BASIS) for n in (1, 30))
    assert (many.values > few.values).all()
    torch.manual_seed(3)
    untouched = torch.random.get_rng_state()
    again = maximise(model, NORMALISATION, 3, method=replace(QUICK, steps=1), colours=BASIS)
    assert np.array_equal(again.images, few.images)
    assert torch.equal(torch.random.get_rng_state(), untouched)
    other = maximise(model, NORMALISATION, 3, method=replace(QUICK, steps=1, seed=1), colours=BASIS)
    assert not np.array_equal(other.images, few.images)


def test_a_unit_of_a_fully_connected_layer() -> None:
    found = maximise(tiny.network(line=LINE), NORMALISATION, "softmax: fc(3)", method=QUICK, colours=BASIS)
    assert found.images.shape == (3, SIDE, SIDE, 3)
    assert str(found.address) == "layer 11, softmax: fc(3)"


def test_a_dead_channel_stays_as_it_was_after_the_relu_but_not_before_it() -> None:
    model = tiny.network(line=LINE)
    with torch.no_grad():
        model[0].bias.fill_(-100.0)
    noise = maximise(model, NORMALISATION, 1, method=replace(METHOD_2016, steps=1)).images
    after = maximise(model, NORMALISATION, 1, method=METHOD_2016).images
    before = maximise(model, NORMALISATION, 1, method=replace(METHOD_2016, before_relu=True)).images
    assert np.array_equal(after, noise)
    assert np.abs(before - noise).max() > 5


def test_before_the_relu_the_mean_does_not_know_where_in_the_kernel_weights_stand() -> None:
    model = tiny.network(line=LINE)
    x = NORMALISATION.apply(RANDOM.integers(0, 256, (1, SIDE, SIDE, 3), dtype=np.uint8))
    middle = []
    for flip in (False, True):
        if flip:
            with torch.no_grad():
                model[2].weight.copy_(model[2].weight.flip(2, 3))
        x = x.detach().requires_grad_()
        filters.up_to(model, 3)(x)[0, 1].mean().backward()
        middle.append(x.grad[..., 4:-4, 4:-4].clone())
        x.grad = None
    assert torch.allclose(*middle, atol=1e-6)


def test_modes_flags_and_hooks_are_left_alone() -> None:
    line = LINE.replace("batch norm", "dropout - batch norm")
    model, evaluated = tiny.network(line=line).train(), tiny.network(line=line).eval()
    model[0].eval()
    model[0].weight.requires_grad_(False)
    running = model[4].running_mean.clone()
    before = state(model)
    method = replace(QUICK, seed=2)
    found = maximise(model, NORMALISATION, "fc(8)", method=method, colours=BASIS)  # behind dropout and batch norm
    assert state(model) == before
    assert torch.equal(model[4].running_mean, running)
    assert all(parameter.grad is None for parameter in model.parameters())
    expected = maximise(evaluated, NORMALISATION, "fc(8)", method=method, colours=BASIS)
    assert found.images == pytest.approx(expected.images, abs=0.05)


class Broken(nn.ReLU):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("injected")


def test_modes_and_flags_are_restored_after_an_error() -> None:
    model = tiny.network(line=LINE).train()
    model[1] = Broken()
    before = state(model)
    with pytest.raises(RuntimeError, match="injected"):
        maximise(model, NORMALISATION, 3, method=QUICK, colours=BASIS)
    assert state(model) == before


def test_the_ladder_takes_one_step_at_a_time() -> None:
    rungs = filters.ladder()
    methods = list(rungs.values())
    assert next(iter(rungs)) == "as of 2016"
    assert methods[0] == METHOD_2016
    assert methods[-1] == MODERN
    switches = ("before_relu", "bounded", "adam", "fourier", "colours", "robust")
    for lower, upper in itertools.pairwise(methods):
        assert sum(getattr(lower, name) != getattr(upper, name) for name in switches) == 1
    assert len(rungs) == 7
    short = filters.ladder(top=replace(MODERN, steps=5, seed=3, robust=False))
    assert len(short) == 6
    assert {method.seed for method in short.values()} == {3}


def test_all_are_shown_with_the_same_contrast() -> None:
    images = RANDOM.normal(127, 300, (3, 4, 4, 3)).astype(np.float32)
    found = filters.Synthetic(filters.Address(1, "conv"), METHOD_2016, np.arange(3), images, np.array([1.0, 3.0, 2.0]))
    shown = found.shown().astype(float) / 255
    assert shown.mean(axis=(1, 2, 3)) == pytest.approx(0.5, abs=0.02)
    assert shown.std(axis=(1, 2, 3)) == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"layer": 2}, "layer 2, relu has no channels of its own"),
        ({"channels": [6]}, "channels [6] of layer 3, conv3-6. Allowed: 0 to 5"),
        ({"channels": [-1]}, "channels [-1]"),
        ({"channels": []}, "channels []"),
        ({"colours": None}, "Give colours=colour_basis"),
        ({"colours": np.ones(3)}, "an array of shape (3,)"),
    ],
)
def test_bad_input(arguments: dict[str, object], says: str) -> None:
    wanted: dict[str, object] = {"layer": 3, "method": QUICK, "colours": BASIS} | arguments
    with pytest.raises(InvalidInputError) as caught:
        maximise(tiny.network(line=LINE), NORMALISATION, **wanted)  # type: ignore[arg-type]
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_method_out_of_range() -> None:
    for field in ({"steps": -1}, {"rate": 0.0}, {"seed": -1}, {"fourier": 1}):
        with pytest.raises(InvalidInputError, match=f"{next(iter(field))} .* is not possible"):
            replace(MODERN, **field)  # type: ignore[arg-type]
