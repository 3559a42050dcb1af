"""Layers are counted as the report counts, and what is run up to one of them is the value before the relu."""

import pytest
import torch
from torch import nn

from tests import tiny
from tinylab import filters, models
from tinylab.filters import address
from tinylab.support.errors import InvalidInputError

MODEL_1 = models.build("model_1", seed=0)


def test_the_seventh_layer_is_the_first_conv3_64() -> None:
    for layer in (7, "conv3-64"):
        assert filters.find(MODEL_1, layer) == filters.Address(7, "conv3-64")
    assert filters.find(MODEL_1, "conv3-64_2").number == 9
    assert filters.find(MODEL_1, 17).name == "softmax: fc(200)"
    assert address.module(MODEL_1, 7) is MODEL_1[6]


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (0, "layer 0 is not in this network. Allowed: 1 (conv3-32) to 17 (softmax: fc(200))"),
        (7.0, "layer 7.0 is not"),
        ("conv3-46", "did you mean 'conv3-64'?"),
    ],
)
def test_a_layer_that_is_not_there(layer: object, says: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        filters.find(MODEL_1, layer)  # type: ignore[arg-type]
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_only_networks_made_of_a_line_have_numbers() -> None:
    with pytest.raises(InvalidInputError, match="got a Linear"):
        filters.find(nn.Linear(2, 2), 1)  # type: ignore[arg-type]


def test_run_up_to_a_layer_gives_its_value_before_the_relu() -> None:
    model = tiny.network()
    x = torch.randn(2, 3, tiny.SIZE, tiny.SIZE, generator=torch.Generator().manual_seed(0))
    seen: list[torch.Tensor] = []
    handle = model[0].register_forward_hook(lambda module, given, out: seen.append(out))
    model.eval()(x)
    handle.remove()
    part = filters.up_to(model, 1)
    assert torch.equal(part(x), seen[0])
    assert part(x).min() < 0
    assert part[0] is model[0]


SMALL = models.ARCHITECTURES["model_1"].replace("-32", "-2").replace("-64", "-2")


@pytest.mark.parametrize(
    ("name", "layer"), [(SMALL, 3), (SMALL, 6), (SMALL, 11), ("modern-small", 4), ("modern-small", 5)]
)
def test_receptive_field_against_gradients(name: str, layer: int) -> None:
    model = models.build(name, classes=2, seed=0).eval()
    with torch.no_grad():  # positive weights on positive input: no relu is off, every pixel of the field counts
        for parameter in model.parameters():
            parameter.abs_().add_(0.01)  # also the scales of 0 that residual blocks begin with
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    field = filters.receptive_field(model, layer)
    reached = torch.zeros(64, 64, dtype=torch.bool)
    for _ in range(20):  # a pooling looks at one of its four pixels; over several images, at each of them
        x = torch.rand_like(x).requires_grad_()
        maps = filters.up_to(model, layer)(x)
        row, column = maps.shape[2] // 2, maps.shape[3] // 2 + 1
        (gradient,) = torch.autograd.grad(maps[0, :, row, column].sum(), x)
        reached |= (gradient != 0).any(dim=1)[0]
    rows, columns = (reached.any(dim=axis).nonzero().flatten().tolist() for axis in (1, 0))
    assert (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1) == field.box(row, column)


def test_fields_of_model_1_by_hand() -> None:
    assert filters.receptive_field(MODEL_1, 7) == filters.Field(10, 2, -4)
    assert filters.receptive_field(MODEL_1, 1).box(0, 5) == (-1, 4, 2, 7)
    with pytest.raises(InvalidInputError, match=r"layer 14, fc\(512\) comes after 'flatten'"):
        filters.receptive_field(MODEL_1, 14)
    modern = models.build("modern-small", classes=2)
    with pytest.raises(InvalidInputError, match=r"layer 8, average pool comes after 'average pool', or is it"):
        filters.receptive_field(modern, 8)


def test_the_table_counts_every_module() -> None:
    table = filters.counted(MODEL_1)
    assert [row[0] for row in table.rows] == list(range(1, 18))
    assert table.rows[6] == [7, "conv3-64", "10 × 10 pixels"]
    assert table.rows[-1][2] == "the whole image"


def test_frozen_restores_every_mode_and_flag_even_on_error() -> None:
    model = tiny.network().train()
    model[0].eval()  # a mode of its own
    next(model.parameters()).requires_grad_(False)
    before = state(model)
    with filters.frozen(model):
        assert not any(one.training for one in model.modules())
        assert not any(parameter.requires_grad for parameter in model.parameters())
    assert state(model) == before

    def stop() -> None:
        with filters.frozen(model):
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stop()
    assert state(model) == before


def state(model: nn.Module) -> tuple[list[bool], list[bool], int]:
    """Modes, flags, and how many hooks there are: what filters must leave as it was."""
    hooks = sum(
        len(one._forward_hooks) + len(one._forward_pre_hooks) + len(one._backward_hooks) for one in model.modules()
    )
    return [one.training for one in model.modules()], [p.requires_grad for p in model.parameters()], hooks
