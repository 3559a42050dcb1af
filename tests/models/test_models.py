"""The networks: counts by hand, weights as they should be drawn, a first loss of ln(classes), blocks that add."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.functional import cross_entropy, interpolate
from torch.utils.flop_counter import FlopCounterMode

from tinylab import models
from tinylab.models import notation
from tinylab.support.errors import InvalidInputError


def conv(kernel: int, inputs: int, filters: int, size: int) -> tuple[int, int]:
    """(parameters, multiply-adds): every weight works once at each pixel, and each filter has one bias."""
    weights = kernel * kernel * inputs * filters
    return weights + filters, weights * size * size


def fc(inputs: int, units: int) -> tuple[int, int]:
    return inputs * units + units, inputs * units


def by_hand(name: str, classes: int) -> tuple[int, int]:
    blocks = [conv(3, 3, 32, 64), conv(3, 32, 32, 64), conv(3, 32, 64, 32), conv(3, 64, 64, 32)]
    third = [conv(3, 64, 128, 16), conv(3, 128, 128, 16)]
    layers = {
        "model_1": [*blocks, fc(64 * 16 * 16, 512), fc(512, classes)],
        "model_2": [*blocks, *third, fc(128 * 8 * 8, 512), fc(512, classes)],
        "model_3": [
            conv(5, 3, 32, 64),
            conv(3, 32, 32, 64),
            conv(3, 32, 64, 32),
            conv(3, 64, 128, 16),
            fc(128 * 8 * 8, 256),
            fc(256, classes),
        ],
    }[name]
    return sum(p for p, _ in layers), sum(m for _, m in layers)


PUBLISHED = {  # at 200 classes
    "model_1": (8_557_288, 106.4),
    "model_2": (4_584_424, 158.8),
    "model_3": (2_252_840, 87.5),
}


@pytest.mark.parametrize("name", models.ARCHITECTURES)
@pytest.mark.parametrize("classes", [200, 10])
def test_counts_by_hand_and_by_pytorch(name: str, classes: int) -> None:
    model = models.build(name, classes)
    summary = models.summary(model)
    assert (summary.parameters, summary.multiply_adds) == by_hand(name, classes)
    assert summary.parameters == sum(p.numel() for p in model.parameters())
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, 64, 64))
    assert counter.get_total_flops() == 2 * summary.multiply_adds  # it counts the addition separately
    if classes == 200:
        parameters, millions = PUBLISHED[name]
        assert summary.parameters == parameters
        assert round(summary.multiply_adds / 1e6, 1) == millions


@pytest.mark.parametrize("name", models.ARCHITECTURES)
def test_a_network_is_its_line(name: str) -> None:
    assert notation.format(models.build(name)) == models.ARCHITECTURES[name]
    assert models.build(models.ARCHITECTURES[name]).state_dict().keys() == models.build(name).state_dict().keys()
    assert models.build(name, 10)(torch.zeros(2, 3, 64, 64)).shape == (2, 10)


def test_the_reports_dropout_probabilities() -> None:
    found = {
        name: [layer.p for layer in models.build(name) if isinstance(layer, nn.Dropout)]
        for name in models.ARCHITECTURES
    }
    assert found == {"model_1": [0.25, 0.25, 0.5], "model_2": [0.25, 0.25, 0.25, 0.5], "model_3": [0.5]}


def test_table_1_of_the_report() -> None:
    rows = [(row.train, row.validation) for row in models.REPORTED.values()]
    assert rows == [(0.5693, 0.2435), (0.1871, 0.1799), (0.6236, 0.1560)]
    assert models.REPORTED.keys() == models.ARCHITECTURES.keys()


@pytest.mark.parametrize("initialisation", models.INITIALISATIONS)
def test_weights_are_he_normal(initialisation: str) -> None:
    """Mean, spread and tails of every layer, within five standard errors of what n normal draws give."""
    layers = [m for m in models.build("model_1", initialisation=initialisation) if isinstance(m, nn.Conv2d | nn.Linear)]
    for layer in layers:
        small = 0.1 if layer is layers[-1] and initialisation == "he" else 1.0
        fan_in = layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels * math.prod(layer.kernel_size)
        z = (layer.weight.detach().double() / (small * math.sqrt(2 / fan_in))).flatten()
        n = len(z)
        assert abs(z.mean()) < 5 / math.sqrt(n)
        assert abs(z.std() - 1) < 5 / math.sqrt(2 * n)
        share = (z.abs() < 1).double().mean()
        assert abs(share - 0.6827) < 5 * math.sqrt(0.6827 * 0.3173 / n)  # normal, not uniform or truncated
        assert not layer.bias.any()


def _images(count: int) -> torch.Tensor:
    """Normalised images with the statistics of photographs: smooth, with a little fine detail."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.randn(count, 3, 8, 8, generator=generator)
    x = interpolate(coarse, size=64, mode="bicubic") + 0.2 * torch.randn(count, 3, 64, 64, generator=generator)
    return (x - x.mean()) / x.std()


