"""When an image and a label count as lying on one grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

GRID_TOLERANCE = 0.1
"""Part of the smallest voxel edge by which corners may differ: headers round to float32."""


def corner_shift(one: np.ndarray, other: np.ndarray, shape: Sequence[int]) -> float:
    """Largest distance in mm between the corner voxels of one array under two affines.

    Args:
        one, other: (4, 4), voxel index -> mm.
        shape: (X, Y, Z).
    """
    corners = np.array([[x, y, z, 1] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=float).T
    corners[:3] *= np.array(shape)[:, None] - 1
    return float(np.linalg.norm(((one - other) @ corners)[:3], axis=0).max())
