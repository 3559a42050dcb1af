"""The quick layers against torch's own: values, gradients, random numbers."""

import pytest
import torch
from torch import nn

from tinylab.models import fast_layers

FORMATS = (torch.contiguous_format, torch.channels_last)


def outcome(layer: nn.Module, x: torch.Tensor, seed: int = 1) -> list[torch.Tensor]:
    """Output, and the gradients of input and parameters for a random gradient of the output."""
    x = x.detach().clone().requires_grad_()
    layer.zero_grad()
    out = layer(x)
    out.backward(torch.randn(out.shape, generator=torch.Generator().manual_seed(seed), dtype=out.dtype))
    return [out.detach(), x.grad, *(parameter.grad.clone() for parameter in layer.parameters())]


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
