"""The cosine transform by value: against SciPy's, its sum of squares, and back to any part."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import fft

from monai_cl.transforms.crops.cosines import cosine_axis, cosine_coefficients, cosine_images

SHAPES = [(1, 1), (1, 5), (2, 3), (4, 4), (7, 12), (40, 31)]


def noise(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def axes(shape: tuple[int, int], dtype: torch.dtype = torch.float64):
    return [cosine_axis(size, dtype, torch.device("cpu")) for size in shape]


@pytest.mark.parametrize("shape", SHAPES)
def test_coefficients_are_those_of_scipy_up_to_their_sign_and_order(shape):
    images, (height, width) = noise(2, *shape), axes(shape)
    expected = np.abs(fft.dctn(images.numpy(), axes=(1, 2)) / 4)
    expected = expected[:, height.frequencies][:, :, width.frequencies].transpose(0, 2, 1)
    there = (width.weights[:, None] * height.weights > 0).numpy()
    found = cosine_coefficients(images).abs().numpy()
    np.testing.assert_allclose(found[:, there], expected[:, there], atol=1e-11)
    assert not found[:, ~there].any()


@pytest.mark.parametrize("shape", SHAPES)
def test_weighted_squares_are_those_of_the_pixels(shape):
    images, (height, width) = noise(3, *shape), axes(shape)
    weighted = cosine_coefficients(images).square() * width.weights[:, None] * height.weights
    torch.testing.assert_close(weighted.sum(dim=(1, 2)), images.square().sum(dim=(1, 2)))


@pytest.mark.parametrize("shape", SHAPES)
def test_any_part_comes_back(shape):
    images = noise(2, 3, *shape)
    rows, columns = slice(shape[0] // 3, shape[0] // 3 + 2), slice(shape[1] // 2, None)
    whole = cosine_images(cosine_coefficients(images), shape)
    part = cosine_images(cosine_coefficients(images), shape, rows, columns)
    torch.testing.assert_close(whole, images, rtol=0, atol=1e-14)
    torch.testing.assert_close(part, images[..., rows, columns], rtol=0, atol=1e-14)


def test_single_precision_is_as_close_as_its_rounding():
    images = noise(1, 96, 80, dtype=torch.float32)
    found = cosine_coefficients(images)
    exact = cosine_coefficients(images.double())
    assert float((found - exact).abs().max()) < 1e-6 * float(exact.abs().max())
    torch.testing.assert_close(cosine_images(found, (96, 80)), images, rtol=0, atol=5e-7)
