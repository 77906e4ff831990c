"""Sheared grids, as a tilted gantry leaves them: how far from right angles, and a volume resampled to right angles."""

from __future__ import annotations

import numpy as np

from monai_cl.data.grid import Grid
from monai_cl.data.io.reading import Volume
from monai_cl.errors import message

# a header rounds to float32, which turns long axes by less
_DEGREES = 0.05


def shear_degrees(affine: np.ndarray) -> float:
    """How far the axes of a grid are from right angles, in degrees; 0 for what rounding alone explains.

    Args:
        affine: (4, 4), voxel -> mm.
    """
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    cosines = (axes.T @ axes)[np.triu_indices(3, 1)]
    found = float(np.degrees(np.arcsin(np.clip(np.abs(cosines).max(), 0, 1))))
    return found if found > _DEGREES else 0.0


def sheared_message(name: object, affine: np.ndarray, *, remedy: str) -> str | None:
    """What is said of a volume that is written on a sheared grid; None where its axes are at right angles.

    Args:
        name: of the file.
        affine: (4, 4), voxel -> mm.
        remedy: the option that resamples.
    """
    degrees = shear_degrees(affine)
    if not degrees:
        return None
    found = f"its axes are {degrees:.1f} degrees off right angles (a tilted gantry), which many viewers ignore"
    return message(name, found=found, remedy=remedy)


def rectified(volume: Volume, *, nearest: bool = False) -> Volume:
    """A volume resampled to a grid of right angles; one that has them already is returned as it is.

    The first axis keeps its direction, the second turns within the plane of both, the third becomes their normal: of a
    tilted series the rows and columns stay, and the slices keep their distance. The grid is as large as needed to hold
    all voxels; what lies outside of the old one gets the lowest value of the volume, and 0 with ``nearest``.

    Args:
        volume: (X, Y, Z).
        nearest: take the nearest voxel, for label maps; otherwise interpolate linearly.
    """
    if not shear_degrees(volume.affine):
        return volume
    from scipy.ndimage import affine_transform

    grid = _upright(volume.grid)
    to_source = np.linalg.solve(volume.affine, grid.affine)
    source = volume.array if nearest else volume.array.astype(np.float32)
    array = affine_transform(
        source,
        to_source[:3, :3],
        to_source[:3, 3],
        output_shape=grid.shape,
        order=0 if nearest else 1,
        mode="constant",
        cval=0 if nearest else float(volume.array.min()),
    )
    if volume.array.dtype.kind in "iu" and not nearest:
        array = np.rint(array)
    return Volume(array.astype(volume.array.dtype), grid.affine, volume.path)


def _upright(grid: Grid) -> Grid:
    """Gram-Schmidt of the axes; a voxel edge is the part of the old one along the new axis."""
    turn, edges = np.linalg.qr(grid.affine[:3, :3])
    signs = np.sign(np.diag(edges))
    turn, spacing = turn * signs, np.abs(np.diag(edges))
    ends = np.array([(*corner, 1) for corner in np.ndindex(2, 2, 2)]) * (*(np.array(grid.shape) - 1), 1)
    corners = (ends @ grid.affine.T)[:, :3] @ turn / spacing  # in new voxels
    first = corners.min(0)
    shape = np.ceil(corners.max(0) - first - 1e-6).astype(int) + 1
    affine = np.eye(4)
    affine[:3, :3] = turn * spacing
    affine[:3, 3] = affine[:3, :3] @ first
    return Grid(tuple(shape.tolist()), affine)
