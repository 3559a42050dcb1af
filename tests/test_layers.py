"""Each hand-written layer against torch.nn, values and gradients, in float64; and against numbers by hand."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from tinylab import layers
from tinylab.support.errors import InvalidInputError


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def agree(ours: Callable[..., Tensor], theirs: Callable[..., Tensor], *inputs: Tensor) -> None:
    """Same values, same gradients with respect to every input, for a random direction at the output."""
    results = []
    for function in (ours, theirs):
        leaves = [x.clone().requires_grad_() for x in inputs]
        out = function(*leaves)
        (out * numbers(*out.shape, seed=9)).sum().backward()
        results.append([out.detach(), *(leaf.grad for leaf in leaves)])
    for mine, reference in zip(*results, strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-10, atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.sampled_from([1, 2, 3, 5]), st.integers(0, 3))
def test_conv2d(batch: int, channels: int, filters: int, kernel: int, padding: int) -> None:
    x, weight, bias = (
        numbers(batch, channels, 6, 7),
        numbers(filters, channels, kernel, kernel, seed=1),
        numbers(filters),
    )
    agree(
        lambda x, w, b: layers.conv2d(x, w, b, padding),
        lambda x, w, b: F.conv2d(x, w, b, padding=padding),
        x,
        weight,
        bias,
    )
    agree(lambda x, w: layers.conv2d(x, w), lambda x, w: F.conv2d(x, w), x, weight)


def test_conv2d_by_hand() -> None:
    x = torch.arange(9.0).reshape(1, 1, 3, 3)
    weight = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 1, 2, 2)
    # top left: 1·0 + 2·1 + 3·3 + 4·4 = 27; one step right or down adds the filter's sum, 10, per unit of x
    assert layers.conv2d(x, weight, torch.tensor([0.5])).tolist() == [[[[27.5, 37.5], [57.5, 67.5]]]]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.integers(3, 9), st.integers(3, 9), st.booleans())
def test_max_pool2d(size: int, height: int, width: int, ties: bool) -> None:
    x = numbers(2, 3, height, width)
    if ties:
        x = x.sign().clamp(min=0)  # zeros and ones, as after a relu: the gradient of ties must go the same way
    agree(lambda x: layers.max_pool2d(x, size), lambda x: F.max_pool2d(x, size), x)


def test_relu() -> None:
    x = numbers(4, 5)
    x[0, :3] = torch.tensor([0.0, -0.0, math.inf])
    agree(layers.relu, F.relu, x)
    assert layers.relu(torch.tensor(math.nan)).isnan()


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 5))
def test_linear(batch: int, inputs: int, units: int) -> None:
    x, weight = numbers(batch, inputs), numbers(units, inputs, seed=1)
    agree(layers.linear, F.linear, x, weight, numbers(units, seed=2))
    agree(layers.linear, F.linear, x, weight)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])  # at 1e3 a softmax that is not shifted overflows
def test_softmax_and_its_loss(scale: float) -> None:
    logits, targets = scale * numbers(6, 4), torch.tensor([0, 3, 1, 1, 2, 0])
    agree(layers.softmax, lambda z: F.softmax(z, dim=1), logits)
    agree(lambda z: layers.softmax_cross_entropy(z, targets), lambda z: F.cross_entropy(z, targets), logits)


def test_softmax_loss_by_hand() -> None:
    probabilities = torch.tensor([[0.7, 0.2, 0.1]], dtype=torch.float64)
    logits = probabilities.log() + 5  # a constant in all logits changes nothing
    torch.testing.assert_close(layers.softmax(logits), probabilities)
    assert math.isclose(layers.softmax_cross_entropy(logits, torch.tensor([1])).item(), -math.log(0.2))
    guess = layers.softmax_cross_entropy(torch.zeros(2, 200), torch.tensor([0, 7]))
    assert math.isclose(guess.item(), math.log(200), rel_tol=1e-6)


@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 2, 6)])
@pytest.mark.parametrize("eps", [1e-5, 0.3])
def test_batch_norm_while_training(shape: tuple[int, ...], eps: float) -> None:
    x, gamma, beta = numbers(*shape) * 3 + 2, numbers(3, seed=1), numbers(3, seed=2)
    agree(
        lambda x, g, b: layers.batch_norm(x, g, b, eps),
        lambda x, g, b: F.batch_norm(x, None, None, g, b, training=True, eps=eps),
        x,
        gamma,
        beta,
    )


@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 2, 6)])
def test_batch_norm_remembers_and_then_uses_what_it_remembers(shape: tuple[int, ...]) -> None:
    reference = (nn.BatchNorm1d(3) if len(shape) == 2 else nn.BatchNorm2d(3)).double()
    mean, variance = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    for step in range(3):
        x = numbers(*shape, seed=step) * 2 - 1
        ours = layers.batch_norm(x, running_mean=mean, running_var=variance)
        torch.testing.assert_close(ours, reference(x), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(mean, reference.running_mean, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(variance, reference.running_var, rtol=1e-10, atol=1e-12)
    agree(
        lambda x: layers.batch_norm(x, training=False, running_mean=mean, running_var=variance),
        reference.eval(),
        numbers(*shape, seed=7),
    )


def test_batch_norm_as_the_report_writes_it() -> None:
    out = layers.batch_norm(numbers(50, 3) * 4 + 1, eps=0)
    torch.testing.assert_close(out.mean(0), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(out.var(0, unbiased=False), torch.ones(3, dtype=torch.float64))
    assert layers.batch_norm(torch.ones(4, 3), eps=0).isnan().all()  # a constant channel: 0 / 0
    assert not layers.batch_norm(torch.ones(4, 3)).any()


@pytest.mark.parametrize("p", [0.0, 0.25, 0.5, 0.9])
def test_dropout(p: float) -> None:
    n = 200_000
    x = torch.full((n,), 2.0, dtype=torch.float64, requires_grad=True)
    out = layers.dropout(x, p, generator=torch.Generator().manual_seed(0))
    kept = out != 0
    assert abs(kept.double().mean() - (1 - p)) <= 5 * math.sqrt(p * (1 - p) / n)
    assert abs(out.mean() - 2) <= 5 * 2 * math.sqrt(p / (1 - p) / n)  # the expected value stays
    torch.testing.assert_close(out[kept], torch.full_like(out[kept], 2 / (1 - p)))
    out.sum().backward()
    torch.testing.assert_close(x.grad, kept.double() / (1 - p))
    assert layers.dropout(x, p, training=False) is x


def test_dropout_draws_what_its_generator_says() -> None:
    first, again, other = (
        layers.dropout(torch.ones(99), 0.5, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_he_normal_has_the_spread_of_pytorchs() -> None:
    """Our draw and `kaiming_normal_`'s both lie near sqrt(2 / fan_in)."""
    for shape, fan_in in (((64, 32, 3, 3), 288), ((300, 500), 500)):
        ours = layers.he_normal_(torch.empty(shape), generator=torch.Generator().manual_seed(0))
        theirs = nn.init.kaiming_normal_(
            torch.empty(shape), nonlinearity="relu", generator=torch.Generator().manual_seed(1)
        )
        n = ours.numel()
        for weight in (ours, theirs):
            assert abs(weight.std() / math.sqrt(2 / fan_in) - 1) < 5 / math.sqrt(2 * n)
    weight = torch.empty(4, 5, dtype=torch.float64)
    assert layers.he_normal_(weight, 0.0) is weight
    assert not weight.any()


