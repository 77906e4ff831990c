"""The correlation of the channels of two views, and the penalty that draws it towards the identity matrix."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

from monai_cl.losses.unit_vectors import at_least_float32, no_autocast, safe_norm


def identity_correlation(z1: Tensor, z2: Tensor, *, center: bool = False) -> Tensor:
    """``C_ij = Σ_m z1_mi z2_mj / (‖z1_·i‖ ‖z2_·j‖)``, m over the voxels of the whole batch (MixCL, Eq. 5).

    Accumulated in float32 or better, under autocast too. A channel that is zero everywhere (or constant, when
    centred) correlates with nothing: its row or column is 0.

    Args:
        z1: features of one view, (B, C, H, W, D); any number of spatial axes.
        z2: features of the other view, voxel-aligned with the first, same shape.
        center: subtract each channel's mean over voxels first (Barlow Twins); the paper does not.

    Returns:
        (C, C), float32, or float64 for float64 features.

    Raises:
        ValueError: shapes differ, or there is no (B, C, ...) layout.
    """
    if z1.shape != z2.shape:
        raise ValueError(f"z1 and z2 must have the same shape, got {tuple(z1.shape)} and {tuple(z2.shape)}")
    if z1.ndim < 2 or z1.numel() == 0:
        raise ValueError(f"z1 and z2 must be (B, C, H, W, D) and not empty, got {tuple(z1.shape)}")
    with no_autocast(z1):
        rows1, norms1 = _channels(z1, center)
        rows2, norms2 = _channels(z2, center)
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


def _channels(z: Tensor, center: bool) -> tuple[Tensor, Tensor]:
    """Channels as rows (C, voxels) and their norms (C, 1)."""
    rows = rearrange(at_least_float32(z), "b c ... -> c (b ...)")
    if not center:
        return rows, safe_norm(rows)
    # A constant channel leaves rounding noise behind, which would correlate with the other view's noise.
    noise = 16 * torch.finfo(rows.dtype).eps * torch.linalg.vector_norm(rows.detach(), dim=-1, keepdim=True)
    rows = rows - rows.mean(dim=-1, keepdim=True)
    return rows, safe_norm(rows, floor=noise)
