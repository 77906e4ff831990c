"""A stack of axial slices as a lattice for the phantom's shapes: coordinates broadcast, so most work is per slice."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from monai_cl.data.phantom.shapes import Lattice


class AxialLattice(Lattice):
    """Slices (z, y, x) in anatomy space; the patient may lie shifted and rolled about the body axis.

    ``points`` are x and y of shape (1, H, W) and z of shape (S, 1, 1): a shape that does not change along the body is
    computed once, and the others add slice and plane terms.

    Args:
        heights: (S,) z of the slices, mm, evenly spaced.
        size: pixels per side.
        pixel: mm.
        shift: (x, y) of the patient's midline against the centre of the field of view, mm.
        roll: degrees about the body axis.
    """

    def __init__(
        self, heights: np.ndarray, *, size: int, pixel: float, shift: tuple[float, float] = (0, 0), roll: float = 0.0
    ) -> None:
        step = float(heights[1] - heights[0]) if len(heights) > 1 else 1.0
        cos, sin = np.cos(np.deg2rad(roll)), np.sin(np.deg2rad(roll))
        half = pixel * (size - 1) / 2
        affine = np.zeros((4, 4))
        affine[2, 0], affine[:2, 1], affine[:2, 2] = step, (-sin * pixel, cos * pixel), (cos * pixel, sin * pixel)
        turn = np.array([[cos, -sin], [sin, cos]])
        affine[:2, 3] = turn @ (np.array([-half, -half]) - np.asarray(shift))
        affine[2, 3], affine[3, 3] = float(heights[0]), 1.0
        super().__init__(affine, (len(heights), size, size))

    def box(self, slices: tuple[slice, slice, slice]) -> AxialLattice:
        """The part inside ``slices``, coordinates cut from these."""
        part = object.__new__(AxialLattice)
        shape = tuple(s.stop - s.start for s in slices)
        start = tuple(o + s.start for o, s in zip(self.start, slices))
        Lattice.__init__(part, self.affine, shape, start=start)
        x, y, z = self.points
        part.__dict__["points"] = (x[:, slices[1], slices[2]], y[:, slices[1], slices[2]], z[slices[0]])
        return part

    @property
    def plane(self) -> AxialLattice:
        """Its first slice alone, for shapes that do not change along the body."""
        return self.box((slice(0, 1), slice(0, self.shape[1]), slice(0, self.shape[2])))

    @cached_property
    def points(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x (to the right), y (to the front), z (to the head) in mm, float32, broadcastable to the shape."""
        k, j, i = np.ogrid[tuple(slice(s, s + n) for s, n in zip(self.start, self.shape))]
        a = self.affine
        x = a[0, 1] * j + a[0, 2] * i + a[0, 3]
        y = a[1, 1] * j + a[1, 2] * i + a[1, 3]
        return x.astype(np.float32), y.astype(np.float32), (a[2, 0] * k + a[2, 3]).astype(np.float32)

    def window(self, low: np.ndarray, high: np.ndarray) -> tuple[slice, slice, slice] | None:
        """The slices and pixels that a box of anatomy space can touch, with a margin; None if there are none."""
        z = self.points[2]
        rows = np.flatnonzero((z[:, 0, 0] >= low[2] - 3) & (z[:, 0, 0] <= high[2] + 3))
        if not len(rows):
            return None
        to_index = np.linalg.inv(self.affine[:2, 1:3])
        corners = np.array([[px, py] for px in (low[0], high[0]) for py in (low[1], high[1])]) - self.affine[:2, 3]
        index = corners @ to_index.T - np.array(self.start[1:])
        first = np.maximum(np.floor(index.min(axis=0)).astype(int) - 2, 0)
        last = np.minimum(np.ceil(index.max(axis=0)).astype(int) + 3, self.shape[1:])
        if np.any(last - first < 1):
            return None
        y, x = (slice(int(a), int(b)) for a, b in zip(first, last))
        return slice(int(rows[0]), int(rows[-1]) + 1), y, x
