"""The quick layers against torch's own: values, gradients, random numbers, and every case that torch's code keeps."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tinylab import models
from tinylab.layers import conv2d
from tinylab.models import fast_layers

FORMATS = (torch.contiguous_format, torch.channels_last)


@pytest.fixture(autouse=True, scope="module")
def without_avx512():
    """As on a processor where these convolutions are the quicker ones, whatever this one is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast_layers, "cpu_has_avx512", lambda: False)
        yield


def twins(ours: nn.Conv2d) -> nn.Conv2d:
    """Torch's own layer with the same weights."""
    theirs = nn.Conv2d(
        ours.in_channels,
        ours.out_channels,
        ours.kernel_size,
        ours.stride,
        ours.padding,
        ours.dilation,
        ours.groups,
        ours.bias is not None,
        ours.padding_mode,
    )
    theirs.load_state_dict(ours.state_dict())
    return theirs.to(next(ours.parameters()).dtype)


def outcome(layer: nn.Module, x: torch.Tensor, seed: int = 1) -> list[torch.Tensor]:
    """Output, and the gradients of input and parameters for a random gradient of the output."""
    x = x.detach().clone().requires_grad_()
    layer.zero_grad()
    out = layer(x)
    out.backward(torch.randn(out.shape, generator=torch.Generator().manual_seed(seed), dtype=out.dtype))
    return [out.detach(), x.grad, *(parameter.grad.clone() for parameter in layer.parameters())]


# ---------------------------------------------------------------- convolution


@settings(max_examples=25, deadline=None)
@given(
    B=st.integers(1, 5), C=st.integers(16, 20), N=st.integers(1, 20), H=st.integers(1, 9), W=st.integers(1, 9),
    size=st.sampled_from([1, 3, 5]), bias=st.booleans(), memory_format=st.sampled_from(FORMATS),
)  # fmt: skip
def test_a_convolution_and_its_gradients_are_torch_s(B, C, N, H, W, size, bias, memory_format):
    torch.manual_seed(0)
    ours = fast_layers.Conv2d(C, N, size, padding=size // 2, bias=bias).double()
    x = torch.randn(B, C, H, W, dtype=torch.float64).contiguous(memory_format=memory_format)
    assert fast_layers._own(ours, x, ours.weight)
    for mine, theirs in zip(outcome(ours, x), outcome(twins(ours), x), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("workspace", [1, 40_000, 10**9])  # one image at a time, a few, all
def test_the_weight_gradient_does_not_depend_on_how_much_is_copied_at_once(workspace, monkeypatch):
    monkeypatch.setattr(fast_layers, "_WORKSPACE", workspace)
    x = torch.randn(5, 17, 7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    gradient = torch.randn(5, 4, 7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    weight = torch.zeros(4, 17, 3, 3, dtype=torch.float64, requires_grad=True)
    conv2d(x, weight, padding=1).backward(gradient)  # from its definition
    torch.testing.assert_close(fast_layers.weight_gradient(x, gradient, 3), weight.grad, rtol=1e-11, atol=1e-11)


def test_in_float32_it_is_as_exact_as_torch_s():
    torch.manual_seed(0)
    ours = fast_layers.Conv2d(32, 32, 3, padding=1)
    x = torch.randn(16, 32, 32, 32)
    exact = outcome(copy.deepcopy(ours).double(), x.double())
    mine, theirs = outcome(ours, x), outcome(twins(ours), x)
    for value, torch_s, true in zip(mine, theirs, exact, strict=True):
        error = (value - true).abs().max() / true.abs().max()
        assert error <= max(1e-6, 3 * (torch_s - true).abs().max() / true.abs().max())


@pytest.mark.parametrize("frozen", ["weight", "bias", "input"])
def test_only_what_is_asked_for_gets_a_gradient(frozen):
    ours = fast_layers.Conv2d(16, 2, 3, padding=1)
    x = torch.randn(2, 16, 5, 5, requires_grad=frozen != "input")
    if frozen != "input":
        getattr(ours, frozen).requires_grad_(False)
    ours(x).sum().backward()
    assert (x.grad is None) == (frozen == "input")
    assert (ours.weight.grad is None) == (frozen == "weight")
    assert (ours.bias.grad is None) == (frozen == "bias")


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"in_channels": 3, "padding": 1}, (2, 3, 8, 8)),
        ({"stride": 2, "padding": 1}, (2, 16, 8, 8)),
        ({"dilation": 2, "padding": 1}, (2, 16, 8, 8)),
        ({"groups": 2, "padding": 1}, (2, 16, 8, 8)),
        ({"padding": 0}, (2, 16, 8, 8)),
        ({"padding": "same"}, (2, 16, 8, 8)),
        ({"padding": (1, 0)}, (2, 16, 8, 8)),
        ({"kernel_size": 2, "padding": 1}, (2, 16, 8, 8)),
        ({"kernel_size": (3, 5), "padding": (1, 2)}, (2, 16, 8, 8)),
        ({"padding": 1, "padding_mode": "circular"}, (2, 16, 8, 8)),
        ({"padding": 1}, (16, 8, 8)),
    ],
)
def test_all_else_is_left_to_torch(options, shape, monkeypatch):
    monkeypatch.setattr(fast_layers._SameConvolution, "apply", lambda *_: pytest.fail("not torch's own"))
    torch.manual_seed(0)
    ours = fast_layers.Conv2d(**{"in_channels": 16, "out_channels": 4, "kernel_size": 3, **options})
    x = torch.randn(shape)
    for mine, theirs in zip(outcome(ours, x), outcome(twins(ours), x), strict=True):
        assert torch.equal(mine, theirs)


