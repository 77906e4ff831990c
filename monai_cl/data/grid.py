"""Where the voxels of a volume lie, and whether two volumes lie on the same grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

GRID_TOLERANCE = 0.1
"""Part of the smallest voxel edge by which corners may differ: headers round to float32."""


@dataclass(frozen=True, eq=False)
class Grid:
    """The lattice that an array's voxels lie on.

    Attributes:
        shape: (X, Y, Z), in the order of the array's axes.
        affine: (4, 4) float64, voxel index -> RAS+ mm.
    """

    shape: tuple[int, ...]
    affine: np.ndarray

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxels along each axis, mm."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return x, y, z

    @property
    def orientation(self) -> np.ndarray:
        """(3, 2), as nibabel: for each array axis the nearest world axis and a sign; nan where it has no length."""
        import nibabel as nib

        return nib.io_orientation(self.affine)

    def turn_to(self, other: Grid) -> np.ndarray:
        """(3, 2), for ``nibabel.apply_orientation``: turns the axes of an array on this grid to those of ``other``.

        Each axis goes to the one of ``other`` that it is most nearly parallel to, however oblique both are.
        """
        import nibabel as nib

        return nib.io_orientation(np.linalg.solve(other.affine, self.affine))

    def turned(self, turn: np.ndarray) -> Grid:
        """The grid of an array after ``nibabel.apply_orientation(array, turn)``; no voxel moves in the world."""
        import nibabel as nib

        shape = [0, 0, 0]
        for size, axis in zip(self.shape, turn[:, 0].astype(int), strict=True):
            shape[axis] = size
        return Grid(tuple(shape), self.affine @ nib.orientations.inv_ornt_aff(turn, self.shape))

    def to_ras(self) -> Grid:
        """The grid with axes flipped and permuted so that they point most nearly right, anterior, superior."""
        turn = self.orientation
        return self if np.isnan(turn).any() else self.turned(turn)

    def same_as(self, other: Grid, *, any_axes: bool = True) -> bool:
        """Whether both have their voxels at the same places, to `GRID_TOLERANCE` of this grid's smallest edge.

        Args:
            other: the grid to compare with.
            any_axes: axes may be flipped and permuted against each other; False compares the arrays as they are.
        """
        moved = other.turned(other.turn_to(self)) if any_axes else other
        return self.shape == moved.shape and self.corner_distance(moved) <= self.tolerance

    @property
    def tolerance(self) -> float:
        """Distance in mm up to which corners count as the same place."""
        return GRID_TOLERANCE * min(self.spacing)

    def corner_distance(self, other: Grid) -> float:
        """Largest distance in mm between the corner voxels of two grids of one shape."""
        corners = _corners([size - 1 for size in self.shape])
        return float(np.linalg.norm(((self.affine - other.affine) @ corners)[:3], axis=0).max())

    def drift(self, other: Grid) -> float:
        """Largest distance between the corners of two grids of one shape along any axis, in voxels of this one."""
        apart = (other.affine - self.affine) @ _corners(self.shape)
        return float(np.abs(np.linalg.solve(self.affine, apart)[:3]).max())

    def __str__(self) -> str:
        shape = "x".join(map(str, self.shape))
        spacing = "x".join(f"{edge:.4g}" for edge in self.spacing)
        origin = ", ".join(f"{at:.4g}" for at in self.affine[:3, 3])
        return f"shape {shape}, {spacing} mm, first voxel at ({origin}) mm"


def _corners(ends: tuple[int, ...] | list[int]) -> np.ndarray:
    """(4, 8), homogeneous indices: 0 or the end on each axis."""
    return (np.array([(*corner, 1) for corner in np.ndindex(2, 2, 2)]) * (*ends, 1)).T.astype(float)
