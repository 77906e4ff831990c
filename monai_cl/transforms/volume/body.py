"""Which voxels of a scan are the body: the largest part that is not air, its holes filled slice by slice."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_fill_holes, label

BODY_HU = -300.0


def body_mask(volume: np.ndarray, threshold: float = BODY_HU) -> np.ndarray:
    """The body without the table and the air around it; lungs and bowel gas count as body.

    Args:
        volume: (X, Y, Z), axial slices along the last axis, HU or another unit.
        threshold: what is above it is not air.

    Returns:
        (X, Y, Z) bool: the largest connected part above the threshold, with the holes of every slice filled. All voxels
        where nothing is above it.
    """
    parts, count = label(volume > threshold)
    if not count:
        return np.ones(volume.shape, bool)
    body = parts == 1 + np.bincount(parts.ravel())[1:].argmax()
    return np.stack([binary_fill_holes(body[:, :, number]) for number in range(volume.shape[2])], axis=2)
