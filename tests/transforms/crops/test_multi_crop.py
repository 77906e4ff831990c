"""Crops by value: place, scale, padding, brightness; every choice addressed; drawn uniformly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from monai_cl.transforms import (
    BandEnergies,
    EnergyReference,
    MultiCrop,
    apply_crops,
    band_factors,
    draw_crop,
    spectrum,
)
from monai_cl.transforms.crops.crop import Crop
from monai_cl.transforms.crops.resampling import axis_spans, resampling_matrices
from tests.transforms.crops.bands import scale_bands

RAMP = torch.arange(30.0).reshape(1, 5, 6) / 30


def apply_crop(image: torch.Tensor, crop: Crop, **options) -> torch.Tensor:
    return apply_crops(image, [crop], **options)[0]


def test_without_a_change_of_scale_a_crop_is_a_part_of_the_image():
    cut = apply_crop(RAMP, Crop(rescaled=(5, 6), start=(1, 2), size=(3, 2)))
    assert torch.equal(cut, RAMP[:, 1:4, 2:4])


def test_beyond_the_image_there_is_air_on_every_side():
    cut = apply_crop(RAMP, Crop(rescaled=(5, 6), start=(-2, -1), size=(8, 9)), air=0.25)
    expected = torch.full((1, 8, 9), 0.25)
    expected[:, 2:7, 1:7] = RAMP
    assert torch.equal(cut, expected)


def test_a_smaller_scale_averages_and_does_not_pick_pixels():
    board = (torch.arange(64)[:, None] + torch.arange(64)[None]).remainder(2).float()[None]
    cut = apply_crop(board, Crop(rescaled=(16, 16), start=(4, 4), size=(8, 8)))
    torch.testing.assert_close(cut, torch.full((1, 8, 8), 0.5), rtol=0, atol=0.02)


@pytest.mark.parametrize("rescaled", [(23, 60), (40, 31), (90, 7)])
@pytest.mark.parametrize("dense", [False, True])
def test_a_crop_is_a_part_of_the_rescaled_image(rescaled, dense):
    image = torch.rand(2, 40, 30, dtype=torch.float64)
    whole = nn.functional.interpolate(image[None], rescaled, mode="bilinear", antialias=True)[0]
    crops = [Crop(rescaled, start, (21, 6)) for start in ((1, 0), (0, 1))]
    cut = apply_crops(image, crops, dense=dense)
    for found, crop in zip(cut, crops):
        (y, x), (height, width) = crop.start, crop.size
        torch.testing.assert_close(found, whole[:, y : y + height, x : x + width], rtol=0, atol=1e-6)


SIGMAS, ENERGIES = (1.0, 2.0), (0.06, 0.02, 0.012)


@pytest.mark.parametrize("dense", [False, True])
def test_energies_change_the_whole_image_before_it_is_cut(dense):
    image = 0.3 + 0.2 * torch.rand(2, 24, 18, dtype=torch.float64)
    crop = Crop((30, 20), (-2, 3), (12, 22), slope=0.9, offset=0.1)
    factors = band_factors(spectrum(image, SIGMAS).energies, torch.tensor(ENERGIES, dtype=torch.float64))
    scaled = scale_bands(image, factors, SIGMAS)
    low, high = image.aminmax()
    expected = apply_crop(scaled, replace(crop, slope=1.0, offset=0.0), air=0.25)
    expected = (0.9 * expected + 0.1 * (high - low)).clamp(0, 1)
    options = {"air": 0.25, "sigmas": SIGMAS, "dense": dense}
    both = apply_crops(image, [replace(crop, gamma=2.0), replace(crop, energies=ENERGIES)], **options)
    assert scaled.min() > 0
    assert scaled.max() < 1  # nothing is clipped in between
    torch.testing.assert_close(both[1], expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(both[0], apply_crop(image, replace(crop, gamma=2.0), air=0.25), rtol=0, atol=1e-9)


def test_each_modality_has_energies_of_its_own_half_of_the_time():
    energies = {name: BandEnergies((mean,) * 3, (0.0,) * 3) for name, mean in (("CT", 0.1), ("MR", 0.3))}
    views = MultiCrop(seed=0, energy=EnergyReference((20, 20), SIGMAS, energies), modalities=("CT", "MR"))
    drawn = [views._draw(torch.zeros(1, 20, 20), position, 0, (8, 8)) for position in range(400)]
    for index, mean in enumerate((0.1, 0.3)):
        own = [crop.energies for crop in drawn[index::2]]
        assert set(own) == {(), (mean,) * 3}
        assert 70 < own.count(()) < 130
    plain = MultiCrop(seed=0)._draw(torch.zeros(1, 20, 20), 3, 0, (8, 8))
    assert replace(drawn[3], energies=()) == plain  # the other draws are the same
    large, small = views(torch.rand(2, 1, 20, 20), [0, 1])
    assert torch.isfinite(large).all()
    assert torch.isfinite(small).all()
    with pytest.raises(ValueError, match=r"slices must be of \(20, 20\), as the energies', got \(20, 24\)"):
        views(torch.rand(2, 1, 20, 24), [0, 1])
    with pytest.raises(ValueError, match="energy must have the modalities CT, US, got CT, MR"):
        MultiCrop(seed=0, energy=views.energy, modalities=("CT", "US"))


def test_least_and_greatest_size_may_be_given_for_both_axes():
    options = {"image_size": (224, 192), "size": (112, 96), "rescaled_side": ((112, 96), (250, 200))}
    drawn = [draw_crop(np.random.default_rng(seed), **options).rescaled for seed in range(100)]
    for height, width in drawn:
        assert abs((height - 112) / 138 - (width - 96) / 104) < 0.01
    assert min(drawn)[0] < 120 < 240 < max(drawn)[0]


def test_gamma_then_the_linear_map_then_the_clip():
    cut = apply_crop(RAMP, Crop((5, 6), (0, 0), (5, 6), gamma=2.0, slope=1.1, offset=-0.2))
    span = float(RAMP.max() - RAMP.min())
    torch.testing.assert_close(cut, (1.1 * RAMP**2 - 0.2 * span).clamp(0, 1))


@pytest.mark.parametrize(
    ("image", "scale", "side", "low", "high"),
    [
        ((512, 640), (0.1, 0.7), None, 0.1, 0.7),
        ((1000, 2000), (0.1, 0.7), (600, 1200), 0.6, 0.7),
        ((512, 512), (0.1, 0.7), (600, 1200), 600 / 512, 600 / 512),  # both cannot hold
        ((8000, 8000), (0.5, 0.7), (600, 1200), 0.15, 0.15),
    ],
)
def test_the_scale_is_uniform_on_what_both_ranges_allow(image, scale, side, low, high):
    rng = np.random.default_rng(0)
    drawn = [draw_crop(rng, image_size=image, size=8, scale=scale, rescaled_side=side) for _ in range(400)]
    factors = np.array([crop.rescaled[0] / image[0] for crop in drawn])
    assert low - 0.001 <= factors.min() <= factors.max() <= high + 0.001
    if low < high:
        assert stats.kstest(factors, "uniform", args=(low, high - low)).pvalue > 0.01


@pytest.mark.parametrize(("rescaled", "size", "places"), [(8, 5, range(4)), (5, 8, range(-3, 1)), (5, 5, range(1))])
def test_every_place_is_as_likely(rescaled, size, places):
    rng, options = np.random.default_rng(1), {"image_size": (rescaled, rescaled), "size": size, "scale": (1.0, 1.0)}
    starts = [draw_crop(rng, **options).start for _ in range(600)]
    for axis in range(2):
        counts = np.array([sum(start[axis] == place for start in starts) for place in places])
        assert counts.sum() == 600
        assert stats.chisquare(counts).pvalue > 0.01 if len(places) > 1 else True


def test_half_of_the_crops_are_darker_and_half_have_another_brightness():
    rng = np.random.default_rng(2)
    drawn = [draw_crop(rng, image_size=(64, 64), size=8) for _ in range(600)]
    gammas = [crop.gamma for crop in drawn if crop.gamma != 1]
    slopes = [crop.slope for crop in drawn if (crop.slope, crop.offset) != (1, 0)]
    assert 250 < len(gammas) < 350
    assert 250 < len(slopes) < 350
    assert 1.8 <= min(gammas) < 1.85
    assert 2.55 < max(gammas) <= 2.6
    assert 0.9 <= min(slopes) < max(slopes) <= 1.1


def test_a_crop_depends_on_seed_position_and_number_alone():
    views = MultiCrop(seed=5, count=(2, 3), size=(16, 8))
    images = torch.rand(3, 2, 40, 32)
    large, small = views(images, torch.tensor([7, 8, 9]))
    assert (large.shape, small.shape) == ((3, 2, 2, 16, 16), (3, 3, 2, 8, 8))
    (other_large, other_small) = views(images[1:2], [8])
    assert torch.equal(other_large[0], large[1])
    assert torch.equal(other_small[0], small[1])
    assert not torch.equal(large[:, 0], large[:, 1])
    assert not torch.equal(MultiCrop(seed=6, count=(2, 3), size=(16, 8))(images, [7, 8, 9])[0], large)


def test_at_inference_slices_are_unchanged_and_large_crops_alone_are_one_size():
    images = torch.rand(2, 1, 20, 20)
    assert torch.equal(MultiCrop(seed=0).eval()(images), images[:, None])
    (large,) = MultiCrop(seed=0, count=(2, 0), size=(16, (8, 8)))(images, [0, 1])
    assert large.shape == (2, 2, 1, 16, 16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": (0, 4)}, r"count must be two numbers, 1 or more large crops and 2 in all, got \[0, 4\]"),
        ({"count": (1, 0)}, "2 in all"),
        ({"size": (224, 0)}, "size must be >= 1"),
        ({"scale": (0, 1)}, "scale must be two numbers 0 < low <= high, got 0 and 1"),
        ({"gamma": (2, 1)}, "gamma must be"),
        ({"probability": 1.5}, r"probabilities in \[0, 1\]"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        MultiCrop(seed=0, **options)


def test_positions_are_asked_for():
    with pytest.raises(ValueError, match="one for each of 2 slices, got none"):
        MultiCrop(seed=0)(torch.rand(2, 1, 8, 8))


def test_the_whole_slice_may_come_beside_its_crops():
    images = (torch.arange(32.0) / 32).expand(2, 1, 32, 32)
    *crops, whole = MultiCrop(seed=0, count=(1, 2), size=(16, 8), whole=True)(images, [0, 1])
    assert [tuple(part.shape) for part in crops] == [(2, 1, 1, 16, 16), (2, 2, 1, 8, 8)]
    torch.testing.assert_close(whole[:, 0, :, :, 1:-1], images.reshape(2, 1, 16, 2, 16, 2).mean((3, 5))[..., 1:-1])
    assert whole.shape == (2, 1, 1, 16, 16)


def test_matrices_of_windows_are_the_parts_of_the_whole_ones_that_are_not_empty():
    rescaled, start, options = [30, 61, 90], [-3, 20, 70], {"length": 60, "size": 25, "like": torch.zeros(1)}
    spans = [axis_spans(r, s, length=60, size=25) for r, s in zip(rescaled, start)]
    windows = [source for _, source in spans]
    whole = resampling_matrices(rescaled, start, **options)
    parts = resampling_matrices(rescaled, start, windows=windows, **options)
    assert parts.shape[2] == max(window.stop - window.start for window in windows) < 60
    for full, part, window in zip(whole, parts, windows):
        assert torch.equal(part[:, : window.stop - window.start], full[:, window])
        assert not part[:, window.stop - window.start :].any()
        assert torch.equal(part.sum(dim=1), full.sum(dim=1))


def test_flip_mirrors_crops_of_either_size_by_their_address():
    images = torch.rand(4, 1, 40, 40)
    options = {"seed": 3, "count": (2, 2), "size": (20, 12), "scale": (0.8, 1.2)}
    plain, turned, some = (MultiCrop(**options, flip=share)(images, range(4)) for share in (0.0, 1.0, 0.5))
    mirrored = []
    for one, other, mixed in zip(plain, turned, some, strict=True):
        assert torch.equal(other, one.flip(-1))
        mirrored += [bool(torch.equal(a, b.flip(-1))) for a, b in zip(mixed.flatten(0, 1), one.flatten(0, 1))]
    assert 0 < sum(mirrored) < 16
    alone = MultiCrop(**options, flip=0.5)(images[2:3], [2])
    assert all(torch.equal(part[0], whole[2]) for part, whole in zip(alone, some, strict=True))