def test_without_gradients_or_under_autocast_it_is_torch_s_own(monkeypatch):
    monkeypatch.setattr(fast_layers._SameConvolution, "apply", lambda *_: pytest.fail("not torch's own"))
    ours, x = fast_layers.Conv2d(16, 4, 3, padding=1), torch.randn(2, 16, 8, 8)
    with torch.no_grad():
        assert torch.equal(ours(x), twins(ours)(x))
    with torch.autocast("cpu", torch.bfloat16):
        assert ours(x).dtype == torch.bfloat16
    assert ours.requires_grad_(False)(x).shape == (2, 4, 8, 8)


def test_with_avx512_it_is_torch_s_own(monkeypatch):
    ours, x = fast_layers.Conv2d(16, 4, 3, padding=1), torch.randn(2, 16, 8, 8)
    assert fast_layers._own(ours, x, ours.weight)
    monkeypatch.setattr(fast_layers, "cpu_has_avx512", lambda: True)
    assert not fast_layers._own(ours, x, ours.weight)


def test_every_wide_convolution_of_the_networks_is_a_quick_one():
    for name in models.NAMES:
        for layer in models.build(name, classes=10).modules():
            wide = isinstance(layer, nn.Conv2d) and layer.in_channels >= 16 and layer.kernel_size == (3, 3)
            assert not wide or isinstance(layer, fast_layers.Conv2d)


# ---------------------------------------------------------------- pooling


@pytest.mark.parametrize("memory_format", FORMATS)
def test_pooling_is_torch_s_bit_for_bit(memory_format):
    x = torch.randn(3, 5, 8, 6, generator=torch.Generator().manual_seed(4)).contiguous(memory_format=memory_format)
    for mine, theirs in zip(outcome(fast_layers.MaxPool2d(2), x), outcome(nn.MaxPool2d(2), x), strict=True):
        assert torch.equal(mine, theirs)
    with torch.no_grad():
        assert torch.equal(fast_layers.MaxPool2d(2)(x), nn.MaxPool2d(2)(x))


@pytest.mark.parametrize("memory_format", FORMATS)
def test_nothing_is_reordered_while_pooling_is_undone(memory_format):
    """In front of `flatten`, whose gradient lies in the standard order."""
    x = torch.randn(3, 5, 8, 6).contiguous(memory_format=memory_format).requires_grad_()
    pooled, seen = fast_layers.MaxPool2d(2)(x), []
    pooled.register_hook(seen.append)
    nn.Flatten()(pooled).backward(torch.randn(3, 60))
    assert seen[0].is_contiguous(memory_format=memory_format)
    assert x.grad.is_contiguous(memory_format=memory_format)


# ---------------------------------------------------------------- dropout


@pytest.mark.parametrize("memory_format", [*FORMATS, None])
@pytest.mark.parametrize("p", [0.1, 0.25, 0.5, 0.9])
def test_dropout_zeroes_a_share_of_p_and_scales_the_rest(memory_format, p):
    """Of maps in either format, and of a fully connected layer's output."""
    maps = memory_format is not None
    x = (torch.rand(64, 32, 16, 16).contiguous(memory_format=memory_format) if maps else torch.rand(500, 1001)) + 1
    x.requires_grad_()
    torch.manual_seed(5)
    out = fast_layers.Dropout(p)(x)
    kept = out != 0
    torch.testing.assert_close(out[kept], x[kept] / (1 - p))
    count = x.numel()
    assert abs(kept.sum().item() - (1 - p) * count) < 5 * (count * p * (1 - p)) ** 0.5 + count / 2**16
    out.sum().backward()
    torch.testing.assert_close(x.grad, kept / (1 - p))
    assert out.stride() == x.stride()


def test_which_numbers_are_dropped_looks_independent():
    torch.manual_seed(6)
    kept = (fast_layers.Dropout(0.5)(torch.ones(4096, 64)) != 0).double()
    # four neighbours come from one draw, and the same place of the next draw is four on
    for shift in (1, 2, 3, 4, 8, 64):
        flat = kept.flatten() - 0.5
        assert abs((flat[shift:] * flat[:-shift]).mean().item() * 4) < 5 / flat.numel() ** 0.5
    assert abs(kept.mean(dim=0) - 0.5).max() < 5 * 0.5 / 4096**0.5


def test_a_mask_does_not_depend_on_where_the_numbers_lie():
    x = torch.rand(3, 4, 5, 6)
    strided = torch.rand(3, 4, 5, 12)[..., ::2]
    strided.copy_(x)
    torch.manual_seed(1)
    expected = fast_layers.Dropout(0.5)(x)
    torch.manual_seed(1)
    assert torch.equal(fast_layers.Dropout(0.5)(strided), expected)


def test_a_generator_of_its_own_leaves_the_global_numbers_alone():
    layer, x = fast_layers.Dropout(0.5), torch.rand(1000)
    torch.manual_seed(3)
    expected = layer(x)
    layer.generator = torch.Generator().manual_seed(3)
    before = torch.get_rng_state()
    assert torch.equal(layer(x), expected)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(layer(x), expected)  # the next draw


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_nothing_or_everything_is_dropped(p):
    x = torch.rand(10)
    assert torch.equal(fast_layers.Dropout(p)(x), x * (1 - p))
    assert fast_layers.Dropout(0.5).eval()(x) is x


def test_dropout_is_stated_as_torch_s():
    assert isinstance(fast_layers.Dropout(0.3), nn.Dropout)
    assert str(fast_layers.Dropout(0.3)) == str(nn.Dropout(0.3))
    assert str(fast_layers.Conv2d(3, 4, 3, padding=1)) == str(nn.Conv2d(3, 4, 3, padding=1))
