"""Affine and elastic deformation of a patch in one resampling: the affine map is folded into the elastic's B-spline.

A cubic B-spline reproduces affine maps exactly, so M of `WarpParameters` adds no cost to u.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from monai_cl.transforms.bspline import bspline_basis, evaluate_bspline
from monai_cl.transforms.warp_parameters import WarpParameters, random_warp, source_box

__all__ = ["WarpParameters", "apply_warp", "random_warp", "source_box"]


def apply_warp(
    image: Tensor,
    label: Tensor | None,
    parameters: WarpParameters | Sequence[WarpParameters],
    *,
    origin: Sequence[int] = (0, 0, 0),
    fill: float = 0.0,
) -> tuple[Tensor, Tensor | None]:
    """Warp an image (linear) and its label (nearest) alike.

    Args:
        image: (C, H, W, D) with one warp, or (N, C, H, W, D) with one per sample; floating point.
        label: as ``image``, any dtype, or None; values up to 2^24 are kept exactly.
        parameters: what `random_warp` drew.
        origin: where the first voxel of ``image`` lies, in voxels of the patch (`source_box` says what is needed);
            at 0 with an image of the patch's size, identity returns its input.
        fill: the image outside of what is given; the label there is 0.

    Returns:
        image and label of ``patch_size``, in the dtypes of the input.

    Raises:
        ValueError: if the shapes and the number of warps do not agree.
    """
    single = isinstance(parameters, WarpParameters)
    warps = [parameters] if isinstance(parameters, WarpParameters) else list(parameters)
    if image.ndim != (4 if single else 5) or (not single and len(image) != len(warps)):
        raise ValueError(
            f"image must be (C, H, W, D) with one warp or (N, C, H, W, D) with N, got {tuple(image.shape)}"
            f" with {len(warps)} warp(s)"
        )
    if label is not None and label.shape[-3:] != image.shape[-3:]:
        raise ValueError(f"image and label must have one size, got {tuple(image.shape)} and {tuple(label.shape)}")
    grid = _grid(warps, origin, image.shape[-3:], image)
    sources = [(image, "bilinear", fill)] + ([] if label is None else [(label, "nearest", 0)])
    results = [
        _sample(source[None] if single else source, warps, grid, mode, origin, value) for source, mode, value in sources
    ]
    warped = [result[0] if single else result for result in results]
    return warped[0], None if label is None else warped[1]


def _grid(warps: Sequence[WarpParameters], origin: Sequence[int], source: Sequence[int], like: Tensor) -> Tensor | None:
    """(N', H, W, D, 3) for `grid_sample`, of the warps that are not identity; None where all are."""
    dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
    grids = []
    for warp in warps:
        if not warp.is_identity:
            # grid_sample wants (z, y, x) scaled to [-1, 1]; on the few control points this costs nothing
            scaled = (warp.control_points() - origin) * (2 / np.maximum(np.array(source) - 1, 1)) - 1
            control = torch.from_numpy(scaled[..., ::-1].copy()).to(like.device, dtype)
            bases = [
                torch.from_numpy(bspline_basis(s, n)).to(like.device, dtype)
                for s, n in zip(warp.patch_size, warp.intervals)
            ]
            grids.append(evaluate_bspline(control, bases))
    if len(grids) == 1:  # torch.stack would copy 10 MB
        return grids[0][None]
    return torch.stack(grids) if grids else None


def _sample(
    source: Tensor, warps: Sequence[WarpParameters], grid: Tensor | None, mode: str, origin: Sequence[int], fill: float
) -> Tensor:
    if grid is None:
        return _crop(source, origin, warps[0].patch_size)
    moved = [i for i, warp in enumerate(warps) if not warp.is_identity]
    if len(moved) == len(warps):
        return _interpolate(source, grid, mode, fill)
    result = _crop(source, origin, warps[0].patch_size).clone()
    result[moved] = _interpolate(source[moved], grid, mode, fill)
    return result


def _interpolate(source: Tensor, grid: Tensor, mode: str, fill: float) -> Tensor:
    values = source.to(grid.dtype)
    if fill:
        values = values - fill
    result = F.grid_sample(values, grid, mode=mode, padding_mode="zeros", align_corners=True)
    return (result + fill if fill else result).to(source.dtype)


def _crop(source: Tensor, origin: Sequence[int], size: Sequence[int]) -> Tensor:
    if any(o > 0 or o + s < p for o, s, p in zip(origin, source.shape[-3:], size)):
        raise ValueError(f"image {tuple(source.shape)} from {tuple(origin)} does not cover the patch {tuple(size)}")
    x, y, z = (slice(-o, p - o) for o, p in zip(origin, size))
    return source[..., x, y, z]
