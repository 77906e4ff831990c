"""The distance of each voxel to the nearest one of another region: by `edt` or, where that is absent, by SciPy."""

from __future__ import annotations

import numpy as np


def region_distance(regions: np.ndarray) -> np.ndarray:
    """Euclidean distance, in voxels, from each voxel's centre to the nearest centre of another region.

    `edt` (LGPL-3.0-or-later) is used where it is installed; without it the same numbers come from SciPy, slower:
    docs/deviations.md has the times.

    Args:
        regions: unsigned integers from 1, (H, W, D) or (H, W), contiguous; two regions or more. The border of the
            array is no boundary.

    Returns:
        float32 of the same shape, 1 at a voxel that touches another region.
    """
    try:
        import edt
    except ImportError:
        return scipy_region_distance(regions)
    return edt.edt(regions, black_border=False)


def scipy_region_distance(regions: np.ndarray) -> np.ndarray:
    """`region_distance` by `scipy.ndimage.distance_transform_edt`, region by region.

    A region's bounding box and one voxel around it are enough. A voxel of another region further out, moved straight to
    this box, is nearer and belongs to another region as well.

    Args:
        regions: see `region_distance`.
    """
    from scipy import ndimage

    distance = np.zeros(regions.shape, dtype=np.float32)
    for value, box in enumerate(ndimage.find_objects(regions), start=1):
        if box is None:
            continue
        wider = tuple(slice(max(side.start - 1, 0), side.stop + 1) for side in box)
        inside = regions[wider] == value
        distance[wider][inside] = ndimage.distance_transform_edt(inside)[inside]
    return distance
