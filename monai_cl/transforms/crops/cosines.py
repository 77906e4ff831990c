"""The cosine transform (DCT-II) of images by the fast Fourier transform, and back to a part of an image.

After Makhoul, "A fast cosine transform in one and two dimensions", IEEE TASSP 28(1), 1980: of an axis of N pixels whose
even ones come first and whose odd ones follow backwards, the k-th Fourier coefficient, turned by ``πk / 2N``, has the
cosine coefficient of k as its real part and minus that of N - k as its imaginary part. Coefficients stay in this order,
in pairs, which real factors do not mind: an axis has ``2 (N // 2 + 1)`` of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor


@dataclass(frozen=True)
class CosineAxis:
    """An axis of N pixels.

    Attributes:
        order: the pixels as they are transformed, (N,).
        place: where each pixel is in that order, (N,).
        turn: what Fourier coefficients are multiplied by, (N // 2 + 1,) complex.
        back: its inverse.
        frequencies: k of each coefficient, (M,).
        weights: (M,) float64: the sum of squares of an axis is that of its coefficients, weighted so.
    """

    order: Tensor
    place: Tensor
    turn: Tensor
    back: Tensor
    frequencies: Tensor
    weights: Tensor


def cosine_coefficients(images: Tensor) -> Tensor:
    """Coefficients of images, not normalised.

    Args:
        images: (…, H, W).

    Returns:
        (…, M, L): of the columns of pixels, and of their rows, see `CosineAxis`.
    """
    height, width = (cosine_axis(size, images.dtype, images.device) for size in images.shape[-2:])
    images = _pixels(images.index_select(-2, height.order), width.order)
    return _transform(_transform(images, width).mT.contiguous(), height)


def cosine_images(
    coefficients: Tensor, size: tuple[int, int], rows: slice = slice(None), columns: slice = slice(None)
) -> Tensor:
    """The images of coefficients, or the same part of each.

    Args:
        coefficients: (…, M, L), see `cosine_coefficients`; overwritten, which halves the time.
        size: (H, W) of the whole images.
        rows: that are wanted.
        columns: likewise.

    Returns:
        (…, h, w).
    """
    height, width = (cosine_axis(length, coefficients.dtype, coefficients.device) for length in size)
    images = _pixels(_back(coefficients, height), height.place[rows])
    return _pixels(_back(images.mT.contiguous(), width), width.place[columns])


def _transform(ordered: Tensor, axis: CosineAxis) -> Tensor:
    return torch.view_as_real(torch.fft.rfft(ordered).mul_(axis.turn)).flatten(-2)


def _back(coefficients: Tensor, axis: CosineAxis) -> Tensor:
    pairs = torch.view_as_complex(coefficients.unflatten(-1, (-1, 2)))
    return torch.fft.irfft(pairs.mul_(axis.back), n=len(axis.order))


def _pixels(images: Tensor, places: Tensor) -> Tensor:
    """Those of the last axis; of a matrix, which takes a third of the time that more axes do."""
    return images.flatten(0, -2).index_select(1, places).unflatten(0, images.shape[:-1])


@lru_cache(maxsize=16)
def cosine_axis(size: int, dtype: torch.dtype, device: torch.device) -> CosineAxis:
    """The axis of so many pixels, for images of that type and device."""
    order = torch.cat([torch.arange(0, size, 2), torch.arange(1, size, 2).flip(0)])
    k = torch.arange(size // 2 + 1)
    turn = torch.polar(torch.ones(len(k), dtype=torch.float64), -math.pi / (2 * size) * k.double())
    frequencies = torch.stack([k, (size - k) % size], dim=1)  # there is no coefficient N, and nothing at its place
    weights = torch.full(frequencies.shape, 2 / size, dtype=torch.float64)
    weights[0, 0], weights[0, 1] = 1 / size, 0
    if size % 2 == 0:
        weights[-1] /= 2  # k = N / 2, twice
    return CosineAxis(
        order.to(device),
        order.argsort().to(device),
        turn.to(device, dtype.to_complex()),
        turn.conj().resolve_conj().to(device, dtype.to_complex()),
        frequencies.flatten(),
        weights.flatten(),
    )