@pytest.mark.parametrize("classes", [10, 200])
@pytest.mark.parametrize("name", models.ARCHITECTURES)
def test_the_first_loss_is_that_of_a_guess(name: str, classes: int) -> None:
    x, y = _images(24), torch.arange(24) % classes
    with torch.no_grad():
        for mode in (True, False):
            loss = cross_entropy(models.build(name, classes).train(mode)(x), y)
            assert abs(loss - math.log(classes)) < 0.2
    letter = models.build(name, classes, initialisation="he everywhere").eval()
    with torch.no_grad():
        assert cross_entropy(letter(x), y) > math.log(classes) + 0.4


def test_seeds() -> None:
    state = torch.get_rng_state()
    first, again, other, free = (models.build("model_3", 5, seed=seed)[0].weight for seed in (3, 3, 4, None))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(free, models.build("model_3", 5, seed=None)[0].weight)
    assert torch.equal(state, torch.get_rng_state())  # the global state has not moved


def test_dropout_of_all_layers() -> None:
    model = models.build("model_1", 5, dropout=0.0)
    assert [m.p for m in model if isinstance(m, nn.Dropout)] == [0.0, 0.0, 0.0]
    models.set_dropout(model, 0.4)
    assert notation.format(model).count("dropout(0.4)") == 3


@pytest.mark.parametrize("p", [1, 1.5, -0.1, float("nan"), "a half", True, None])
def test_impossible_dropout(p: float) -> None:
    with pytest.raises(InvalidInputError, match="0 ≤ p < 1"):
        models.set_dropout(models.build("softmax"), p)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"architecture": "model1"}, "did you mean 'model_1'"),
        ({"architecture": "Model 3"}, "did you mean 'model_3'"),
        (
            {"architecture": "resnet"},
            "Allowed: model_1, model_2, model_3, modern-small, modern-laptop, modern",
        ),
        ({"architecture": "modern_small"}, "did you mean 'modern-small'"),
        ({"architecture": "modern", "classes": 1}, "classes 1 is not possible"),
        ({"architecture": "modern-small", "dropout": 1.0}, "dropout is 1.0"),
        ({"architecture": 1}, "name or a line"),
        ({"architecture": "conv3-32-relu-softmax"}, "stand between ' - '"),
        ({"architecture": "conv3-8 - relo - softmax"}, "layer 2 'relo'"),
        ({"architecture": "model_1", "classes": 0}, "classes 0 is not possible"),
        ({"architecture": "model_1", "classes": "ten"}, "classes 'ten' is not possible"),
        ({"architecture": "softmax", "dropout": 1.5}, "dropout is 1.5"),
        ({"architecture": "softmax", "initialisation": "hee"}, "did you mean 'he'"),
    ],
)
def test_bad_input_gets_one_clear_line(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as caught:
        models.build(**arguments)
    assert "\n" not in str(caught.value)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([8, 12]), st.integers(1, 5), st.booleans())
def test_summary_of_any_network(size: int, filters: int, training: bool) -> None:
    line = f"conv3-{filters} - batch norm - relu - max pool - dropout - fc(4) - batch norm - softmax"
    model = notation.parse(line, classes=6, size=size).train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    summary = models.summary(model, size)
    x = torch.zeros(1, 3, size, size)
    for row, layer in zip(summary.rows, model.eval(), strict=True):
        x = layer(x)
        assert row.shape == x.shape[1:]
        assert row.bytes == x.nbytes
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, size, size))
    assert counter.get_total_flops() == 2 * summary.multiply_adds
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_summary_reads_well() -> None:
    summary = models.summary(models.build("model_1"))
    assert "8,557,288" in str(summary)
    assert "106,401,792" in summary._repr_html_()
    assert "32 × 64 × 64" in repr(summary)
    assert "softmax: fc(200)" in str(summary)
    with pytest.raises(InvalidInputError, match="size 0 is not possible"):
        models.summary(models.build("softmax"), size=0)


# ---------------------------------------------------------------- narrower


