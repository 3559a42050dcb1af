"""Batches, augmentation and normalisation against slow per-image references in numpy float64."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from tinylab.data import batches as room
from tinylab.data.augment import Augment, crop_and_flip
from tinylab.data.batches import Batches
from tinylab.data.normalisation import Normalisation
from tinylab.support.device import Device, pick
from tinylab.support.errors import DataError, InvalidInputError
from tinylab.support.seeds import derive_seed

CPU = pick("cpu")


@dataclass
class Part:
    """Stands in for a Split: `images` uint8 (N, H, W, 3), `targets` int64 (N,) or None."""

    images: np.ndarray
    targets: np.ndarray | None = None
    name: str = "train"

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows):
        return self.images[rows], None if self.targets is None else self.targets[rows]


def part(count: int, size: int = 8, seed: int = 0) -> Part:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return Part(images, rng.integers(0, 5, count))


def slow(image: np.ndarray, flip: bool, down: int, right: int) -> np.ndarray:
    """Pad with repeated edges, cut the window out, mirror it: one image, numpy's own padding."""
    H, W, _ = image.shape
    margin = 40
    padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    window = padded[margin - down : margin - down + H, margin - right : margin - right + W]
    return window[:, ::-1] if flip else window


# ---- normalisation


@pytest.mark.parametrize("count", [1, 600])  # 600: more than two chunks, the last one smaller
def test_fit_equals_float64(count):
    split = part(count)
    split.images[..., 1] //= 5  # channels of different spread
    fitted = Normalisation.fit(split)
    exact = split.images.astype(np.float64)
    mean = exact.mean(axis=0)
    std = (exact - mean).std(axis=(0, 1, 2)) if count > 1 else np.ones(3)
    np.testing.assert_allclose(fitted.mean, mean, rtol=1e-7)
    np.testing.assert_allclose(fitted.scale, std, rtol=1e-6)
    assert fitted.mean.dtype == fitted.scale.dtype == np.float32


def test_fit_is_exact_for_bright_images():
    """The largest sums that can occur: all squares at 255, where float32 would start to round."""
    split = Part(np.full((700, 4, 4, 3), 255, np.uint8))
    split.images[::2, ..., 0] = 254
    fitted = Normalisation.fit(split)
    np.testing.assert_allclose(fitted.scale, [0.5, 1, 1], rtol=1e-7)


def test_constant_channel_becomes_zero():
    split = part(10)
    split.images[..., 2] = 77
    fitted = Normalisation.fit(split)
    assert fitted.scale[2] == 1
    assert torch.equal(fitted.apply(split.images)[:, 2], torch.zeros(10, 8, 8))


def test_apply_equals_float64_and_is_channels_last_without_a_copy():
    split = part(6)
    fitted = Normalisation.fit(split)
    x = fitted.apply(torch.from_numpy(split.images))
    expected = (split.images.astype(np.float64) - fitted.mean.astype(np.float64)) / fitted.scale
    np.testing.assert_allclose(x.numpy(), expected.transpose(0, 3, 1, 2), rtol=1e-5, atol=1e-6)
    assert x.shape == (6, 3, 8, 8)
    assert x.dtype == torch.float32
    assert x.contiguous(memory_format=torch.channels_last).data_ptr() == x.data_ptr()
    np.testing.assert_allclose(x.mean(dim=0).numpy(), 0, atol=1e-5)


def test_normalisation_refuses_nonsense():
    with pytest.raises(DataError, match="no images"):
        Normalisation.fit(part(0))
    with pytest.raises(InvalidInputError, match="scales above 0"):
        Normalisation(np.zeros((8, 8, 3)), np.zeros(3))
    with pytest.raises(InvalidInputError, match="mean image"):
        Normalisation(np.zeros(3), np.ones(3))
    assert Normalisation(np.zeros((8, 8, 3)), 2.0).scale.tolist() == [2, 2, 2]


# ---- crop and flip


def test_crop_and_flip_equals_one_image_at_a_time():
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (40, 5, 9, 3), dtype=np.uint8)
    flips = rng.random(40) < 0.5
    shifts = rng.integers(-12, 13, (40, 2))  # beyond the image's own size as well
    expected = np.stack([slow(i, f, *s) for i, f, s in zip(images, flips, shifts, strict=True)])
    given = (torch.from_numpy(a) for a in (images, flips, shifts))
    np.testing.assert_array_equal(crop_and_flip(*given).numpy(), expected)


def test_draws_cover_every_shift_and_flip_half():
    flips, shifts = Augment(flip=True, crop=4).draw(4000, torch.Generator().manual_seed(0))
    assert 1850 < flips.sum() < 2150
    assert set(shifts.flatten().tolist()) == set(range(-4, 5))
    flips, shifts = Augment().draw(100, torch.Generator())
    assert not flips.any()
    assert not shifts.any()


def test_variants_are_seeded_and_differ():
    image = part(1).images[0]
    first = Augment(flip=True, crop=4).variants(image, 6, seed=1)
    assert first.shape == (6, 8, 8, 3)
    np.testing.assert_array_equal(first, Augment(flip=True, crop=4).variants(image, 6, seed=1))
    assert len({v.tobytes() for v in first}) > 1
    np.testing.assert_array_equal(Augment().variants(image, 2), [image, image])


