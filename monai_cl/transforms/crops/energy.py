"""Energy bands: an image as a sum of frequency bands, whose standard deviations are brought to those of other images.

After Philipsen et al., "Localized energy-based normalization of medical images", IEEE TMI 34(9), 2015, as Ghesu et al.,
arXiv 2201.01283, section 3.4, draw from it: ``L_0 = I``, ``L_i = G(σ_i) * L_{i-1}``, bands ``I_i = L_{i-1} - L_i`` and
the low-pass that is left. The image goes on in half-sample symmetry beyond its border, the kernel is cut at 4σ. Such a
smoothing multiplies the image's coefficients of the cosine transform (DCT-II), each by a number: all bands take one
transform, at any size of image and kernel. Means are taken off before and put back: the image's brightness stays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import torch
from torch import Tensor

from monai_cl.transforms.crops.cosines import cosine_axis, cosine_coefficients, cosine_images

SIGMAS = (1.0, 2.0, 4.0, 8.0, 16.0)
_TRUNCATED = 4.0  # σ
_LIMITS = (0.25, 4.0)  # of the factor on a band
_LEAST_ENERGY = 1e-6  # a band below it is left as it is
_LEAST_REFERENCE = 0.05  # of the mean of the reference
_NORMAL = NormalDist()
_CUT = 1.0  # σ


def band_sigmas(size: Sequence[int]) -> tuple[float, ...]:
    """σ of the bands in pixels, by the size of the image: 1, 2, 4, 8, 16, without the last below 192 pixels.

    Args:
        size: (H, W), or (D, H, W) of a volume, whose bands lie within its slices.
    """
    return SIGMAS if min(size[-2:]) >= 192 else SIGMAS[:-1]


@dataclass(frozen=True)
class BandEnergies:
    """Energies of the bands of a set of images: mean and standard deviation of each, high frequencies first.

    Attributes:
        mean: B numbers > 0.
        std: B numbers ≥ 0.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def at(self, u: Sequence[float]) -> tuple[float, ...]:
        """Energies drawn from Gaussians that are cut at one standard deviation, by the inverse of their distribution.

        Args:
            u: B uniform numbers in [0, 1).

        Returns:
            B energies, none below 5 % of the mean.
        """
        low, high = _NORMAL.cdf(-_CUT), _NORMAL.cdf(_CUT)
        return tuple(
            max(mean + std * _NORMAL.inv_cdf(low + (high - low) * share), _LEAST_REFERENCE * mean)
            for mean, std, share in zip(self.mean, self.std, u, strict=True)
        )


@dataclass(frozen=True)
class EnergyReference:
    """What energies the images of each modality have; made by ``python -m monai_cl reference_energy``.

    Attributes:
        size: (H, W) of the images, or (D, H, W) of the volumes, pixels.
        sigmas: σ of the bands, pixels.
        modalities: modality -> energies of its images.
    """

    size: tuple[int, ...]
    sigmas: tuple[float, ...]
    modalities: Mapping[str, BandEnergies]


@dataclass(frozen=True)
class Spectrum:
    """Cosine transform of an image without its mean, and how strong its bands are.

    Attributes:
        size: (H, W) of the image.
        coefficients: of its C slices, see `cosine_coefficients`.
        mean: of the whole image, ().
        energies: (B,) standard deviations (÷ n) of the bands.
    """

    size: tuple[int, int]
    coefficients: Tensor
    mean: Tensor
    energies: Tensor


def spectrum(image: Tensor, sigmas: Sequence[float] = SIGMAS) -> Spectrum:
    """Transform an image.

    Args:
        image: (C, H, W) floating point; bands lie within the last two axes, energies are of all C together (slices of
            a volume).
        sigmas: σ of the bands, pixels.
    """
    height, width = image.shape[-2:]
    mean = image.mean()
    coefficients = cosine_coefficients(image - mean)
    rows, columns = _energy_weights((height, width), tuple(sigmas), image.dtype, image.device)
    parts = ((columns @ coefficients.square()) * rows).sum(dim=(0, 2))
    squares = torch.cat([parts[1:].reshape(3, -1).sum(dim=0), parts[:1]])
    return Spectrum((height, width), coefficients, mean, (squares.clamp(min=0) / len(image)).sqrt())


