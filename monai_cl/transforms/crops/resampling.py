"""Part of a rescaled axis as a matrix: a crop of an image at another scale is then two products, on any device."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def resampling_matrices(
    rescaled: Sequence[int],
    start: Sequence[int],
    *,
    length: int,
    size: int,
    like: Tensor,
    windows: Sequence[slice] | None = None,
) -> Tensor:
    """``size`` pixels of an axis that is rescaled, linearly and with antialiasing, for each of V crops.

    As `torch.nn.functional.interpolate` does with ``antialias=True``: a triangle as wide as the wider pixel.

    Args:
        rescaled: length of the whole axis after it, for each crop.
        start: first pixel of the crop in the rescaled axis; may be negative.
        length: of the axis before.
        size: pixels of a crop.
        like: gives type and device.
        windows: for each crop the pixels of the axis that it is made of, see `axis_spans`; None: all.

    Returns:
        (V, size, length), or with windows (V, size, w) from the first pixel of each, w the length of the longest: rows
        that sum to 1, or to 0 where the crop reaches beyond the image.
    """
    # in NumPy, whose overhead on small arrays is a fraction of torch's
    after = np.array(rescaled, dtype=float)[:, None]
    place = np.array(start)[:, None] + np.arange(size)
    step = length / after
    reach = np.maximum(step, 1)
    centre = (place + 0.5) * step - 0.5  # in pixels of the axis before
    first = np.floor(centre - reach).astype(np.int64)
    taps = first[..., None] + np.arange(int(2 * reach.max()) + 3)
    weights = np.maximum(1 - np.abs(taps - centre[..., None]) / reach[..., None], 0)
    weights *= (taps >= 0) & (taps < length) & ((place >= 0) & (place < after))[..., None]
    weights /= np.maximum(weights.sum(axis=-1, keepdims=True), np.finfo(float).tiny)
    if windows is not None:
        taps -= np.array([window.start for window in windows])[:, None, None]
        length = max(window.stop - window.start for window in windows)
    matrices = torch.zeros(len(rescaled), size, length, dtype=like.dtype)
    # what is clipped has the weight 0
    matrices.scatter_add_(2, torch.from_numpy(taps.clip(0, length - 1)), torch.from_numpy(weights).to(like.dtype))
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
