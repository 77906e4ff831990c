"""Energy bands by value: against SciPy's Gaussians, their sum, energies, scaling, and what is drawn."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from monai_cl.transforms import BandEnergies, band_factors, band_sigmas, spectrum
from tests.transforms.crops.bands import scale_bands

SIGMAS = (1.0, 2.0, 4.0, 8.0)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def bands_of(image: torch.Tensor) -> torch.Tensor:
    """Each band alone, high frequencies first."""
    alone = torch.eye(len(SIGMAS) + 1, dtype=torch.float64)
    return torch.stack([scale_bands(image, factors, SIGMAS, centred=False) for factors in alone])


@pytest.mark.parametrize("shape", [(1, 40, 31), (3, 12, 7)])  # smaller than the kernel of σ 8, too
def test_bands_are_differences_of_repeated_gaussians(shape):
    image = noise(*shape)
    levels = [image.numpy()]
    for sigma in SIGMAS:
        axes = {"axes": (1, 2), "mode": "reflect", "truncate": 4.0}
        levels.append(ndimage.gaussian_filter(levels[-1], sigma, **axes))
    expected = [*(wide - narrow for wide, narrow in pairwise(levels)), levels[-1]]
    found = bands_of(image)
    np.testing.assert_allclose(found.numpy(), np.stack(expected), atol=1e-12)
    np.testing.assert_allclose(found.sum(dim=0).numpy(), image.numpy(), atol=1e-12)
    energies = [band.std() for band in expected]
    np.testing.assert_allclose(spectrum(image, SIGMAS).energies.numpy(), energies, rtol=1e-9)


def test_scaling_multiplies_each_band_and_keeps_the_mean_where_centred():
    image, factors = noise(2, 20, 24), torch.tensor([0.5, 2.0, 1.0, 3.0, 0.25], dtype=torch.float64)
    bands = bands_of(image)
    printed = (factors[:, None, None, None] * bands).sum(dim=0)
    torch.testing.assert_close(scale_bands(image, factors, SIGMAS, centred=False), printed)
    centred = scale_bands(image, factors, SIGMAS)
    torch.testing.assert_close(centred, printed + (1 - factors[-1]) * image.mean())
    assert float(centred.mean()) == pytest.approx(float(image.mean()), abs=1e-12)


def test_its_own_energies_change_nothing_nor_does_a_flat_image():
    image = noise(1, 30, 30)
    found = spectrum(image, SIGMAS)
    factors = band_factors(found.energies, found.energies)
    torch.testing.assert_close(scale_bands(image, factors, SIGMAS), image, rtol=0, atol=1e-12)
    flat = torch.full((1, 16, 16), 0.3, dtype=torch.float64)
    factors = band_factors(spectrum(flat, SIGMAS).energies, torch.ones(5, dtype=torch.float64))
    assert torch.equal(factors, torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close(scale_bands(flat, factors, SIGMAS), flat, rtol=0, atol=1e-12)


def test_energies_follow_contrast_and_so_the_result_does_not():
    image = noise(1, 30, 25)
    found, other = spectrum(image, SIGMAS), spectrum(0.7 * image + 0.2, SIGMAS)
    torch.testing.assert_close(other.energies, 0.7 * found.energies)
    wanted = 1.3 * found.energies
    one = scale_bands(image, band_factors(found.energies, wanted), SIGMAS)
    two = scale_bands(0.7 * image + 0.2, band_factors(other.energies, wanted), SIGMAS)
    assert float((two - one).std()) < 1e-12


def test_factors_are_limited():
    factors = band_factors(torch.tensor([1.0, 1.0, 1.0, 1e-7]), torch.tensor([9.0, 0.01, 2.0, 5.0]))
    assert factors.tolist() == [4.0, 0.25, 2.0, 1.0]


def test_drawn_energies_are_a_gaussian_cut_at_one_deviation():
    energies = BandEnergies((1.0, 2.0, 0.1), (0.1, 0.0, 0.5))
    drawn = np.array([energies.at(u) for u in np.random.default_rng(0).random((400, 3))])
    assert stats.kstest(drawn[:, 0], stats.truncnorm(-1, 1, loc=1, scale=0.1).cdf).pvalue > 0.01
    assert set(drawn[:, 1]) == {2.0}
    assert drawn[:, 2].min() == pytest.approx(0.005)  # 5 % of the mean, no less


def test_float32_is_close_to_float64():
    image, factors = noise(1, 64, 64), torch.tensor([0.5, 2.0, 1.0, 3.0, 0.25])
    found = scale_bands(image.float(), factors, SIGMAS)
    torch.testing.assert_close(found.double(), scale_bands(image, factors.double(), SIGMAS), rtol=0, atol=1e-5)
    torch.testing.assert_close(spectrum(image.float()).energies.double(), spectrum(image).energies, rtol=1e-4, atol=0)


def test_small_images_have_one_band_less():
    assert band_sigmas((192, 512)) == (1.0, 2.0, 4.0, 8.0, 16.0)
    assert band_sigmas((191, 512)) == (1.0, 2.0, 4.0, 8.0)
    with pytest.raises(ValueError, match=r"sigmas must be at least one number > 0, got \[1.0, 0.0\]"):
        spectrum(noise(1, 8, 8), (1.0, 0.0))
