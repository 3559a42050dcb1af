"""Whole networks: what is packed is what was trained, in few bytes; names; what is damaged is refused."""

import pytest
import torch

from tests import tiny
from tinylab import models, training
from tinylab.course import results
from tinylab.course.results import networks
from tinylab.course.results.store import FOLDER
from tinylab.data.normalisation import Normalisation
from tinylab.support.errors import InvalidInputError, TrainingError
from tinylab.training.checkpoints import Checkpoint

NORMED = "conv3-4 - batch norm - relu - max pool - fc(8) - relu - softmax"


@pytest.fixture(scope="module")
def trained() -> training.Run:
    data = tiny.dataset()
    run = training.train(tiny.network(line=NORMED), data, training.Recipe(epochs=2, batch=30))
    run.finish()
    return run


def made(run: training.Run, accuracy: float = 0.5) -> bytes:
    return networks.pack(run.state(), tiny.dataset().words, accuracy)


def test_what_comes_out_is_what_was_trained(trained):
    network = networks.unpack(made(trained))
    assert (network.architecture, network.words, network.accuracy) == (NORMED, tiny.dataset().words, 0.5)
    assert network.classes == tiny.dataset().classes
    x = torch.randn(6, 3, tiny.SIZE, tiny.SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = trained.model.eval()(x)
        torch.testing.assert_close(network.network()(x), expected, rtol=0, atol=0.01 * float(expected.std()))
    assert (network.normalisation.mean == trained.normalisation.mean).all()


def test_in_8_bits_where_16_are_too_large(trained, monkeypatch):
    whole = trained.state().model
    monkeypatch.setattr(networks, "LARGEST", len(made(trained)) - 1)
    packed = made(trained)
    found = networks.unpack(packed).model
    for name, value in whole.items():
        if value.ndim > 1:  # half a step of 127 for the largest weight of each output
            most = value.abs().flatten(1).amax(dim=1) / 127 / 2
            assert ((found[name] - value).abs().flatten(1).amax(dim=1) <= most * 1.001).all()
            assert not torch.equal(found[name], value)
        else:
            assert torch.equal(found[name], value)
    assert networks.unpack(packed).network() is not None
    monkeypatch.setattr(networks, "LARGEST", 1000)
    with pytest.raises(TrainingError, match=r"takes 0\.0 MB in 8 bits; one that is shipped may take 0\.0.*narrower"):
        made(trained)


def test_the_laptop_s_network_is_small_enough():
    model = models.build("modern-laptop", classes=200)
    norm = Normalisation(torch.zeros(64, 64, 3).numpy(), 1.0)
    classes = tuple(f"n{number:08d}" for number in range(200))
    whole = Checkpoint("modern-laptop", classes, norm, {}, {}, 20, model.state_dict(), {})
    assert len(networks.pack(whole, ("a word, another",) * 200, 0.5)) <= networks.LARGEST == 3_000_000


def test_names_are_those_of_plans_where_that_is_enough(tmp_path, trained):
    for name in ("laptop_modern_a_seed-0", "other_m_a_seed-0", "other_m_b_seed-0"):
        (tmp_path / f"{name}{networks.ENDING}").write_bytes(made(trained))
    assert list(networks.names(tmp_path)) == ["laptop", "other_m_a_seed-0", "other_m_b_seed-0"]
    assert results.network("laptop", tmp_path).architecture == NORMED
    with pytest.raises(InvalidInputError, match="network 'labtop' is unknown, did you mean 'laptop'"):
        results.network("labtop", tmp_path)
    with pytest.raises(InvalidInputError, match="There is none: a plan with `ship = true` makes them"):
        results.network("laptop", tmp_path / "empty")


def test_what_is_damaged_is_refused(tmp_path, trained):
    packed = made(trained)
    path = tmp_path / f"laptop_m{networks.ENDING}"
    place = packed.index(b'"accuracy')
    for wrong in (
        b"",
        packed[:-1],
        packed[:-1] + bytes([packed[-1] ^ 1]),
        b"{}" * 50,
        packed[:place] + packed[place + 1 :],
    ):
        path.write_bytes(wrong)
        with pytest.raises(TrainingError, match=r"laptop_m.*: this is no network that tinylab ships") as caught:
            results.network("laptop", tmp_path)
        assert "\n" not in str(caught.value)


def test_all_that_come_with_tinylab_can_be_asked():
    for name, path in networks.names(FOLDER).items():
        network = results.network(name)
        assert path.stat().st_size <= networks.LARGEST
        assert path.name.removesuffix(networks.ENDING) in results.names()
        size = network.normalisation.mean.shape[0]
        assert network.network()(torch.zeros(1, 3, size, size)).shape == (1, len(network.classes))
        assert len(network.words) == len(network.classes)


def test_a_record_brings_its_network_along(tmp_path, trained):
    from tests.course.results.made import record

    source = tmp_path / "source"
    results.save(record("laptop_m"), source)
    (source / f"laptop_m{networks.ENDING}").write_bytes(made(trained))
    results.add(source, tmp_path / "target", weights=False)
    assert results.network("laptop", tmp_path / "target").accuracy == 0.5
    (source / f"laptop_m{networks.ENDING}").write_bytes(b"damaged")
    with pytest.raises(TrainingError, match="no network"):
        results.add(source, tmp_path / "none")
    assert not (tmp_path / "none").exists()
