"""Waves against numpy's FFT, colours against the data's covariance, shaking against geometry."""

import numpy as np
import pytest
import torch

from tests import tiny
from tinylab import filters
from tinylab.filters import parametrisation
from tinylab.filters.parametrisation import Image, disturbed, frequencies, from_waves
from tinylab.support.errors import InvalidInputError

CPU = torch.device("cpu")


def image(**changes: object) -> Image:
    wanted: dict[str, object] = {"fourier": False, "basis": None, "bounded": False, "seed": 0, "device": CPU} | changes
    return Image([0, 1], 16, 16, **wanted)  # type: ignore[arg-type]


def test_waves_against_numpy() -> None:
    random, width = np.random.default_rng(0), 13
    coefficients = random.normal(size=(2, 3, 10, width // 2 + 1, 2))
    frequency = np.hypot(np.fft.fftfreq(10)[:, None], np.fft.rfftfreq(width)[None])
    spectrum = (coefficients[..., 0] + 1j * coefficients[..., 1]) / np.maximum(frequency, 1 / max(10, width))
    expected = np.fft.irfft2(spectrum, s=(10, width), norm="ortho")
    found = from_waves(torch.from_numpy(coefficients), 10, width)
    assert found.dtype == torch.float64
    assert found.numpy() == pytest.approx(expected, abs=1e-6)  # the frequencies are float32


def test_frequencies_are_cycles_per_pixel() -> None:
    found = frequencies(64, 64)
    assert found.shape == (64, 33)
    assert float(found.max()) == pytest.approx(0.5 * 2**0.5)
    assert found[1, 0] == found[0, 1] == 1 / 64


def test_mixing_reproduces_the_covariance_of_the_data() -> None:
    data = tiny.dataset()
    basis = filters.colour_basis(data.train)
    images = data.train.take(slice(None))[0].reshape(-1, 3) / 255.0
    centred = images - images.mean(axis=0)
    covariance = centred.T @ centred / len(images)
    assert basis @ basis.T == pytest.approx(covariance, abs=1e-12)
    drawn = np.random.default_rng(0).normal(size=(200_000, 3)) @ basis.T
    assert np.cov(drawn.T) == pytest.approx(covariance, rel=0.05, abs=5e-4)
    assert filters.colour_basis(data.train.take(slice(None))[0]) == pytest.approx(basis)


def test_grey_data_mix_into_grey() -> None:
    grey = np.repeat(np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1), dtype=np.uint8), 3, axis=3)
    pixels = image(basis=filters.colour_basis(grey)).pixels().detach()
    assert float((pixels - pixels.mean(dim=1, keepdim=True)).abs().max()) < 1e-3
    assert float(pixels.std()) > 1


def test_colours_need_decoded_images() -> None:
    for images in (np.zeros((2, 8, 8, 3)), np.zeros((8, 8, 3), np.uint8), np.zeros((0, 8, 8, 3), np.uint8)):
        with pytest.raises(InvalidInputError, match="Allowed: uint8"):
            filters.colour_basis(images)


def test_at_the_start_the_image_of_2016_is_grey_with_uniform_noise() -> None:
    pixels = image().pixels().detach()
    assert float(pixels.min()) >= 127.5 - 10.001
    assert float(pixels.max()) <= 127.5 + 10.001
    assert float(pixels.detach().std()) == pytest.approx(20 / 12**0.5, rel=0.1)


def test_the_sigmoid_bounds_and_has_the_same_slope_at_grey() -> None:
    free, bound = image(), image(bounded=True)
    assert float((free.pixels() - bound.pixels()).detach().abs().max()) < 0.2
    with torch.no_grad():
        free.numbers *= 100
        bound.numbers *= 100
    assert float(free.pixels().detach().max()) > 255
    assert 0 <= float(bound.pixels().detach().min()) < float(bound.pixels().detach().max()) <= 255


def test_the_start_of_an_image_depends_on_its_channel_and_the_seed_alone() -> None:
    both, one = image(fourier=True), Image([1], 16, 16, fourier=True, basis=None, bounded=False, seed=0, device=CPU)
    assert torch.equal(both.numbers[1], one.numbers[0])
    assert not torch.equal(both.numbers[0], both.numbers[1])
    assert not torch.equal(image(seed=1).numbers, image().numbers)


def test_shaking_moves_a_dot_by_a_few_pixels_and_brings_in_grey() -> None:
    pixels = torch.full((2, 3, 64, 64), 127.5)
    pixels[:, :, 20:23, 40:43] = 255.0
    generator = torch.Generator().manual_seed(0)
    places = []
    for _ in range(20):
        moved = disturbed(pixels, generator)
        assert torch.equal(moved[0], moved[1])  # all images of a batch alike
        weight = (moved[0, 0] - 127.5).clamp(min=0)
        rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
        places.append([float((weight * axis).sum() / weight.sum()) for axis in (rows, columns)])
        assert float(weight.sum()) == pytest.approx(9 * 127.5, rel=0.15)
    away = np.array(places) - [21, 41]
    assert 0.5 < np.abs(away).max() < 6  # 3 of the shifts, and what turning and scaling do this far from the middle
    assert np.abs(away.mean(axis=0)).max() < 1.5
    white = torch.cat([disturbed(torch.full((1, 3, 64, 64), 255.0), generator) for _ in range(5)])
    assert float(white.min()) == pytest.approx(127.5)
    assert float(white[..., 10:-10, 10:-10].min()) > 254.9


def test_without_chance_nothing_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JITTER", "FINE_JITTER", "SCALE", "TURN"):
        monkeypatch.setattr(parametrisation, name, 0.0)
    pixels = 255 * torch.rand(2, 3, 16, 16)
    assert disturbed(pixels, torch.Generator()).numpy() == pytest.approx(pixels.numpy(), abs=1e-2)
