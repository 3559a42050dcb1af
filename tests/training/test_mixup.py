"""Mixup and cutmix against images mixed one at a time, and their labels against the pixels that were really taken."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot

from tests import tiny
from tests.training.made import BUSY, CPU, DATA, copied, same, untimed
from tinylab.support.seeds import derive_seed
from tinylab.training import train
from tinylab.training.mixup import mix, shared_accuracy, shared_loss

SEEDS = range(40)


def batch(count: int = 7, height: int = 9, width: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, 3, height, width, generator=generator).contiguous(memory_format=torch.channels_last)
    return x, torch.arange(count)


def test_mixup_adds_each_image_and_the_one_before_it():
    x, y = batch()
    for seed in SEEDS:
        mixed, ((share, labels), (rest, others)) = mix(x, y, mixup=0.4, cutmix=0.0, seed=seed)
        assert share == np.random.default_rng(seed).beta(0.4, 0.4)
        assert rest == pytest.approx(1 - share)
        assert labels.tolist() == list(range(7))
        assert others.tolist() == [6, 0, 1, 2, 3, 4, 5]
        expected = share * x.double() + (1 - share) * x.roll(1, dims=0).double()
        torch.testing.assert_close(mixed.double(), expected, rtol=1e-5, atol=1e-6, check_stride=False)
        assert mixed.is_contiguous(memory_format=torch.channels_last)


def test_cutmix_pastes_a_box_and_shares_the_label_by_pixels():
    x, y = batch()
    shares = []
    for seed in SEEDS:
        before = x.clone()
        mixed, ((share, labels), (rest, others)) = mix(x, y, mixup=0.0, cutmix=1.0, seed=seed)
        assert torch.equal(x, before)  # the batch itself stays
        taken = (mixed != x).any(dim=1)  # (B, H, W): which pixels are another image's
        assert all(torch.equal(taken[0], one) for one in taken)
        assert torch.equal(mixed.movedim(1, -1)[taken], x.roll(1, 0).movedim(1, -1)[taken])
        rows, columns = taken[0].any(dim=1), taken[0].any(dim=0)
        assert torch.equal(taken[0], rows[:, None] & columns[None])  # a box
        for line in (rows, columns):
            assert line.diff().sum() <= 2  # without a gap
        assert rest == pytest.approx(taken[0].float().mean().item())
        assert share + rest == pytest.approx(1)
        assert (labels.tolist(), others.tolist()) == (y.tolist(), y.roll(1).tolist())
        assert mixed.is_contiguous(memory_format=torch.channels_last)
        shares.append(share)
    assert len(set(shares)) > 15
    assert min(shares) < 0.3
    assert max(shares) > 0.9


def test_a_box_in_the_middle_has_the_share_that_was_drawn():
    """Where nothing is cut off, sides are sqrt(1 - share) of the image's, to the pixel (Yun et al., equation 2)."""
    seen = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        share, row, column = rng.beta(1, 1), rng.integers(64), rng.integers(64)
        half = 32 * np.sqrt(1 - share)
        if not all(half + 1 < middle < 63 - half for middle in (row, column)):
            continue
        x, y = batch(2, 64, 64)
        mixed, ((kept, _), _) = mix(x, y, mixup=0.0, cutmix=1.0, seed=seed)
        assert kept == pytest.approx(share, abs=0.03)
        inside = (mixed != x).any(dim=1)[0].nonzero().double()
        assert inside.mean(dim=0).tolist() == pytest.approx([row, column], abs=1)
        seen += 1
    assert seen > 10


def test_with_both_a_coin_decides():
    x, y = batch()
    pasted = [bool((mix(x, y, mixup=0.4, cutmix=1.0, seed=seed)[0] == x).any()) for seed in range(200)]
    assert 60 < sum(pasted) < 140  # six standard deviations


def test_loss_and_accuracy_share_the_labels():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(6, 5, generator=generator)
    one, other = torch.tensor([0, 1, 2, 3, 4, 0]), torch.tensor([4, 1, 0, 0, 2, 3])
    targets = ((0.3, one), (0.7, other))
    soft = 0.3 * one_hot(one, 5) + 0.7 * one_hot(other, 5)
    torch.testing.assert_close(shared_loss(logits, targets), cross_entropy(logits, soft))
    smooth = cross_entropy(logits, soft, label_smoothing=0.2)
    torch.testing.assert_close(shared_loss(logits, targets, 0.2), smooth)
    answers = logits.argmax(1)
    right = 0.3 * (answers == one).double().mean() + 0.7 * (answers == other).double().mean()
    assert shared_accuracy(logits, targets).item() == pytest.approx(right.item())
    assert torch.equal(shared_loss(logits, ((1.0, one),), 0.1), cross_entropy(logits, one, label_smoothing=0.1))


@pytest.mark.parametrize("change", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.2, "cutmix": 1.0}, {"erase": 0.5}])
def test_a_run_mixes_the_same_way_after_it_was_resumed(tmp_path, change):
    recipe = replace(BUSY, **change)
    path = tmp_path / "run.pt"
    straight, plain = train(tiny.network(), DATA, recipe, device=CPU), train(tiny.network(), DATA, BUSY, device=CPU)
    straight.finish()
    plain.finish()
    next(iter(train(tiny.network(), DATA, recipe, device=CPU, checkpoint=path)))
    run = train(tiny.network(seed=2), DATA, recipe, device=CPU, checkpoint=path, resume=True)
    assert untimed(run.finish()) == untimed(straight.history)
    assert same(copied(run.model), copied(straight.model))
    assert not same(copied(run.model), copied(plain.model))


def test_the_first_step_s_loss_is_that_of_the_mixed_batch():
    recipe = replace(BUSY, dropout=0.0, mixup=0.4)
    model = tiny.network()
    run = train(model, DATA, recipe, device=CPU)
    x, y = next(run.batches.epoch(1))
    share = np.random.default_rng(derive_seed(0, 1, 1, 0, 1)).beta(0.4, 0.4)
    logits = model.eval()(share * x + (1 - share) * x.roll(1, 0))
    expected = share * cross_entropy(logits, y) + (1 - share) * cross_entropy(logits, y.roll(1))
    assert next(run.steps()).loss == pytest.approx(expected.item(), rel=1e-5)