def band_factors(energies: Tensor, wanted: Tensor) -> Tensor:
    """λ = wanted / found, within [1/4, 4]; 1 for a band that the image does not have.

    Args:
        energies: of an image's bands, (B,).
        wanted: (…, B).
    """
    factors = (wanted / energies.clamp(min=_LEAST_ENERGY)).clamp(*_LIMITS)
    return torch.where(energies < _LEAST_ENERGY, torch.ones_like(factors), factors)


def scaled_images(
    found: Spectrum,
    factors: Tensor,
    sigmas: Sequence[float] = SIGMAS,
    *,
    rows: slice = slice(None),
    columns: slice = slice(None),
) -> Tensor:
    """Images ``Σ λ_i I_i``, the low-pass scaled about the image's mean, or the same part of each.

    Args:
        found: of the image.
        factors: λ for each of V variants, (V, B).
        sigmas: σ of the bands, pixels.
        rows: that are wanted.
        columns: likewise.

    Returns:
        (V, C, h, w).
    """
    like = found.coefficients
    vertical, horizontal = (_levels(size, tuple(sigmas), like.dtype, like.device) for size in found.size)
    # Σ λ_i (L_{i-1} - L_i), by the levels L
    weights = factors.to(like)
    weights = torch.cat([weights[:, :1], weights.diff(dim=1)], dim=1)
    gains = ((weights[:, None] * horizontal.T).flatten(0, 1) @ vertical).unflatten(0, (len(weights), 1, -1))
    scaled = gains.mul_(like) if len(like) == 1 else gains * like
    return cosine_images(scaled, found.size, rows, columns).add_(found.mean)


@lru_cache(maxsize=8)
def _energy_weights(
    size: tuple[int, int], sigmas: tuple[float, ...], dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Of squares of coefficients, rows (3 B - 2, L) and columns (3 B - 2, M): of the low-pass, then three of each band.

    The response of a band is ``r c - r' c'`` by the levels above and below it. As ``r (c - c') + (r - r') c'`` no part
    of its square cancels another.
    """
    weighted, axes = [], []
    for length in size:
        levels = _levels(length, sigmas, torch.float64, torch.device("cpu"))
        axes.append((levels[:-1], levels[1:], levels[:-1] - levels[1:], levels[-1:]))
        weighted.append(cosine_axis(length, torch.float64, torch.device("cpu")).weights / length)
    (above, _, fall, low), (_, below, drop, least) = axes
    rows = torch.cat([low.square(), above.square(), 2 * above * fall, fall.square()]) * weighted[0]
    columns = torch.cat([least.square(), drop.square(), drop * below, below.square()]) * weighted[1]
    return rows.to(device, dtype), columns.to(device, dtype)


@lru_cache(maxsize=8)
def _levels(size: int, sigmas: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """What is left of each cosine coefficient of an axis in L_0, L_1, …, (B, M): 1 in the first row."""
    if not sigmas or min(sigmas) <= 0:
        raise ValueError(f"sigmas must be at least one number > 0, got {list(sigmas)}")
    ones = torch.ones(size, dtype=torch.float64)
    responses = torch.stack([ones, *(_gaussian_response(size, sigma) for sigma in sigmas)]).cumprod(dim=0)
    return responses[:, cosine_axis(size, dtype, device).frequencies].to(device, dtype)


def _gaussian_response(size: int, sigma: float) -> Tensor:
    """Of the k-th cosine, by a Gaussian that is cut: ``Σ_t g(t) cos(π k t / size)``, (size,)."""
    tap = torch.arange(int(_TRUNCATED * sigma + 0.5) + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (tap / sigma) ** 2)
    kernel[1:] *= 2  # both sides
    k = torch.arange(size, dtype=torch.float64)[:, None]
    return torch.cos(math.pi / size * k * tap) @ (kernel / kernel.sum())
