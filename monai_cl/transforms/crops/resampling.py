"""Part of a rescaled axis as a matrix: a crop of an image at another scale is then two products, on any device."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def resampling_matrices(
    rescaled: Sequence[int], start: Sequence[int], *, length: int, size: int, like: Tensor
) -> Tensor:
    """``size`` pixels of an axis that is rescaled, linearly and with antialiasing, for each of V crops.

    As `torch.nn.functional.interpolate` does with ``antialias=True``: a triangle as wide as the wider pixel.

    Args:
        rescaled: length of the whole axis after it, for each crop.
        start: first pixel of the crop in the rescaled axis; may be negative.
        length: of the axis before.
        size: pixels of a crop.
        like: gives type and device.

    Returns:
        (V, size, length): rows that sum to 1, or to 0 where the crop reaches beyond the image.
    """
    after = torch.tensor(rescaled, dtype=torch.float64)[:, None]
    place = torch.tensor(start)[:, None] + torch.arange(size)
    step = length / after
    reach = step.clamp(min=1)
    centre = (place + 0.5) * step - 0.5  # in pixels of the axis before
    first = (centre - reach).floor().long()
    taps = first[..., None] + torch.arange(int(2 * reach.max()) + 3)
    weights = (1 - (taps - centre[..., None]).abs() / reach[..., None]).clamp(min=0)
    weights *= (taps >= 0) & (taps < length) & (place >= 0)[..., None] & (place < after)[..., None]
    weights /= weights.sum(dim=-1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    matrices = torch.zeros(len(rescaled), size, length, dtype=like.dtype)
    matrices.scatter_add_(2, taps.clamp(0, length - 1), weights.to(like.dtype))
    return matrices.to(like.device)


def axis_spans(rescaled: int, start: int, *, length: int, size: int) -> tuple[slice, slice]:
    """Which rows and which columns of a matrix of :func:`resampling_matrices` are not empty.

    Args:
        rescaled: length of the whole axis after it.
        start: first pixel of the crop in the rescaled axis.
        length: of the axis before.
        size: pixels of the crop.

    Returns:
        Pixels of the crop that lie in the image, and the pixels of the image that they are made of.
    """
    first, last = max(start, 0), min(start + size, rescaled)
    step = length / rescaled
    reach = max(step, 1.0)
    low, high = (first + 0.5) * step - 0.5 - reach, (last - 0.5) * step - 0.5 + reach
    return slice(first - start, last - start), slice(max(math.floor(low), 0), min(math.ceil(high) + 1, length))
