"""Energies of a volume's bands by value: over all slices together, each slice filtered as an image is."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import ndimage

from monai_cl.transforms import BandEnergies, EnergyReference, MultiCrop, VolumeCrops, band_sigmas, spectrum
from tests.transforms.crops.bands import scale_bands

SIGMAS = (1.0, 2.0, 4.0)
SIZE = (5, 24, 18)
WHOLE = {"count": [1, 0], "size": [SIZE[1:]] * 2, "rescaled_side": [SIZE[1:]] * 2, "probability": 0.0}
RTOL = 1e-5  # of matrices in single precision


def volumes(count: int = 3, seed: int = 0) -> torch.Tensor:
    """(N, 1, D, H, W) with something in every band, brighter from slice to slice, away from 0 and 1."""
    rng = np.random.default_rng(seed)
    parts = [ndimage.gaussian_filter(rng.normal(size=(count, *SIZE)), (0, 0, s, s)) * s for s in (0.3, 1, 2, 4, 8)]
    mixed = np.sum(parts, axis=0) + np.linspace(-1, 1, SIZE[0])[:, None, None]
    low, high = mixed.min(), mixed.max()
    return torch.from_numpy(0.3 + 0.4 * (mixed - low) / (high - low))[:, None]


def reference(mean: torch.Tensor, std: float = 0.0) -> EnergyReference:
    energies = BandEnergies(tuple(mean.tolist()), (std,) * len(mean))
    return EnergyReference(SIZE, SIGMAS, {"CT": energies})


def energies_of(volume: torch.Tensor) -> torch.Tensor:
    return spectrum(volume, SIGMAS).energies


def with_energies(images: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    views = VolumeCrops(seed=0, energy=reference(wanted), energy_probability=1.0, **WHOLE)
    return views(images, range(len(images)))[0][:, 0, 0]


def test_an_energy_is_the_deviation_over_all_slices_of_a_band_within_them():
    volume = volumes(1)[0, 0]
    levels = [volume.numpy()]
    for sigma in SIGMAS:
        slices = [ndimage.gaussian_filter(part, sigma, mode="reflect", truncate=4.0) for part in levels[-1]]
        levels.append(np.stack(slices))
    expected = [*((narrow - wide).std() for narrow, wide in pairwise(levels)), levels[-1].std()]
    np.testing.assert_allclose(energies_of(volume).numpy(), expected, rtol=1e-9)


def test_sigmas_go_by_the_slices_and_not_by_their_number():
    assert band_sigmas((40, 224, 192)) == band_sigmas((224, 192)) == (1.0, 2.0, 4.0, 8.0, 16.0)
    assert band_sigmas((224, 112, 96)) == (1.0, 2.0, 4.0, 8.0)


def test_its_own_energies_change_nothing():
    image = volumes(1)
    found = with_energies(image, energies_of(image[0, 0]))
    torch.testing.assert_close(found, image[:, 0], rtol=RTOL, atol=RTOL)


def test_each_slice_is_filtered_as_an_image_is():
    image, factors = volumes(1), torch.tensor([0.5, 2.0, 1.2, 0.7], dtype=torch.float64)
    (found,) = with_energies(image, factors * energies_of(image[0, 0]))
    mean = image.mean()
    for result, one in zip(found, image[0, 0]):
        # the low-pass is scaled about the mean of all slices
        expected = scale_bands(one[None], factors, SIGMAS, centred=False)[0] + (1 - factors[-1]) * mean
        torch.testing.assert_close(result, expected, rtol=RTOL, atol=RTOL)
    assert float(found.mean()) == pytest.approx(float(mean), abs=RTOL)


def test_energies_that_come_out_are_near_those_drawn():
    image, each = volumes(8), torch.stack([energies_of(volume[0]) for volume in volumes(8, seed=1)])
    energies = BandEnergies(tuple(each.mean(dim=0).tolist()), tuple((0.15 * each.mean(dim=0)).tolist()))
    rng, before, after = np.random.default_rng(0), [], []
    for volume in image:
        wanted = torch.tensor(energies.at(rng.random(4)), dtype=torch.float64)
        before.append((energies_of(volume[0]) / wanted).log())
        after.append((energies_of(with_energies(volume[None], wanted)[0]) / wanted).log())
    # one pass over bands that overlap: near, not equal
    assert float(torch.stack(after).abs().max()) < 0.25
    assert float(torch.stack(after).square().mean()) < 0.25 * float(torch.stack(before).square().mean())
    alike = energies_of(with_energies(image[:1], 1.2 * energies_of(image[0, 0]))[0])
    torch.testing.assert_close(alike, 1.2 * energies_of(image[0, 0]), rtol=10 * RTOL, atol=0)


def test_a_sample_depends_on_neither_batch_nor_order_and_its_other_draws_stay():
    image, own = volumes(), energies_of(volumes(1)[0, 0])
    options = {"count": [1, 2], "size": [(16, 12), (8, 6)], "rescaled_side": [(12, 9), (26, 20)], "flip": 0.5}
    views = VolumeCrops(seed=4, energy=reference(2 * own, std=0.01), **options)
    together = views(image, [7, 8, 9])
    turned = views(image.flip(0), [9, 8, 7])
    alone = [views(image[n : n + 1], [7 + n]) for n in range(3)]
    for kind in range(2):
        assert torch.equal(together[kind], turned[kind].flip(0))
        assert torch.equal(together[kind], torch.cat([parts[kind] for parts in alone]))
    positions = range(200)
    varied = [views._draw(image[0, 0], position, 0, (16, 12)) for position in positions]
    plain = [VolumeCrops(seed=4, **options)._draw(image[0, 0], position, 0, (16, 12)) for position in positions]
    assert 70 < sum(bool(crop.energies) for crop in varied) < 130
    assert [(c.rescaled, c.start, c.gamma, c.slope) for c in varied] == [
        (c.rescaled, c.start, c.gamma, c.slope) for c in plain
    ]


def test_energies_of_images_and_of_volumes_are_told_apart():
    energy = reference(torch.ones(4))
    with pytest.raises(ValueError, match=r"energy must be of images of 2 axes, got of \(5, 24, 18\)"):
        MultiCrop(seed=0, energy=energy)
    flat = EnergyReference(SIZE[1:], SIGMAS, energy.modalities)
    with pytest.raises(ValueError, match=r"energy must be of images of 3 axes, got of \(24, 18\)"):
        VolumeCrops(seed=0, energy=flat)
    views = VolumeCrops(seed=0, energy=energy)
    with pytest.raises(ValueError, match=r"must be of \(5, 24, 18\), as the energies', got \(4, 24, 18\)"):
        views(volumes(1)[:, :, :4], [0])
