"""The correlation of the channels of two views on the voxels that both show, and how it is drawn to the identity."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from monai_cl.losses.unit_vectors import at_least_float32, no_autocast, safe_norm


def identity_correlation(z1: Tensor, z2: Tensor, *, center: bool = False, where: Tensor | None = None) -> Tensor:
    """``C_ij = Σ_m z1_mi z2_mj / (‖z1_·i‖ ‖z2_·j‖)``, m over the voxels of the whole batch (MixCL, Eq. 5).

    Accumulated in float32 or better, under autocast too. A channel that is zero everywhere (or constant, when
    centred) correlates with nothing: its row or column is 0.

    Args:
        z1: features of one view, (B, C, H, W, D); any number of spatial axes.
        z2: features of the other view, voxel-aligned with the first, same shape.
        center: subtract each channel's mean over voxels first (Barlow Twins); the paper does not.
        where: (B, 1, H, W, D) booleans, the voxels that both views show; None: all.

    Returns:
        (C, C), float32, or float64 for float64 features.

    Raises:
        ValueError: shapes differ, or there is no (B, C, ...) layout.
    """
    if z1.shape != z2.shape:
        raise ValueError(f"z1 and z2 must have the same shape, got {tuple(z1.shape)} and {tuple(z2.shape)}")
    if z1.ndim < 2 or z1.numel() == 0:
        raise ValueError(f"z1 and z2 must be (B, C, H, W, D) and not empty, got {tuple(z1.shape)}")
    if where is not None and where.shape != (z1.shape[0], 1, *z1.shape[2:]):
        raise ValueError(f"where must be (B, 1, H, W, D) of z1 {tuple(z1.shape)}, got {tuple(where.shape)}")
    with no_autocast(z1):
        rows1, norms1 = _channels(z1, center, where)
        rows2, norms2 = _channels(z2, center, where)
        # Dividing the (C, C) product rather than the (C, voxels) factors spares two copies of the features.
        return (rows1 @ rows2.T) / norms1 / norms2.T


def identity_penalty(correlation: Tensor, *, offdiag_weight: float = 0.005) -> Tensor:
    """``Σ_i (1 − C_ii)² + λ Σ_i Σ_{j≠i} C_ij²`` of a (C, C) matrix (MixCL, Eq. 4; the paper prints C_ii twice).

    Args:
        correlation: C, (C, C), of :func:`identity_correlation`.
        offdiag_weight: λ of the entries off the diagonal.
    """
    diagonal = torch.diagonal(correlation)
    off_diagonal = correlation - torch.diag_embed(diagonal)
    return (1 - diagonal).square().sum() + offdiag_weight * off_diagonal.square().sum()


def aligned_features(features: Tensor, back: Tensor) -> tuple[Tensor, Tensor]:
    """Features of a moved patch at the voxels of the patch itself, linearly interpolated.

    Args:
        features: of the moved patches, (B, C, h, w, d), of any level.
        back: (B, 3, 4), from normalised coordinates of the patch to those of the moved patch, as
            `monai_cl.transforms.Movements` has them.

    Returns:
        (B, C, h, w, d) in float32 or better, and whether the moved patch shows that voxel, (B, 1, h, w, d) booleans:
        false where the interpolation would reach beyond the outermost feature voxels.

    Raises:
        ValueError: another number of movements than of features.
    """
    if back.shape != (features.shape[0], 3, 4):
        raise ValueError(f"back must be ({features.shape[0]}, 3, 4), a row for each patch, got {tuple(back.shape)}")
    with no_autocast(features):
        z = at_least_float32(features)
        grid = F.affine_grid(back.to(z.dtype), list(z.shape), align_corners=False)  # (B, h, w, d, 3): d, w, h
        moved = F.grid_sample(z, grid, mode="bilinear", padding_mode="border", align_corners=False)
        outermost = 1 - 1 / torch.tensor(z.shape[:1:-1], dtype=z.dtype, device=z.device)  # centres of those voxels
        # to rounding: a movement of nothing leaves every voxel in
        inside = (grid.abs() <= outermost + 1e-5).all(dim=-1)
    return moved, inside[:, None]


def _channels(z: Tensor, center: bool, where: Tensor | None) -> tuple[Tensor, Tensor]:
    """Channels as rows (C, voxels), 0 at voxels that do not count, and their norms (C, 1)."""
    rows = rearrange(at_least_float32(z), "b c ... -> c (b ...)")
    counted = None if where is None else rearrange(where, "b c ... -> c (b ...)")
    if counted is not None:
        rows = torch.where(counted, rows, 0)
    if not center:
        return rows, safe_norm(rows)
    # A constant channel leaves rounding noise behind, which would correlate with the other view's noise.
    noise = 16 * torch.finfo(rows.dtype).eps * torch.linalg.vector_norm(rows.detach(), dim=-1, keepdim=True)
    if counted is None:
        rows = rows - rows.mean(dim=-1, keepdim=True)
    else:
        mean = rows.sum(dim=-1, keepdim=True) / counted.sum().clamp(min=1)
        rows = torch.where(counted, rows - mean, 0)
    return rows, safe_norm(rows, floor=noise)
