"""Random geometry of one patient: points, radii, tilts, bumps and textures around typical values."""

from __future__ import annotations

import numpy as np

from monai_cl.data.phantom.shapes import CosineSum, HalfSpace, Tube

# level surfaces of the supine patient: gas lies in front of them
_FRONT = np.array([0.0, -1.0, 0.0])


class Draw:
    """Draws geometry in mm, times the patient's ``scale``; ``sd`` is how much patients differ."""

    def __init__(self, rng: np.random.Generator, scale: float) -> None:
        self.rng, self.scale = rng, scale

    def point(self, x: float, y: float, z: float, *, sd: float = 5.0) -> np.ndarray:
        """A position, each coordinate ± ``sd`` mm."""
        return (np.array([x, y, z]) + self.rng.normal(0, sd, 3)) * self.scale

    def radii(self, a: float, b: float, c: float, *, sd: float = 0.1) -> np.ndarray:
        """Three half axes, each ± ``sd`` of itself (clipped at 2.2 sd)."""
        return np.array([a, b, c]) * np.clip(self.rng.normal(1, sd, 3), 1 - 2.2 * sd, 1 + 2.2 * sd) * self.scale

    def axes(self, about_x: float, about_y: float, about_z: float, *, sd: float = 8.0) -> np.ndarray:
        """Own axes as rows, after turning about x, then y, then z by the angles in degrees, each ± ``sd``."""
        angles = np.array([about_x, about_y, about_z]) + self.rng.normal(0, sd, 3)
        return rotation(angles).T

    def bumps(self, rms: float, wavelengths: tuple[float, float] = (25, 80)) -> CosineSum:
        """Surface relief in mm."""
        return CosineSum.random(self.rng, rms=rms, wavelengths=wavelengths, terms=14)

    def texture(self, rms: float = 4.0, wavelengths: tuple[float, float] = (7, 40)) -> CosineSum:
        """Tissue texture in HU."""
        return CosineSum.random(self.rng, rms=rms, wavelengths=wavelengths, terms=16)

    def tube(self, *rows: tuple[float, float, float, float], sd: float = 4.0, sd_radius: float = 0.12) -> Tube:
        """A tube through (x, y, z, radius) rows; its points wander by ``sd`` mm, the whole calibre by ``sd_radius``."""
        table = np.array(rows, dtype=float)
        calibre = np.clip(self.rng.normal(1, sd_radius), 0.7, 1.35)
        points = table[:, :3] + self.rng.normal(0, sd / 2, 3) + self.rng.normal(0, sd, (len(table), 3))
        return Tube(points * self.scale, table[:, 3] * calibre * self.scale)

    def gas_above(self, low: float, high: float) -> HalfSpace:
        """Everything in front of a fluid level at a y between ``low`` and ``high`` mm."""
        return HalfSpace(_FRONT, -self.rng.uniform(low, high) * self.scale)


def rotation(degrees: np.ndarray) -> np.ndarray:
    """(3, 3) rotation about x, then y, then z."""
    turn = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        step = np.eye(3)
        step[i, i] = step[j, j] = np.cos(angle)
        step[i, j], step[j, i] = -np.sin(angle), np.sin(angle)
        turn = step @ turn
    return turn
