"""A patch moved as a whole - turned, scaled, shifted - and the way back, on the batch's device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from monai_cl.transforms.warp_parameters import rotation_matrix


class Movements(NamedTuple):
    """Of every sample of a batch, in the coordinates of `torch.nn.functional.affine_grid` (``align_corners=False``)."""

    there: Tensor
    """(N, 3, 4), from a voxel of the moved patch to what it shows of the patch: what `move` takes."""
    back: Tensor
    """(N, 3, 4), the inverse: from a voxel of the patch to where the moved patch shows it."""


def draw_movement(
    rng: np.random.Generator,
    *,
    size: Sequence[int],
    spacing: Sequence[float],
    probability: float = 0.0,
    rotation: float = 15.0,
    scale: float = 0.15,
    shift: float = 0.15,
) -> np.ndarray:
    """Draw how one patch is moved.

    Args:
        rng: where every draw comes from.
        size: H, W, D of the patch in voxels.
        spacing: mm along these axes: the patch turns as tissue does, not as voxels do.
        probability: that it is moved at all.
        rotation: degrees; the angles about the three axes are uniform in ±rotation.
        scale: the factor by which tissue grows is uniform in 1 ± scale.
        shift: along each axis uniform in ±shift times the patch's edge.

    Returns:
        (4, 4) from normalised coordinates (D, W, H order, the patch is [-1, 1]³) of the moved patch to those of the
        patch; the identity where it is not moved.

    Raises:
        ValueError: an option out of its range.
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"probability must be in [0, 1], got {probability}")
    if not 0 <= rotation <= 180:
        raise ValueError(f"rotation must be in [0, 180] degrees, got {rotation}")
    if not 0 <= scale < 1:
        raise ValueError(f"scale must be in [0, 1), got {scale}")
    if not 0 <= shift < 1:
        raise ValueError(f"shift must be in [0, 1), a share of the patch's edge, got {shift}")
    # All draws are always made: another probability does not change how those are moved that are.
    moved = rng.random() < probability
    angles, factor, offset = rng.uniform(-rotation, rotation, 3), 1 + rng.uniform(-scale, scale), rng.uniform(-1, 1, 3)
    matrix = np.eye(4)
    if moved:
        half = np.diag([n * mm / 2 for n, mm in zip(reversed(size), reversed(spacing))])  # mm, last axis first
        matrix[:3, :3] = np.linalg.inv(half) @ rotation_matrix(np.deg2rad(angles)) @ half / factor
        matrix[:3, 3] = 2 * shift * offset
    return matrix


def movements(drawn: Sequence[np.ndarray]) -> Movements:
    """The movements of a batch, both ways.

    Args:
        drawn: of each sample, by `draw_movement`.
    """
    there = np.stack(drawn)
    return Movements(*(torch.from_numpy(m[:, :3].astype(np.float32)) for m in (there, np.linalg.inv(there))))


def move(images: Tensor, there: Tensor) -> Tensor:
    """Images as the movements show them, linearly interpolated; 0, as air, where they show nothing of the image.

    Args:
        images: (N, C, H, W, D) floating point.
        there: (N, 3, 4), `Movements.there`, on the device of ``images``.
    """
    grid = F.affine_grid(there.to(images.dtype), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
