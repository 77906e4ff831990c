"""A head on a lattice while it is drawn: coordinates in the head's own space, HU, and where fluid is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from monai_cl.data.phantom.shapes import Lattice, Part


@dataclass
class Scene:
    """Arrays of the lattice's shape (X, Y, Z), float32; +x to the right, +y to the front, +z to the vertex, mm.

    Attributes:
        lattice: in the head's own space: its affine holds tilt and shift.
        edge: mm over which a surface fades, about a voxel.
        depth: mm below the inner table of the skull, negative outside the cavity.
        hu: what is drawn.
        ventricles, sulci, cisterns: fraction of fluid in the voxel; sulci include the rim of fluid.
        radii: (3,) semi-axes of the cavity, mm.
        parameters: name -> number of what was drawn at random, for tests of independence.
    """

    lattice: Lattice
    edge: float
    depth: np.ndarray
    hu: np.ndarray
    radii: np.ndarray
    ventricles: np.ndarray
    sulci: np.ndarray
    cisterns: np.ndarray
    parameters: dict[str, float] = field(default_factory=dict)

    @property
    def points(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x, y and z of every voxel, mm."""
        return self.lattice.points

    def on_table(self, direction: np.ndarray) -> np.ndarray:
        """(3,) the point of the inner table in a direction from the middle, without the surface's noise."""
        level = (np.abs(direction / self.radii) ** EXPONENT).sum() ** (1 / EXPONENT)
        return direction / level


EXPONENT = 2.3  # of the cavity's superellipsoid


def fraction(distance: np.ndarray, edge: float) -> np.ndarray:
    """Share of a voxel inside a surface, from the signed distance of its centre (mm, negative inside)."""
    return np.clip(np.float32(0.5) - distance * np.float32(1 / edge), 0, 1)


def window(lattice: Lattice, low: np.ndarray, high: np.ndarray) -> tuple[slice, slice, slice]:
    """The voxels of a lattice that hold the box from ``low`` to ``high``, mm."""
    corners = np.array(list(product(*zip(low, high))))
    inverse = np.linalg.inv(lattice.affine)
    index = corners @ inverse[:3, :3].T + inverse[:3, 3]
    first = np.clip(np.floor(index.min(0)).astype(int), 0, lattice.shape)
    last = np.clip(np.ceil(index.max(0)).astype(int) + 1, first, lattice.shape)
    return slice(first[0], last[0]), slice(first[1], last[1]), slice(first[2], last[2])


def parts_fraction(scene: Scene, parts: Iterable[Part]) -> np.ndarray:
    """Share of every voxel inside any of several parts, float32."""
    result = np.zeros(scene.lattice.shape, np.float32)
    for part in parts:
        low, high = part.bounds()
        where = window(scene.lattice, low - scene.edge, high + scene.edge)
        inside = fraction(part.distance(scene.lattice.box(where)), scene.edge)
        result[where] = np.maximum(result[where], inside)
    return result


def paint(hu: np.ndarray, share: np.ndarray, value: float | np.ndarray) -> None:
    """Replace a share of every voxel by a tissue of ``value`` HU, in place."""
    hu += share * (value - hu)
