"""Views: every operation against its definition and its identity, every draw by its address."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.transforms import AdjustContrast
from scipy.ndimage import gaussian_filter

from monai_cl.transforms import random_views
from monai_cl.transforms.intensity import add_noise, adjust_gamma, shift_intensity, smooth
from monai_cl.transforms.views import ViewParameters, apply_views, draw_view


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(3, 1, 14, 12, 10, generator=torch.Generator().manual_seed(0))


def generators(n: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(k) for k in range(n)]


def test_zero_shift_is_identity(images):
    assert torch.equal(shift_intensity(images, [0, 0, 0]), images)


def test_unit_gamma_is_identity(images):
    torch.testing.assert_close(adjust_gamma(images, [1, 1, 1]), images, atol=1e-6, rtol=0)


def test_zero_sigma_is_identity(images):
    assert torch.equal(smooth(images, [0, 0, 0]), images)
    assert torch.equal(smooth(images, [0, 1, 0])[2], images[2])


def test_zero_noise_is_identity(images):
    assert torch.equal(add_noise(images, [0, 0, 0], generators(3)), images)


def test_shift_adds_an_offset_to_each_sample(images):
    shifted = shift_intensity(images, [0.1, -0.2, 0.3])
    torch.testing.assert_close(shifted[1], images[1] - 0.2)
    torch.testing.assert_close(shifted[2], images[2] + 0.3)


@pytest.mark.parametrize("offset", [0.0, -0.3])
def test_gamma_is_monais_adjust_contrast_sample_by_sample(images, offset):
    gammas = [0.5, 1.7, 3.0]
    adjusted = adjust_gamma(images + offset, gammas)
    for n, gamma in enumerate(gammas):
        torch.testing.assert_close(
            adjusted[n], AdjustContrast(gamma)(images[n] + offset).as_tensor(), atol=1e-6, rtol=0
        )


def test_gamma_keeps_minimum_maximum_and_constant_samples(images):
    adjusted = adjust_gamma(images, [0.5, 2, 3])
    torch.testing.assert_close(adjusted.amax(dim=(1, 2, 3, 4)), images.amax(dim=(1, 2, 3, 4)))
    torch.testing.assert_close(adjusted.amin(dim=(1, 2, 3, 4)), images.amin(dim=(1, 2, 3, 4)))
    assert torch.equal(adjust_gamma(torch.full((1, 1, 4, 4, 4), 0.25), [2.0]), torch.full((1, 1, 4, 4, 4), 0.25))


def test_smoothing_is_scipys_gaussian_filter(images):
    sigmas = [0.3, 1.0, 1.5]
    smoothed = smooth(images.double(), sigmas)
    for n, sigma in enumerate(sigmas):
        expected = gaussian_filter(images[n, 0].double().numpy(), sigma, mode="nearest", truncate=4)
        np.testing.assert_allclose(smoothed[n, 0].numpy(), expected, atol=1e-12)


def test_smoothing_keeps_constants_and_lowers_contrast(images):
    torch.testing.assert_close(smooth(torch.full((1, 1, 5, 5, 5), 0.7), [1.3]), torch.full((1, 1, 5, 5, 5), 0.7))
    assert smooth(images, [1, 1, 1]).std() < 0.5 * images.std()


def test_a_wide_kernel_fits_a_small_volume():
    assert smooth(torch.rand(1, 1, 3, 2, 2), [1.5]).shape == (1, 1, 3, 2, 2)


def test_smoothing_does_not_change_its_input(images):
    before = images.clone()
    smooth(images, [1, 0.5, 0])
    assert torch.equal(images, before)


def test_noise_is_white_with_the_asked_standard_deviation():
    zeros = torch.zeros(2, 1, 40, 40, 40)
    noise = add_noise(zeros, [0.1, 0.02], generators(2))
    assert noise[0].std() == pytest.approx(0.1, rel=0.02)
    assert noise[1].std() == pytest.approx(0.02, rel=0.02)
    assert abs(noise[0].mean()) < 0.002
    neighbours = torch.corrcoef(torch.stack([noise[0, 0, 1:].flatten(), noise[0, 0, :-1].flatten()]))[0, 1]
    assert abs(neighbours) < 0.02


def test_operations_are_applied_in_the_papers_order(images):
    view = ViewParameters(shift=0.1, gamma=2.0, sigma=0.8, noise_std=0.05)
    expected = shift_intensity(images[:1], [0.1])
    expected = smooth(adjust_gamma(expected, [2.0]), [0.8])
    expected = add_noise(expected, [0.05], generators(1))
    assert torch.equal(apply_views(images[:1], [view], generators(1)), expected)


def test_an_operation_touches_the_chosen_samples_only(images):
    views = [ViewParameters(), ViewParameters(gamma=0.7), ViewParameters(sigma=1.0)]
    out = apply_views(images, views, generators(3))
    assert torch.equal(out[0], images[0])
    assert torch.equal(out[1], adjust_gamma(images[1:2], [0.7])[0])
    assert torch.equal(out[2], smooth(images[2:], [1.0])[0])


def test_without_probability_a_view_is_its_image(images):
    out = random_views(images, seed=0, positions=[1, 2, 3], view=0, probability=0)
    assert torch.equal(out, images)
    assert out.data_ptr() != images.data_ptr()


def test_draws_keep_their_probabilities_and_ranges():
    rng = np.random.default_rng(0)
    views = [draw_view(rng) for _ in range(4000)]
    ranges = {"shift": (-0.1, 0.1), "gamma": (0.5, 2.0), "sigma": (0.25, 1.5), "noise_std": (0, 0.1)}
    for name, (low, high) in ranges.items():
        values = np.array([getattr(view, name) for view in views if getattr(view, name) is not None])
        assert len(values) / len(views) == pytest.approx(0.2, abs=0.025)
        assert low <= values.min() < values.max() <= high
    gammas = np.array([view.gamma for view in views if view.gamma is not None])
    assert (gammas > 1).mean() == pytest.approx(0.5, abs=0.07)
    both = np.mean([view.shift is not None and view.gamma is not None for view in views])
    assert both == pytest.approx(0.04, abs=0.012)


def test_values_are_not_clipped():
    out = random_views(torch.ones(1, 1, 8, 8, 8), seed=0, positions=[0], view=0, probability=1, gamma=(1, 1))
    assert out.max() > 1 or out.min() < 0.9


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_floating_types_stay_what_they_are_and_finite(images, dtype):
    out = random_views(images.to(dtype), seed=0, positions=[1, 2, 3], view=0, probability=1)
    assert out.dtype == dtype
    assert out.isfinite().all()


def test_views_carry_no_gradient(images):
    assert not random_views(images.requires_grad_(), seed=0, positions=[1, 2, 3], view=0, probability=1).requires_grad


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"probability": 1.1}, r"probability must be in \[0, 1\], got 1.1"),
        ({"shift": -0.1}, "shift must be >= 0, got -0.1"),
        ({"gamma": (0, 1)}, "gamma must be a range of numbers > 0"),
        ({"gamma": (2, 1)}, "gamma must be a range"),
        ({"sigma": (-1, 1)}, "sigma must be a range of numbers >= 0"),
        ({"noise_std": -1}, "noise_std must be >= 0, got -1"),
        ({"positions": [1]}, "expected a view and a generator for each of 3 samples, got 1 and 1"),
        ({"seed": -1}, "must be integers in"),
    ],
)
def test_bad_options_are_refused(images, options, message):
    with pytest.raises(ValueError, match=message):
        random_views(images, **{"seed": 0, "positions": [1, 2, 3], "view": 0, **options})


def test_images_of_another_kind_are_refused(images):
    with pytest.raises(ValueError, match="images must be floating point"):
        random_views(images[0], seed=0, positions=[1], view=0)
    with pytest.raises(ValueError, match="images must be floating point"):
        random_views(images.int(), seed=0, positions=[1, 2, 3], view=0)
    with pytest.raises(ValueError, match="expected one number for each of 3 samples, got 1"):
        shift_intensity(images, [0.1])


@pytest.mark.gpu
def test_the_gpu_draws_the_same_parameters(images):
    options = {"seed": 0, "positions": [1, 2, 3], "view": 0, "probability": 1, "noise_std": 0}
    on_gpu = random_views(images.cuda(), **options)
    torch.testing.assert_close(on_gpu.cpu(), random_views(images, **options), atol=1e-5, rtol=0)
    noisy = {**options, "noise_std": 0.1}
    assert torch.equal(random_views(images.cuda(), **noisy), random_views(images.cuda(), **noisy))
