"""The four intensity operations of a view, each over a batch with one parameter per sample.

Every operation treats each sample separately and in the same order, so that its bits do not depend on the batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

# Where a Gaussian ends, in standard deviations (as MONAI's filter).
TRUNCATED = 4.0


def shift_intensity(images: Tensor, offsets: Sequence[float]) -> Tensor:
    """Add ``offsets[n]`` to sample n.

    Args:
        images: (N, C, H, W, D) floating point.
        offsets: N numbers, in units of the image.
    """
    return images + _per_sample(offsets, images)


def adjust_gamma(images: Tensor, gammas: Sequence[float]) -> Tensor:
    """Bend sample n by ``x ↦ x^gammas[n]`` between its own minimum and maximum, as MONAI's `AdjustContrast`.

    Args:
        images: (N, C, H, W, D) floating point.
        gammas: N numbers > 0; below 1 brightens.
    """
    lowest = images.amin(dim=(1, 2, 3, 4), keepdim=True)
    extent = images.amax(dim=(1, 2, 3, 4), keepdim=True) - lowest
    return ((images - lowest) / (extent + 1e-7)) ** _per_sample(gammas, images) * extent + lowest


def smooth(images: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Separable Gaussian smoothing, ``sigmas[n]`` voxels along every axis of sample n; the border is repeated.

    Args:
        images: (N, C, H, W, D) floating point.
        sigmas: N numbers >= 0; 0 leaves the sample as it is.
    """
    kernels = _half_kernels(sigmas).to(images.device, images.dtype)
    radius = len(kernels) - 1
    for axis in (2, 3, 4):
        # Shifted sums and not a convolution: faster for these few taps, and no algorithm that depends on the batch.
        before_after = [0, 0] * (4 - axis) + [radius, radius] + [0, 0] * (axis - 2)
        padded = F.pad(images, before_after, mode="replicate")
        size = images.shape[axis]
        images = images * kernels[0]
        for tap in range(1, radius + 1):
            for first in (radius - tap, radius + tap):
                images = torch.addcmul(images, padded.narrow(axis, first, size), kernels[tap], out=images)
    return images


def add_noise(images: Tensor, stds: Sequence[float], generators: Sequence[torch.Generator]) -> Tensor:
    """Add white Gaussian noise of standard deviation ``stds[n]`` to sample n.

    Args:
        images: (N, C, H, W, D) floating point.
        stds: N numbers >= 0, in units of the image.
        generators: N generators on the device of ``images``.
    """
    noise = [torch.randn(x.shape, generator=g, dtype=x.dtype, device=x.device) for x, g in zip(images, generators)]
    return images + torch.stack(noise) * _per_sample(stds, images)


def _per_sample(values: Sequence[float], images: Tensor) -> Tensor:
    numbers = torch.tensor([float(v) for v in values], dtype=images.dtype)
    if len(numbers) != len(images):
        raise ValueError(f"expected one number for each of {len(images)} samples, got {len(numbers)}")
    return rearrange(numbers.to(images.device), "n -> n 1 1 1 1")


def _half_kernels(sigmas: Sequence[float]) -> Tensor:
    """(R + 1, N, 1, 1, 1): centre tap first; each sample's kernel ends at its own radius, zero from there on."""
    radii = [int(TRUNCATED * sigma + 0.5) for sigma in sigmas]
    tap = torch.arange(max(radii) + 1, dtype=torch.float64)
    kernels = []
    for sigma, radius in zip(sigmas, radii):
        kernel = torch.exp(-0.5 * (tap / max(sigma, 1e-6)) ** 2) * (tap <= radius)
        kernels.append(kernel / (2 * kernel.sum() - kernel[0]))
    return rearrange(torch.stack(kernels), "n tap -> tap n 1 1 1 1")