def test_he_normal_keeps_the_signal_through_depth() -> None:
    generator = torch.Generator().manual_seed(0)
    for scale, expected in ((1.0, 1.0), (0.5, 0.5**10), (2.0, 2.0**10)):
        x = torch.randn(200, 400, generator=generator)
        for _ in range(10):
            x = layers.relu(layers.linear(x, layers.he_normal_(torch.empty(400, 400), scale, generator)))
        root_mean_square = x.square().mean().sqrt().item()
        assert expected / 1.3 < root_mean_square < expected * 1.3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: layers.conv2d(numbers(1, 3, 4, 4), numbers(2, 1, 3, 3)),
            r"\(1, 3, 4, 4\) and \(2, 1, 3, 3\).*same C",
        ),
        (lambda: layers.conv2d(numbers(3, 4, 4), numbers(2, 3, 3, 3)), r"x \(B, C, H, W\)"),
        (lambda: layers.conv2d(numbers(1, 1, 2, 2), numbers(1, 1, 5, 5), padding=1), "no larger"),
        (lambda: layers.max_pool2d(numbers(1, 1, 2, 2), 3), "size 3"),
        (lambda: layers.max_pool2d(numbers(1, 1, 2, 2), 0), "size 0"),
        (lambda: layers.linear(numbers(2, 3), numbers(4, 2)), "same D"),
        (lambda: layers.dropout(numbers(2), 1.0), "0 ≤ p < 1"),
        (lambda: layers.dropout(numbers(2), math.nan), "0 ≤ p < 1"),
        (lambda: layers.batch_norm(numbers(1, 3)), r"\(1, 3\)"),
        (lambda: layers.batch_norm(numbers(3)), r"\(3,\)"),
        (lambda: layers.batch_norm(numbers(2, 3), training=False), "running_mean"),
        (
            lambda: layers.softmax_cross_entropy(numbers(2, 3), torch.tensor([0, 3])),
            "0 to 3. Allowed: 0 to 2",
        ),
        (lambda: layers.softmax_cross_entropy(numbers(2, 3), torch.tensor([-1, 0])), "-1 to 0"),
        (lambda: layers.softmax_cross_entropy(numbers(2, 3), torch.tensor([0])), "targets"),
    ],
)
def test_bad_input_gets_one_clear_line(call: Callable[[], Tensor], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_dropout_takes_coins_that_were_tossed_already() -> None:
    x = numbers(3, 4)
    kept = torch.tensor([[True, False, True, True]] * 3)
    assert torch.equal(layers.dropout(x, 0.2, kept=kept), torch.where(kept, x / 0.8, torch.zeros(())))
