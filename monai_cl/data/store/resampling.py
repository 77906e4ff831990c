"""Resampling to a spacing, equal to MONAI's ``Spacingd``: axis by axis where the grid allows, MONAI's own elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monai_cl.data.io.reading import Volume
from monai_cl.errors import UserError

# MONAI leaves an axis alone whose spacing is this near the wanted one, mm
_SAME_SPACING_MM = 1e-3
# the off-diagonal part of a map may move no voxel of the volume further than this, in voxels, to be worked axis by axis
_DIAGONAL_VOXELS = 1e-4
# voxels a step along one axis may move along another in a grid that counts as free of shear
_SHEAR = 1e-9
# nearer to half-way between two voxels than this, rounding depends on how the position was computed
_HALF_WAY = 1e-6


def resample(volume: Volume, spacing: Sequence[float], *, mode: str = "linear", antialias: bool = False) -> Volume:
    """Resample to ``spacing``, with the shape, affine and values of MONAI's ``Spacingd`` (border padding).

    The map from output to input voxels of a volume without shear is a scaling of each axis, so linear interpolation
    separates into three sums of two neighbours, an order faster than a dense sampling grid. A sheared grid (tilted
    gantry) goes through MONAI's ``SpatialResample``.

    Args:
        volume: (X, Y, Z), any orientation.
        spacing: mm for each array axis.
        mode: ``"linear"`` (float32 out) or ``"nearest"`` (dtype kept, no new value arises).
        antialias: for ``"linear"`` and coarser output, average with a triangle as wide as the output voxel instead of
            picking two neighbours; the axes MONAI would leave alone are left alone.

    Raises:
        UserError: antialiasing of a sheared grid.
    """
    if mode not in ("linear", "nearest"):
        raise ValueError(f'mode must be "linear" or "nearest", got {mode!r}')
    if len(spacing) != 3 or not all(np.isfinite(step) and step > 0 for step in spacing):
        raise ValueError(f"spacing must be three lengths > 0 mm, got {tuple(spacing)}")
    shape, affine = target_grid(volume, spacing)
    back = np.linalg.solve(volume.affine, affine)  # output voxel -> input voxel
    if shape == volume.array.shape and np.allclose(back, np.eye(4), atol=_SAME_SPACING_MM):
        array = volume.array if mode == "nearest" else volume.array.astype(np.float32)
        return Volume(array, affine, volume.path)
    skew = np.abs(back[:3, :3] - np.diag(np.diag(back[:3, :3])))
    shift = (skew @ np.array(shape, float)).max()
    if mode == "nearest" and not skew.any():
        array = _nearest(volume.array, shape, back)
    elif mode == "linear" and shift < _DIAGONAL_VOXELS:
        array = _linear(volume.array, shape, back, antialias)
    elif antialias:
        raise UserError(volume.path, expected="a grid without shear for antialias=True", found="a tilted one")
    else:
        array = _dense(volume, shape, affine, mode)
    return Volume(array, affine, volume.path)


def target_grid(volume: Volume, spacing: Sequence[float]) -> tuple[tuple[int, int, int], np.ndarray]:
    """Shape and affine of ``Spacingd``'s output: first voxel centres coincide, the last ones to half a voxel."""
    axes = volume.affine[:3, :3]
    own_spacing = np.sqrt(np.sum(axes * axes, axis=0))
    target_spacing = [
        has if abs(has - step) <= _SAME_SPACING_MM else step for has, step in zip(own_spacing, spacing, strict=True)
    ]
    # the arithmetic of MONAI's zoom_affine and compute_shape_offset, step by step: a size that falls half-way between
    # two integers rounds by the last bit
    upper = np.linalg.cholesky(axes.T @ axes).T
    affine = np.eye(4)
    affine[:3, :3] = axes @ np.linalg.inv(upper) @ np.diag(np.sign(np.diag(upper)) * target_spacing)
    forth = np.linalg.solve(affine, volume.affine)
    if np.abs(forth[:3, :3] - np.diag(np.diag(forth[:3, :3]))).max() > _SHEAR:
        from monai.data.utils import compute_shape_offset

        shape, affine[:3, 3] = compute_shape_offset(volume.array.shape, volume.affine, affine)
    else:
        ends = np.meshgrid(*([0.0, size - 1.0] for size in volume.array.shape), indexing="ij")
        corners = forth @ np.concatenate([np.reshape(ends, (3, -1)), np.ones((1, 8))])
        shape = np.round(np.ptp(corners[:3], axis=1) + 1.0)
        affine[:3, 3] = volume.affine[:3, 3]
    x, y, z = (int(size) for size in shape)
    return (x, y, z), affine


