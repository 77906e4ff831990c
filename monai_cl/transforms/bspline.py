"""Uniform cubic B-splines on a regular grid of control points: basis of an axis and separable evaluation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from einops import rearrange
from torch import Tensor


def knot_positions(size: int, intervals: int) -> np.ndarray:
    """Where the control points of an axis lie, in voxels: ``intervals + 3`` of them, one beyond either end."""
    return np.arange(-1, intervals + 2) * ((size - 1) / intervals)


def bspline_basis(size: int, intervals: int) -> np.ndarray:
    """Weight of every control point at every voxel of an axis.

    Args:
        size: voxels S of the axis, at least 2; the first and the last lie on a knot.
        intervals: knot intervals n that span the axis.

    Returns:
        (S, n + 3) float64; rows sum to 1, four entries of a row are not zero. Applied to `knot_positions` it gives
        0 … S − 1: cubic B-splines reproduce linear functions exactly.
    """
    position = np.arange(size) * (intervals / (size - 1))
    cell = np.minimum(position.astype(int), intervals - 1)
    f = position - cell
    weights = np.stack([(1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, -3 * f**3 + 3 * f**2 + 3 * f + 1, f**3], axis=1) / 6
    basis = np.zeros((size, intervals + 3))
    np.put_along_axis(basis, cell[:, None] + np.arange(4), weights, axis=1)
    return basis


def evaluate_bspline(control: Tensor, bases: Sequence[Tensor]) -> Tensor:
    """Field on the voxel grid.

    Args:
        control: (I, J, K, C) control points.
        bases: (H, I), (W, J), (D, K) bases of the three axes, on the device and in the dtype of ``control``.

    Returns:
        (H, W, D, C), contiguous.
    """
    field = _contract(bases[2], rearrange(control, "i j k c -> k i j c"))
    field = _contract(bases[1], rearrange(field, "d i j c -> j i d c"))
    return _contract(bases[0], rearrange(field, "w i d c -> i w d c").contiguous())


def _contract(basis: Tensor, control: Tensor) -> Tensor:
    # Sums of products of whole arrays and not a matrix product: ten times as fast for these few control points, and the
    # same bits for any number of threads.
    weights = rearrange(basis, "s k -> k s 1 1 1")
    result = weights[0] * control[0]
    for weight, point in zip(weights[1:], control[1:]):
        result = torch.addcmul(result, weight, point, out=result)
    return result
