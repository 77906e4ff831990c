"""Bands of an image made stronger or weaker."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from monai_cl.transforms.crops.energy import scaled_images, spectrum


def scale_bands(image: Tensor, factors: Tensor, sigmas: Sequence[float], *, centred: bool = True) -> Tensor:
    """``Σ λ_i I_i`` (C, H, W), the low-pass scaled about its mean or, as printed, with it."""
    found = spectrum(image, sigmas)
    result = scaled_images(found, factors[None], sigmas)[0]
    return result if centred else result + (factors[-1] - 1) * found.mean
