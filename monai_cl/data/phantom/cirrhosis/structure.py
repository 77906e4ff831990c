"""What a synthetic cirrhosis patient consists of: coats of paint in order, and the two cavities they lie in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_cl.data.phantom.chest import BelowDiaphragm
from monai_cl.data.phantom.shapes import CosineSum, Ellipsoid, Lattice, Part

LIVER, SPLEEN = 1, 2
LABELS = {0: "background", LIVER: "liver", SPLEEN: "spleen"}


@dataclass(frozen=True)
class Coat:
    """One coat of paint; later coats cover earlier ones.

    Attributes:
        part: where.
        hu: mean HU.
        grain: share of the common tissue texture it shows.
        label: id to write, or None to leave the one underneath.
        flat: the part is the same at every height and is computed once.
        region: "abdomen" or "chest" confines it, ``gap`` mm from the edge.
        inside: paint only where this label is underneath.
        nodules, height: scallop the surface: round nodules that meet in clefts where the field (of unit root mean
            square) vanishes, ``height`` mm of root mean square; after ``region``, so that they show at the wall, too.
    """

    part: Part
    hu: float
    grain: float = 1.0
    label: int | None = 0
    flat: bool = False
    region: str | None = None
    gap: float = 0.0
    inside: int | None = None
    nodules: CosineSum | None = None
    height: float = 0.0


@dataclass(frozen=True)
class CirrhosisPatient:
    """Coats in painting order, the cavity and the diaphragm that divide chest and abdomen, a tissue texture.

    ``ribs`` holds the pitch (mm), fall from back to front, offset (mm) and HU of the ribs around the cavity.
    """

    coats: tuple[Coat, ...]
    cavity: Part
    diaphragm: BelowDiaphragm
    texture: CosineSum
    ribs: tuple[float, float, float, float]
    phase: str


@dataclass(frozen=True)
class Ball(Ellipsoid):
    """An ellipsoid of exponent 2 and finite radii: the same distance with half the passes over the lattice."""

    def distance(self, lattice: Lattice) -> np.ndarray:
        x, y, z = (c - np.float32(o) for c, o in zip(lattice.points, self.centre))
        level, slope = None, None
        for row, radius in zip(self.axes / np.asarray(self.radii)[:, None], self.radii):
            row = row.astype(np.float32)
            q = (row[0] * x + row[1] * y) + row[2] * z
            q *= q
            weighted = q * np.float32(1 / radius**2)
            level = q if level is None else np.add(level, q, out=level)
            slope = weighted if slope is None else np.add(slope, weighted, out=slope)
        assert level is not None
        assert slope is not None
        root = np.sqrt(level)
        level -= root
        np.sqrt(slope, out=slope)
        slope += np.float32(1e-6)
        level /= slope
        # the centre has no slope; there the distance is that of the nearest pole
        return np.where(root < 0.1, -np.float32(min(self.radii)), level)