@pytest.mark.parametrize("name", models.ARCHITECTURES)
def test_narrower_networks_have_a_quarter_of_each_layer(name: str) -> None:
    with torch.device("meta"):  # the wide one is only measured
        wide = notation.parse(models.ARCHITECTURES[name], classes=5)
    narrow = models.build(models.narrower(name, 4), classes=5)
    for one, other in zip(wide.children(), narrow.children(), strict=True):
        if isinstance(one, nn.Conv2d):
            assert (other.out_channels, other.kernel_size) == (one.out_channels // 4, one.kernel_size)
    assert narrow(torch.zeros(1, 3, 64, 64)).shape == (1, 5)
    assert models.summary(narrow).multiply_adds < models.summary(wide).multiply_adds / 6
    assert models.narrower(name, 1) == models.ARCHITECTURES[name]


def test_the_cost_that_narrower_claims() -> None:
    lines = (models.ARCHITECTURES["model_1"], models.narrower("model_1", 4))
    costs = [models.summary(notation.parse(line)).multiply_adds for line in lines]
    assert costs[0] / costs[1] == pytest.approx(14.5, abs=0.1)


def test_narrower_refuses() -> None:
    with pytest.raises(InvalidInputError, match="factor 0"):
        models.narrower("model_1", 0)
    with pytest.raises(InvalidInputError, match="'model_9' is unknown"):
        models.narrower("model_9", 2)
    assert models.narrower("softmax", 4) == "softmax"
    with pytest.raises(InvalidInputError, match="'modern' is unknown"):
        models.narrower("modern", 2)  # it has no line


# ---------------------------------------------------------------- the modern network


def modern_by_hand(shape: models.Shape, classes: int) -> tuple[int, int]:
    """(parameters, multiply-adds) at 64×64: convolutions without bias, two numbers a channel for each batch norm."""
    size = 64 // shape.stride
    width = shape.widths[0]
    parameters, work = 27 * width + 2 * width, 27 * width * size**2
    for stage, (wide, count) in enumerate(zip(shape.widths, shape.blocks, strict=True)):
        for block in range(count):
            size //= 2 if stage > 0 and block == 0 else 1
            weights = 9 * width * wide + 9 * wide * wide + (width * wide if width != wide else 0)
            parameters += weights + 4 * wide + (2 * wide if width != wide else 0)
            work += weights * size**2
            width = wide
    return parameters + width * classes + classes, work + width * classes


@pytest.mark.parametrize("name", models.SHAPES)
def test_modern_counts_by_hand_and_by_pytorch(name: str) -> None:
    with torch.device("meta"):  # nothing is computed: PyTorch counts from shapes, as `summary` does
        model = models.modern(name, 200).eval()
        summary = models.summary(model)
        with FlopCounterMode(display=False) as counter:
            model(torch.zeros(1, 3, 64, 64))
    assert (summary.parameters, summary.multiply_adds) == modern_by_hand(models.SHAPES[name], 200)
    assert summary.parameters == sum(p.numel() for p in model.parameters())
    assert counter.get_total_flops() == 2 * summary.multiply_adds
    assert summary.rows[-1].shape == (200,)


def test_the_sizes_that_the_names_promise() -> None:
    with torch.device("meta"):
        millions = {name: models.summary(models.modern(name)).parameters / 1e6 for name in models.SHAPES}
    assert millions["modern-small"] < 0.5 < millions["modern-laptop"] < 5
    assert 10 < millions["modern"] < 12


def test_memory_of_a_block_counts_what_is_inside() -> None:
    block = models.Residual(2, 4, stride=2)
    summary = models.summary(nn.Sequential(block), size=8)
    inside = 7 * 4 * 4 * 4 + 2 * 4 * 4  # 5 layers of the branch, 2 of the way past it, then the relu; the averages
    assert summary.rows[0].bytes == 4 * (inside + 4 * 4 * 4)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("inputs", "outputs", "stride"), [(4, 4, 1), (4, 6, 2), (4, 6, 1)])
