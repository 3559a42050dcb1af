"""The four mistakes against what they mean, on paper; what they do to perfect predictions against arithmetic."""

import numpy as np
import pytest
import torch
from torch import nn

from tests import tiny
from tinylab.evaluation import (
    PIXELS,
    Predictions,
    dropout_left_on,
    mix_classes,
    mix_files,
    perfect,
    recorded_oracle,
    scoring_errors,
    wrong_pixels,
)
from tinylab.support.errors import InvalidInputError

FILES = np.array([f"val_{number}.JPEG" for number in range(10_000)])


@pytest.fixture(scope="module")
def real_like():
    """Files and labels of the shape of the real validation set: 200 classes × 50, in no order."""
    return FILES, np.random.default_rng(0).permutation(np.repeat(np.arange(200), 50))


# ---- on paper


def three(files=("b_2.JPEG", "b_10.JPEG", "b_1.JPEG")):
    return Predictions(
        np.array(files), np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]], np.float32), np.array([0, 1, 2])
    )


def test_files_in_sorted_order():
    mixed = mix_files(three())
    assert mixed.files.tolist() == ["b_1.JPEG", "b_2.JPEG", "b_10.JPEG"]
    assert mixed.labels.tolist() == [2, 0, 1]
    # the network saw b_1, b_10, b_2
    np.testing.assert_array_equal(mixed.probabilities, three().probabilities[[2, 1, 0]])


def test_files_shuffled_are_the_same_rows_elsewhere(real_like):
    honest = perfect(*real_like, 200)
    mixed = mix_files(honest, "shuffled", seed=1)
    np.testing.assert_array_equal(np.bincount(mixed.classes), np.bincount(honest.classes))
    np.testing.assert_array_equal(mixed.labels, honest.labels)
    assert (mixed.classes != mix_files(honest, "shuffled", seed=2).classes).any()


def test_classes_in_sorted_order():
    """Output 0 means n03; somebody who sorted the folders takes it for n01, the second of wnids.txt."""
    mixed = mix_classes(three(), ["n03", "n01", "n02"])
    # sorted: n01, n02, n03, so outputs 0, 1, 2 are read as classes 1, 2, 0
    np.testing.assert_array_equal(mixed.probabilities[1], three().probabilities[0][[2, 0, 1]])
    assert mixed.classes.tolist() == [0, 1, 2]  # of b_1, b_2, b_10, which are 2, 0, 1


def test_what_cannot_be_mixed_is_refused():
    with pytest.raises(InvalidInputError, match="'sort' is unknown, did you mean 'sorted'"):
        mix_files(three(), "sort")
    with pytest.raises(InvalidInputError, match="2 classes do not fit predictions for 3"):
        mix_classes(three(), ["n1", "n2"])


# ---- the network's two


class Watched(nn.Module):
    """Remembers what it is given, and in which mode."""

    def __init__(self):
        super().__init__()
        self.drop, self.norm, self.seen = nn.Dropout(0.5), nn.BatchNorm2d(3), []

    def forward(self, x):
        self.seen.append((x.clone(), self.drop.training, self.norm.training))
        return self.drop(self.norm(x)).mean(dim=(2, 3))


def test_wrong_pixels_reach_the_network():
    data, network = tiny.dataset(), Watched()
    x, mean, scale = (
        data.validation.take(slice(None))[0].astype(float),
        data.normalisation.mean,
        data.normalisation.scale,
    )
    expected = {
        "raw": x, "0 to 1": x / 255, "no mean": x / scale, "no scale": x - mean, "shift": (x - mean) / scale - 1
    }  # fmt: skip
    assert set(PIXELS) == set(expected)
    for how, wanted in expected.items():
        wrong_pixels(network, data.validation, data.normalisation, how)
        seen, *modes = network.seen.pop()
        np.testing.assert_allclose(seen.numpy().transpose(0, 2, 3, 1), wanted, rtol=1e-4, atol=1e-4)
        assert modes == [False, False]
    with pytest.raises(InvalidInputError, match="'rwa' is unknown, did you mean 'raw'"):
        wrong_pixels(network, data.validation, data.normalisation, "rwa")


def test_dropout_is_on_and_nothing_else_and_all_is_restored():
    data, network = tiny.dataset(), Watched().eval()
    network.norm.train()
    state = torch.random.get_rng_state()
    one, same, other = (dropout_left_on(network, data.validation, data.normalisation, seed=s) for s in (0, 0, 1))
    assert all((drop, norm) == (True, False) for _, drop, norm in network.seen)
    assert (network.training, network.drop.training, network.norm.training) == (False, False, True)
    assert torch.equal(state, torch.random.get_rng_state())
    np.testing.assert_array_equal(one.probabilities, same.probabilities)
    assert (one.probabilities != other.probabilities).any()


def test_modes_are_restored_after_an_error(monkeypatch):
    data, network = tiny.dataset(), Watched().eval()

    def broken(*given):
        raise RuntimeError

    monkeypatch.setattr(scoring_errors, "as_it_is", broken)
    with pytest.raises(RuntimeError):
        dropout_left_on(network, data.validation, data.normalisation)
    assert not network.drop.training


def test_a_network_without_dropout_is_refused():
    data = tiny.dataset()
    with pytest.raises(InvalidInputError, match="no dropout to leave on"):
        dropout_left_on(tiny.network(line="fc(8) - relu - softmax"), data.validation, data.normalisation)


# ---- perfect predictions, scored wrongly


def test_perfect_predictions_in_sorted_class_order_are_never_right(real_like):
    """0 of 200 classes keep their place in the real archive, and then nothing is right, by arithmetic."""
    files, labels = real_like
    reversed_names = [f"n{200 - c:03d}" for c in range(200)]  # no name keeps its place
    assert mix_classes(perfect(files, labels, 200), reversed_names).accuracy == 0.0
    some_stay = ["b", "a", "c", "d"]
    four = perfect(FILES[:400], np.repeat(np.arange(4), 100), 4)
    assert mix_classes(four, some_stay).accuracy == 0.5


def test_perfect_predictions_in_another_file_order_are_right_by_luck(real_like):
    """A file that keeps its place is right; of the others each is right when it meets one of its own class."""
    files, labels = real_like
    stays = sum(a == b for a, b in zip(sorted(files.tolist()), files.tolist(), strict=True))
    expected = (stays + (len(files) - stays) * 49 / 9999) / len(files)
    assert stays == 12
    deviation = np.sqrt(0.005 / len(files))
    assert mix_files(perfect(files, labels, 200)).accuracy == pytest.approx(expected, abs=4 * deviation)
    shuffled = [mix_files(perfect(files, labels, 200), "shuffled", seed).accuracy for seed in range(20)]
    assert np.mean(shuffled) == pytest.approx(1 / 200, abs=4 * deviation / np.sqrt(20))
    assert perfect(files, labels, 200).accuracy == 1.0


def test_the_recorded_rows_say_that_they_are_recorded():
    table = recorded_oracle()
    assert "not counted just now" in table.caption
    assert ["classes in sorted order", "0.00 %"] in [list(row) for row in table.rows]
