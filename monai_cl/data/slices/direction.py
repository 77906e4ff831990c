"""Slices of a volume are axial: a stack along another axis is refused, not cut across."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from monai_cl.errors import UserError

# slices this much further apart than both sides of their pixels are the scan's own direction
_THICK = 1.5


def require_axial(affine: np.ndarray, *, where: str | Path) -> None:
    """Refuse a scan whose slices lie along another axis than the third.

    Such a stack shows by one axis in plane with a spacing much larger than both others, which are about equal; thin
    axial slices have two large ones.

    Args:
        affine: (4, 4) voxel -> RAS mm, of axes in the order RAS.
        where: the scan, for the message.

    Raises:
        UserError: a stack along x or y.
    """
    spacing = np.linalg.norm(np.asarray(affine, dtype=np.float64)[:3, :3], axis=0)
    axis = int(np.argmax(spacing))
    pixel = np.delete(spacing, axis)
    if axis == 2 or spacing[axis] <= _THICK * pixel.max() or pixel.max() > _THICK * pixel.min():
        return
    sizes = ", ".join(f"{size:.4g}" for size in (*pixel, spacing[axis]))
    raise UserError(
        where,
        expected="slices along the body axis (z, the third in RAS)",
        found=f"slices along {'xyz'[axis]}, spacing ({', '.join(f'{size:.4g}' for size in spacing)}) mm",
        remedy="write scan and label as NIfTI with the slices along the third axis of the array and the affine "
        f"diag({sizes}, 1), also for a stack through the heart",
    )