def test_a_block_is_its_formula(training: bool, inputs: int, outputs: int, stride: int) -> None:
    """Wired by hand from torch.nn.functional, in float64: values, and gradients of input and all parameters."""
    torch.manual_seed(0)
    block = models.Residual(inputs, outputs, stride=stride).double().train(training)
    for name, tensor in block.state_dict().items():  # nothing may be hidden behind a zero or a one
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5 if "var" in name else torch.randn_like(tensor))
    value = {name: tensor.detach().clone().requires_grad_() for name, tensor in block.named_parameters()}
    running = {name: tensor.clone() for name, tensor in block.named_buffers()}
    x = torch.randn(3, inputs, 7, 7, dtype=torch.float64)  # an odd size: halved, rounded up
    mine, theirs = (x.clone().requires_grad_() for _ in range(2))

    def norm(maps: torch.Tensor, layer: str) -> torch.Tensor:
        mean, variance = (running[f"{layer}.running_{what}"] for what in ("mean", "var"))
        return F.batch_norm(maps, mean, variance, value[f"{layer}.weight"], value[f"{layer}.bias"], training)

    out = F.conv2d(theirs, value["branch.0.weight"], stride=stride, padding=1)
    out = norm(F.conv2d(F.relu(norm(out, "branch.1")), value["branch.3.weight"], padding=1), "branch.4")
    past = theirs
    if stride == 2:  # each mean is over the pixels that there are
        ones = F.avg_pool2d(F.pad(torch.ones_like(past), (0, 1, 0, 1)), 2)
        past = F.avg_pool2d(F.pad(past, (0, 1, 0, 1)), 2) / ones
    if inputs != outputs:
        first = 1 if stride == 2 else 0
        past = norm(F.conv2d(past, value[f"shortcut.{first}.weight"]), f"shortcut.{first + 1}")
    wanted = F.relu(past + out)

    given = block(mine)
    torch.testing.assert_close(given, wanted)
    assert given.shape == (3, outputs, -(-7 // stride), -(-7 // stride))
    push = torch.randn_like(given)
    given.backward(push)
    wanted.backward(push)
    torch.testing.assert_close(mine.grad, theirs.grad)
    for name, parameter in block.named_parameters():
        torch.testing.assert_close(parameter.grad, value[name].grad, msg=name)


def test_a_new_block_passes_on_what_comes_in() -> None:
    x = torch.rand(2, 8, 6, 6)
    assert torch.equal(models.Residual(8, 8)(x), x)  # x ≥ 0, as after a relu
    for block in (m for m in models.build("modern-small", 5).modules() if isinstance(m, models.Residual)):
        assert not block.branch[4].weight.any()


def test_every_parameter_of_the_modern_network_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The zero scales move first; from the second update on, every parameter has a gradient."""
    torch.manual_seed(0)
    monkeypatch.setitem(models.SHAPES, "tiny", models.Shape((4, 8), (2, 1)))
    model = models.modern("tiny", 3)
    models.initialise(model, seed=1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(2):
        optimizer.zero_grad()
        cross_entropy(model(torch.randn(12, 3, 16, 16)), torch.arange(12) % 3).backward()
        silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        if step == 0:
            assert any("branch.0" in name for name in silent)  # behind the zero scale nothing moves yet
            assert not any(name.endswith(("branch.4.weight", "branch.4.bias")) for name in silent)
            assert model[0].weight.grad.any()  # the first layer is reached past all blocks
        optimizer.step()
    assert silent == []


def test_the_modern_network_as_a_network() -> None:
    model = models.build("modern-small", 7, dropout=0.3, seed=4)
    assert model.architecture == "modern-small"
    assert list(dict(model.named_children())) == [
        "conv3-16",
        "batch norm",
        "relu",
        "block 1-1",
        "block 2-1",
        "block 3-1",
        "block 4-1",
        "average pool",
        "flatten",
        "dropout",
        "fc(7)",
    ]
    assert [m.p for m in model.modules() if isinstance(m, nn.Dropout)] == [0.3]
    for size in (64, 32, 17):
        assert model.eval()(torch.zeros(1, 3, size, size)).shape == (1, 7)
    again, other = (models.build("modern-small", 7, seed=seed) for seed in (4, 5))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert not torch.equal(model[0].weight, other[0].weight)
    assert type(model[:3]).__name__ == "Modern"  # a slice works, as of any nn.Sequential
    assert model[:3].architecture != "modern-small"


@pytest.mark.parametrize("classes", [10, 200])
def test_the_modern_network_s_first_loss_is_that_of_a_guess(classes: int) -> None:
    x, y = _images(24), torch.arange(24) % classes
    with torch.no_grad():
        for mode in (True, False):
            loss = cross_entropy(models.build("modern-small", classes).train(mode)(x), y)
            assert abs(loss - math.log(classes)) < 0.2


def test_impossible_modern_networks() -> None:
    with pytest.raises(InvalidInputError, match="did you mean 'modern-laptop'"):
        models.modern("modern-lapto")
    with pytest.raises(InvalidInputError, match="classes 1 is not possible"):
        models.modern("modern", 1)
