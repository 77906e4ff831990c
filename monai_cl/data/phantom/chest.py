"""Implicit shapes of the trunk that are not ellipsoids: the diaphragm and the ribs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_cl.data.phantom.shapes import Lattice, Part, smooth_minimum


@dataclass(frozen=True)
class BelowDiaphragm:
    """The points below a surface of smooth domes ``z = height - r^2 / (2 radius)``, r from (x, y) in ``tops``.

    Attributes:
        tops: (n, 3) summits in mm.
        radii: (n,) radii of curvature in mm.
    """

    tops: np.ndarray
    radii: np.ndarray
    blend: float = 25.0

    def distance(self, lattice: Lattice) -> np.ndarray:
        x, y, z = lattice.points
        depth = None  # height above the highest dome
        for (cx, cy, cz), radius in zip(self.tops, self.radii):
            above = (
                z - np.float32(cz) + ((x - np.float32(cx)) ** 2 + (y - np.float32(cy)) ** 2) * np.float32(0.5 / radius)
            )
            depth = above if depth is None else smooth_minimum(depth, above, self.blend)
        assert depth is not None  # there is a top or more
        return depth

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        return np.full(3, -1e4), np.array([1e4, 1e4, float(self.tops[:, 2].max()) + self.blend])


@dataclass(frozen=True)
class Ribs:
    """Bars ``thickness`` mm in radius, just outside ``cage``, every ``pitch`` mm, falling from back to front."""

    cage: Part
    pitch: float
    slope: float
    offset: float
    thickness: float
    lowest: float

    def distance(self, lattice: Lattice) -> np.ndarray:
        _, y, z = lattice.points
        shell = self.cage.distance(lattice) - np.float32(self.thickness + 1)
        level = z + np.float32(self.slope) * y - np.float32(self.offset)
        band = (np.mod(level, np.float32(self.pitch)) - np.float32(self.pitch / 2)) / np.float32(
            np.hypot(1, self.slope)
        )
        bar = np.hypot(shell, band * np.float32(0.8)) - np.float32(self.thickness)
        return np.maximum(bar, np.float32(self.lowest) - level)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        low, high = self.cage.bounds()
        return low - 3 * self.thickness, high + 3 * self.thickness
