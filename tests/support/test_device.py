"""Which device is picked, and how precisely it computes: by name, by variable, the best."""

import pytest
import torch

import tinylab.support.device
from tests import tiny
from tinylab.support.device import PRECISION_VARIABLE, VARIABLE, pick
from tinylab.support.errors import InvalidInputError
from tinylab.training import Recipe, train


@pytest.fixture
def processor(monkeypatch):
    """Pretends that this machine's processor can do what is given; an exception: torch cannot be asked."""
    monkeypatch.delenv(PRECISION_VARIABLE, raising=False)

    def of(answer):
        def asked():
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(torch.cpu, "get_capabilities", asked)

    return of


@pytest.fixture
def a_gpu(monkeypatch):
    """As if this machine had one: what torch is asked, and nothing else."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: f"GPU {device}")
    ones = torch.ones
    monkeypatch.setattr(torch, "ones", lambda *size, device=None: ones(*size))


def test_by_name_and_by_variable(monkeypatch):
    monkeypatch.setenv(VARIABLE, "cpu")
    assert pick().target == pick("cpu").target == torch.device("cpu")
    monkeypatch.setenv(VARIABLE, "gpu")
    with pytest.raises(InvalidInputError, match="device 'gpu' is unknown"):
        pick()


def test_alone_it_is_the_gpu_that_is_current(a_gpu, monkeypatch):
    assert pick("cuda").target == torch.device("cuda")


def test_a_gpu_that_is_reported_and_cannot_be_used_is_said(a_gpu, monkeypatch):
    def broken(*size, device=None):
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device")

    monkeypatch.setattr(torch, "ones", broken)
    with pytest.raises(InvalidInputError, match=r"reported but cannot be used \(CUDA error.*Set TINYLAB_DEVICE=cpu"):
        pick("cuda")
    assert pick("cpu").target.type == "cpu"


# ---------------------------------------------------------------- precision


@pytest.mark.parametrize(
    ("able", "dtype"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
        ({"avx2": True, "avx512_bf16": False}, None),
        (AttributeError("older torch"), None),
    ],
)
def test_the_cpu_takes_bf16_where_its_processor_has_it(processor, able, dtype):
    processor(able)
    threads = torch.get_num_threads()
    device = pick("cpu")
    assert device.autocast_dtype == dtype
    assert device.label == f"CPU ({threads} thread{'s' * (threads > 1)}{', bf16' * (dtype is not None)})"


def test_precision_by_argument_and_by_variable(processor, monkeypatch):
    processor({"avx512_bf16": True})
    assert pick("cpu", "float32").autocast_dtype is None
    assert "bf16" not in pick("cpu", "float32").label
    monkeypatch.setenv(PRECISION_VARIABLE, "float32")
    assert pick("cpu").autocast_dtype is None
    assert pick("cpu", "bf16").autocast_dtype is torch.bfloat16
    monkeypatch.setenv(PRECISION_VARIABLE, "half")
    with pytest.raises(InvalidInputError, match=r"precision 'half' is unknown.*float32, bf16"):
        pick("cpu")


def test_a_gpu_says_what_it_computes_in(a_gpu, monkeypatch):
    monkeypatch.delenv(PRECISION_VARIABLE)
    assert pick("cuda").label == "GPU cuda (bf16)"
    assert pick("cuda", "float32").label == "GPU cuda"


def test_apple_s_gpu_keeps_float32(monkeypatch):
    monkeypatch.delenv(PRECISION_VARIABLE)
    monkeypatch.setattr(tinylab.support.device.torch.backends.mps, "is_available", lambda: True)
    assert pick("mps").autocast_dtype is None
    with pytest.raises(InvalidInputError, match="never tried on Apple's GPU"):
        pick("mps", "bf16")


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_each_precision_gives_the_same_bits_again_on_one_machine(precision):
    def weights():
        model = tiny.network()
        train(model, tiny.dataset(), Recipe(epochs=2, batch=16), device=pick("cpu", precision)).finish()
        return model.state_dict()

    once, again = weights(), weights()
    assert all(torch.equal(once[name], again[name]) for name in once)
    assert all(tensor.dtype == torch.float32 for tensor in once.values())


def test_bf16_rounds_what_float32_keeps():
    models = [tiny.network(), tiny.network()]
    for model, precision in zip(models, ("float32", "bf16"), strict=True):
        train(model, tiny.dataset(), Recipe(epochs=1, batch=16), device=pick("cpu", precision)).finish()
    one, other = ([p.detach() for p in model.parameters()] for model in models)
    assert not all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0.02)