def test_augment_refuses():
    for bad in ({"crop": 33}, {"flip": 1}):
        with pytest.raises(InvalidInputError, match="Allowed"):
            Augment(**bad)


# ---- batches


def check_int(batches, number=0):
    pieces = list(batches.epoch(number))
    return torch.cat([x for x, _ in pieces]), torch.cat([y for _, y in pieces])


def test_an_epoch_holds_every_image_once_with_its_label():
    split = part(23)
    fitted = Normalisation.fit(split)
    shuffled = Batches(split, fitted, batch=5, device=CPU, shuffle=True, seed=3)
    assert len(shuffled) == 5
    assert shuffled.count == 23
    assert [len(y) for _, y in shuffled.epoch()] == [5, 5, 5, 5, 3]
    x, y = check_int(shuffled)
    assert y.dtype == torch.int64
    original = {
        image.numpy().tobytes(): target for image, target in zip(fitted.apply(split.images), split.targets, strict=True)
    }
    seen = {image.numpy().tobytes(): int(target) for image, target in zip(x, y, strict=True)}
    assert seen == original
    x, y = check_int(Batches(split, fitted, batch=5, device=CPU))  # without shuffling: in order
    assert torch.equal(x, fitted.apply(split.images))
    assert y.tolist() == split.targets.tolist()


def test_batches_equal_a_slow_loop():
    """Order, crop, flip, then normalise, image by image, with the draws that the epoch's seed gives."""
    split = part(17)
    fitted = Normalisation.fit(split)
    augment = Augment(flip=True, crop=3)
    x, y = check_int(Batches(split, fitted, batch=4, device=CPU, augment=augment, shuffle=True, seed=5), 7)
    generator = torch.Generator().manual_seed(derive_seed(5, 7))
    order = torch.randperm(17, generator=generator)
    flips, shifts = augment.draw(17, generator)
    for position, row in enumerate(order.tolist()):
        changed = slow(split.images[row], bool(flips[position]), *shifts[position].tolist())
        expected = (changed.astype(np.float64) - fitted.mean) / fitted.scale
        np.testing.assert_allclose(x[position].numpy(), expected.transpose(2, 0, 1), rtol=1e-5, atol=1e-6)
        assert y[position] == split.targets[row]


def test_epochs_depend_on_seed_and_number_only():
    split = part(12)
    fitted = Normalisation.fit(split)

    def make(seed=0):
        augment = Augment(flip=True, crop=2)
        return Batches(split, fitted, batch=5, device=CPU, augment=augment, shuffle=True, seed=seed)

    one = make()
    first = check_int(one, 3)
    before = torch.get_rng_state()
    check_int(one, 4)
    torch.rand(7)  # somebody else's randomness
    assert torch.equal(check_int(one, 3)[0], first[0])
    assert torch.equal(check_int(make(), 3)[0], first[0])
    assert not torch.equal(check_int(one, 4)[0], first[0])
    assert not torch.equal(check_int(make(seed=1), 3)[0], first[0])
    torch.set_rng_state(before)
    check_int(one)
    assert torch.equal(torch.get_rng_state(), before)  # the global generator is not touched


def test_resident_images_give_the_same_batches(monkeypatch):
    split = part(12)
    fitted = Normalisation.fit(split)

    def make():
        return Batches(split, fitted, batch=5, device=CPU, augment=Augment(crop=2), shuffle=True)

    mapped = check_int(make(), 1)
    monkeypatch.setattr(room, "_fits", lambda size, target: True)
    split_take, calls = split.take, []
    monkeypatch.setattr(split, "take", lambda rows: calls.append(len(rows)) or split_take(rows), raising=False)
    resident = check_int(make(), 1)
    assert calls == [12]  # read once, whole
    assert torch.equal(resident[0], mapped[0])
    assert torch.equal(resident[1], mapped[1])


def test_the_decision_asks_for_free_memory(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda target: (1000, 2000))
    assert room._fits(500, torch.device("cuda"))
    assert not room._fits(501, torch.device("cuda"))
    assert not room._fits(1, torch.device("cpu"))


def test_memory_format_is_the_devices():
    split = part(4)
    plain = Device(torch.device("cpu"), "plain", None, torch.contiguous_format)
    x, _ = next(Batches(split, Normalisation.fit(split), device=plain).epoch())
    assert x.is_contiguous()
    x, _ = next(Batches(split, Normalisation.fit(split), device=CPU).epoch())
    assert x.is_contiguous(memory_format=torch.channels_last)


def test_unlabelled_images_have_label_minus_one():
    split = Part(part(3).images)
    batches = Batches(split, Normalisation.fit(split), device=CPU)
    assert not batches.labelled
    assert check_int(batches)[1].tolist() == [-1, -1, -1]


def test_no_images_no_batch_and_bad_seed():
    split = part(3)
    with pytest.raises(DataError, match="no images"):
        Batches(part(0), Normalisation.fit(split), device=CPU)
    with pytest.raises(InvalidInputError, match=r"batch 0 .* whole number from 1"):
        Batches(split, Normalisation.fit(split), batch=0, device=CPU)
    with pytest.raises(InvalidInputError, match="seed"):
        derive_seed(-1)


def test_streams_do_not_repeat_between_neighbours():
    assert len({derive_seed(seed, epoch) for seed in range(40) for epoch in range(40)}) == 1600