def _linear(array: np.ndarray, shape: tuple[int, ...], back: np.ndarray, antialias: bool) -> np.ndarray:
    # the axis that shrinks most goes first: the others then have less to do
    for axis in sorted(range(3), key=lambda axis: shape[axis] / array.shape[axis]):
        scale, start = back[axis, axis], back[axis, 3]
        indices, weights = _taps(array.shape[axis], shape[axis], scale, start, antialias)
        array = _weighted_sum(array, axis, indices, weights)
    return array


def _taps(size: int, count: int, scale: float, start: float, antialias: bool) -> tuple[np.ndarray, np.ndarray]:
    """Input indices (count, taps) and weights of each output position; the triangle's half-width is max(1, scale)."""
    centre = np.clip(start + scale * np.arange(count), 0, size - 1)  # border padding
    width = max(1.0, scale) if antialias else 1.0
    first = np.floor(centre - width).astype(int) + 1
    indices = first[:, None] + np.arange(int(np.ceil(2 * width)))
    weights = np.clip(1 - np.abs(indices - centre[:, None]) / width, 0, None)
    return np.clip(indices, 0, size - 1), weights / weights.sum(axis=1, keepdims=True)


def _weighted_sum(array: np.ndarray, axis: int, indices: np.ndarray, weights: np.ndarray) -> np.ndarray:
    if np.array_equal(weights[:, 0], np.ones(len(weights))) and np.array_equal(
        indices[:, 0], np.arange(array.shape[axis])
    ):
        return array.astype(np.float32, copy=False)
    along = [1, 1, 1]
    along[axis] = -1

    def part(tap: int) -> np.ndarray:
        return np.take(array, indices[:, tap], axis=axis) * weights[:, tap].astype(np.float32).reshape(along)

    total = part(0)
    for tap in range(1, indices.shape[1]):
        total += part(tap)
    return total


def _nearest(array: np.ndarray, shape: tuple[int, ...], back: np.ndarray) -> np.ndarray:
    for axis in range(3):
        array = np.take(array, _nearest_indices(array.shape[axis], shape[axis], back, axis), axis=axis)
    return array


def _nearest_indices(size: int, count: int, back: np.ndarray, axis: int) -> np.ndarray:
    """Which input voxel MONAI takes. Where a position lies half-way, its own sampler is asked, with a ramp."""
    position = np.clip(back[axis, 3] + back[axis, axis] * np.arange(count), 0, size - 1)
    if (np.abs(position - np.floor(position) - 0.5) > _HALF_WAY).all():
        return np.rint(position).astype(np.int64)
    import torch
    from monai.data import MetaTensor
    from monai.transforms import SpatialResample

    place = [1, 1, 1]
    place[axis] = size
    affine = np.eye(4)
    affine[axis] = back[axis]
    ramp = torch.arange(size, dtype=torch.float64).reshape(1, *place)
    place[axis] = count
    picked = SpatialResample(mode="nearest", padding_mode="border", align_corners=False, dtype=np.float64)(
        MetaTensor(ramp, affine=torch.eye(4, dtype=torch.float64)),
        dst_affine=torch.as_tensor(affine),
        spatial_size=place,
    )
    return picked.numpy().reshape(-1).round().astype(np.int64)


def _dense(volume: Volume, shape: tuple[int, ...], affine: np.ndarray, mode: str) -> np.ndarray:
    import torch
    from monai.data import MetaTensor
    from monai.transforms import SpatialResample

    image = MetaTensor(torch.as_tensor(volume.array[None].astype(np.float64)), affine=torch.as_tensor(volume.affine))
    sampler = SpatialResample(
        mode="bilinear" if mode == "linear" else "nearest",
        padding_mode="border",
        align_corners=False,
        dtype=np.float64,
    )
    array = sampler(image, dst_affine=torch.as_tensor(affine), spatial_size=shape).numpy()[0]
    return array.astype(np.float32) if mode == "linear" else array.round().astype(volume.array.dtype)
