"""Bands of an image made stronger or weaker, written down for a whole image."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from monai_cl.transforms.crops.energy import cosine_basis, scaled_coefficients, spectrum


def scale_bands(image: Tensor, factors: Tensor, sigmas: Sequence[float], *, centred: bool = True) -> Tensor:
    """``Σ λ_i I_i`` (C, H, W), the low-pass scaled about its mean or, as printed, with it."""
    height, width = image.shape[-2:]
    found = spectrum(image, sigmas)
    scaled = scaled_coefficients(found, factors[None], sigmas)[0]
    result = cosine_basis(height, image).T @ scaled @ cosine_basis(width, image)
    return result + (found.mean if centred else found.mean * factors[-1])
