"""Numbers for good filters on made filters, and the rank test against hand numbers and a brute-force one."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests import tiny
from tests.filters.test_address import state
from tinylab import filters
from tinylab.filters.quality import dead_share, roughness, selectivity
from tinylab.support.errors import InvalidInputError

DATA = tiny.dataset()


def test_dead_share_of_a_made_network() -> None:
    model = tiny.network().train()
    with torch.no_grad():
        model[0].bias[:] = torch.tensor([-1000.0, 0.0, -1000.0, -1000.0])
    before = state(model)
    assert filters.quality(model, DATA.validation, DATA.normalisation, 1).dead == 0.75
    assert state(model) == before


def test_dead_is_who_never_speaks() -> None:
    assert dead_share(np.array([[1.0, 0.0, -1.0], [-1.0, 0.0, -2.0]])) == pytest.approx(2 / 3)


def test_roughness_of_known_patterns() -> None:
    row = np.arange(64)
    flat = np.ones((64, 64))
    stripes = np.broadcast_to((-1.0) ** row, (64, 64))
    wave = np.broadcast_to(np.cos(2 * np.pi * row / 8), (64, 64))
    slanted = np.cos(2 * np.pi * (row[:, None] + row[None]) / 8)
    found = roughness(np.stack([flat, stripes, wave, slanted])[:, None])
    assert found == pytest.approx([0, 0.5, 1 / 8, math.sqrt(2) / 8], abs=1e-9)


def test_roughness_of_white_noise_and_of_nothing() -> None:
    random = np.random.default_rng(0)
    assert roughness(random.normal(size=(500, 3, 3, 3))).mean() == pytest.approx(0.383, abs=0.01)
    assert np.isnan(roughness(np.zeros((1, 3, 3, 3)))).all()
    blob = np.ones((1, 1, 3, 3))
    assert roughness(blob)[0] < 0.2 < roughness(blob * np.array([1, -1, 1]))[0]


def test_roughness_adds_power_over_input_channels() -> None:
    kernels = np.random.default_rng(1).normal(size=(1, 2, 3, 3))
    power = [np.square(kernels[:, c]).sum() for c in (0, 1)]
    alone = [roughness(kernels[:, c : c + 1])[0] for c in (0, 1)]
    assert roughness(kernels)[0] == pytest.approx(np.average(alone, weights=power))


def test_roughness_of_images_leaves_their_mean_colour_out() -> None:
    wave = np.cos(2 * np.pi * np.arange(64) / 8)
    image = np.broadcast_to(wave[None, None, :, None], (1, 64, 64, 3)) + np.array([100.0, 20.0, 240.0])
    assert filters.image_roughness(image) == pytest.approx([1 / 8])
    noise = np.random.default_rng(0).uniform(0, 255, (4, 64, 64, 3))
    assert filters.image_roughness(noise).mean() == pytest.approx(0.383, abs=0.01)
    with pytest.raises(InvalidInputError, match="Allowed:"):
        filters.image_roughness(image[0])


def test_selectivity_by_hand() -> None:
    targets = np.array([0, 0, 1, 2])
    means = np.array([[3.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 0.0, 4.0], [1.0, 1.0, 0.0, 0.0]])
    # channel 0: class means 2, 0, 1: (2 - 0.5) / (2 + 0.5)
    assert selectivity(means, targets) == pytest.approx([0.6, 0, 0, 1])
    with pytest.raises(InvalidInputError, match="2 classes or more"):
        selectivity(means, np.zeros(4, int))


def test_quality_bad_input() -> None:
    model = tiny.network()
    with pytest.raises(InvalidInputError, match="layer 2, relu has no kernels"):
        filters.quality(model, DATA.validation, DATA.normalisation, 2)
    with pytest.raises(InvalidInputError, match="'test' has no labels"):
        filters.quality(model, DATA.test, DATA.normalisation, 1)


# ---------------------------------------------------------------- rank correlation


def brute_force(x: list[float], y: list[float]) -> tuple[float, float]:
    """ρ from the formula for ranks without ties, and p by counting all orders."""

    def rho(ranks: list[int]) -> float:
        n = len(ranks)
        return 1 - 6 * sum((a - b) ** 2 for a, b in zip(ranks, second, strict=True)) / (n * (n * n - 1))

    first = [sorted(x).index(value) for value in x]
    second = [sorted(y).index(value) for value in y]
    here = rho(first)
    orders = [rho(list(order)) for order in itertools.permutations(first)]
    return here, sum(abs(other) >= abs(here) - 1e-12 for other in orders) / len(orders)


def test_rank_correlation_against_brute_force() -> None:
    for count in (3, 6):
        random = np.random.default_rng(count)
        x, y = random.normal(size=count).tolist(), random.normal(size=count).tolist()
        found = filters.rank_correlation(x, y)
        assert (found.rho, found.p) == pytest.approx(brute_force(x, y))
        left = [brute_force(x[:i] + x[i + 1 :], y[:i] + y[i + 1 :])[0] for i in range(count)]
        assert (found.lowest, found.highest) == pytest.approx((min(left), max(left)))


def test_published_numbers() -> None:
    # 7 of 10 pairs of Spearman's IQ and hours of television, a textbook example: ρ = -29/165 over all ten
    iq = [106, 86, 100, 101, 99, 103, 97, 113, 112, 110]
    hours = [7, 0, 27, 50, 28, 29, 20, 12, 6, 17]
    found = filters.rank_correlation(iq, hours)
    assert found.rho == pytest.approx(-29 / 165)
    assert found.p == pytest.approx(0.6272, abs=0.02)  # sampled


def test_ties_share_their_mean_rank() -> None:
    found = filters.rank_correlation([1, 2, 2, 3], [1, 2, 3, 4])
    assert found.rho == pytest.approx(np.corrcoef([1, 2.5, 2.5, 4], [1, 2, 3, 4])[0, 1])


def test_a_constant_ranks_nothing() -> None:
    found = filters.rank_correlation([0, 0, 0], [1, 2, 3])
    assert math.isnan(found.rho)
    assert found.p == 1
    ranked = filters.ranking({"dead": [0, 0, 0]}, [0.1, 0.2, 0.3], 100)
    assert list(ranked.table().rows[0][:3]) == ["dead", "–", "the same everywhere"]


def test_rank_correlation_bad_input() -> None:
    for x, y in (([1, 2], [1, 2]), ([1, 2, 3], [1, 2]), ([1, 2, math.nan], [1, 2, 3])):
        with pytest.raises(InvalidInputError, match="Allowed: two lists"):
            filters.rank_correlation(x, y)


# ---------------------------------------------------------------- the verdict


def test_too_few_networks_cannot_settle_it() -> None:
    found = filters.ranking({"dead": [4, 3, 2, 1]}, [0.1, 0.2, 0.3, 0.4], 100)
    assert found.least == pytest.approx(2 / 24)
    assert found.verdict.startswith("4 networks cannot settle it")
    assert found.found == ()


def test_a_quality_that_ranks_and_one_that_does_not() -> None:
    accuracies = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    found = filters.ranking({"rough": [6, 5, 4, 3, 2, 1], "dead": [3, 1, 2, 1, 3, 2]}, accuracies, 100)
    assert found.found == ("rough",)
    assert found.level == 0.025
    assert found.correlations["rough"].p == pytest.approx(2 / 720)
    assert "rough (less of it in better networks, ρ = -1.00) ranks these 6 networks" in found.verdict
    assert "yes" in str(found.table())


def test_none_does() -> None:
    found = filters.ranking({"dead": [3, 1, 2, 1, 3, 2]}, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], 100)
    assert found.verdict.startswith("None of the 1 qualities ranks these 6 networks")


def test_more_qualities_are_judged_more_strictly() -> None:
    accuracies, values = [0.1, 0.2, 0.3, 0.4, 0.5], [1, 2, 3, 5, 4]  # ρ = 0.9, p = 1/12
    one = filters.ranking({"a": [1, 2, 3, 4, 5]}, accuracies, 100)
    three = filters.ranking({"a": [1, 2, 3, 4, 5], "b": values, "c": values}, accuracies, 100)
    assert one.found == ("a",)  # p = 2/120
    assert three.level == pytest.approx(0.05 / 3)
    assert three.found == ("a",)
    four = filters.ranking({name: [1, 2, 3, 4, 5] for name in "abcd"}, accuracies, 100)
    assert four.found == ()


def test_pairs_of_networks_that_really_differ() -> None:
    # standard errors at 100 images: 0.04, 0.05, 0.049; 0.5 and 0.62 differ by 1.7 of their difference's, 0.070
    found = filters.ranking({"dead": [1, 2, 3]}, [0.2, 0.5, 0.62], 100)
    assert found.clear == (2, 3)
    assert "Of 3 pairs of networks, 2 differ" in str(found)
    assert filters.ranking({"dead": [1, 2, 3]}, [0.2, 0.5, 0.62], 10_000).clear == (3, 3)


@pytest.mark.parametrize(
    ("qualities", "accuracies", "images", "says"),
    [
        ({}, [0.1, 0.2, 0.3], 10, "no qualities"),
        ({"a": [1, 2, 3]}, [10, 20, 30], 10, "Allowed: shares from 0 to 1"),
        ({"a": [1, 2, 3]}, [0.1, 0.2, 0.3], 0, "images 0 is not possible"),
    ],
)
def test_ranking_bad_input(qualities: dict, accuracies: list, images: int, says: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        filters.ranking(qualities, accuracies, images)
    assert says in str(caught.value)


def test_it_prints_as_table_and_sentence() -> None:
    found = filters.ranking({"<b>": [1, 2, 3]}, [0.1, 0.2, 0.3], 100)
    assert "<table" in found._repr_html_()
    assert "<b>" not in found._repr_html_()
    assert "cannot settle it" in replace(found)._repr_html_()
