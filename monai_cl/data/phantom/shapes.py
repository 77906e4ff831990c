"""Implicit shapes in world millimetres: ellipsoids, tubes, loops of bowel, and how they combine.

A shape answers one question: how far (mm, negative inside) is each point of a lattice from its surface. Shapes know
nothing of voxels, so the same anatomy can be rendered on any grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np

_TINY = np.float32(1e-6)


@dataclass(frozen=True)
class CosineSum:
    """A smooth random field ``sum_k a_k cos(w_k . p + phase_k)`` of world position p (mm).

    On a lattice each term is a product of three one-dimensional factors, so the whole sum is one matrix product.

    Attributes:
        waves: (K, 3) angular wave vectors in rad/mm.
        phases: (K,) in rad.
        amplitudes: (K,) in the unit of the result.
    """

    waves: np.ndarray
    phases: np.ndarray
    amplitudes: np.ndarray

    @staticmethod
    def random(rng: np.random.Generator, *, rms: float, wavelengths: tuple[float, float], terms: int = 12) -> CosineSum:
        """Isotropic field with root mean square ``rms`` and wavelengths (mm) drawn evenly from the range."""
        direction = rng.normal(size=(terms, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        waves = direction * (2 * np.pi / rng.uniform(*wavelengths, size=(terms, 1)))
        return CosineSum(waves, rng.uniform(0, 2 * np.pi, terms), np.full(terms, rms * np.sqrt(2 / terms)))


class Lattice:
    """The voxel centres of a box of a grid, with coordinates in anatomy space.

    Anatomy space is world RAS mm, bent by up to three smooth ``warp`` fields: bending the points bends every organ
    of a patient together.
    """

    def __init__(
        self,
        affine: np.ndarray,
        shape: Sequence[int],
        *,
        start: Sequence[int] = (0, 0, 0),
        warp: Sequence[CosineSum] = (),
    ) -> None:
        self.affine = np.asarray(affine, dtype=np.float64)
        self.shape = tuple(int(n) for n in shape)
        self.start = tuple(int(n) for n in start)
        self.warp = tuple(warp)

    def box(self, slices: tuple[slice, slice, slice]) -> Lattice:
        """The part of this lattice inside ``slices``; coordinates already computed are cut, not recomputed."""
        part = Lattice(
            self.affine,
            tuple(s.stop - s.start for s in slices),
            start=tuple(o + s.start for o, s in zip(self.start, slices)),
            warp=self.warp,
        )
        if "points" in self.__dict__:
            part.__dict__["points"] = tuple(np.ascontiguousarray(c[slices]) for c in self.points)
        return part

    def evaluate(self, cosines: CosineSum) -> np.ndarray:
        """The field at every (unwarped) voxel centre: float32 of the lattice's shape."""
        per_index = cosines.waves @ self.affine[:3, :3]  # (K, 3): phase advance per voxel step
        phase = cosines.phases + cosines.waves @ (self.affine[:3, 3] + self.affine[:3, :3] @ np.array(self.start))
        factors = [np.exp(1j * np.outer(np.arange(n), per_index[:, axis])) for axis, n in enumerate(self.shape)]
        factors[0] = factors[0] * (cosines.amplitudes * np.exp(1j * phase))
        plane = (factors[0][:, None] * factors[1][None]).reshape(-1, len(cosines.phases))
        left_factors = np.concatenate([plane.real, -plane.imag], axis=1).astype(np.float32)
        right = np.concatenate([factors[2].real, factors[2].imag], axis=1).astype(np.float32)
        return (left_factors @ right.T).reshape(self.shape)

    @cached_property
    def points(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x (to the right), y (to the front), z (to the head) in mm, each float32 of the lattice's shape."""
        i, j, k = np.ogrid[tuple(slice(s, s + n) for s, n in zip(self.start, self.shape))]
        a = self.affine
        xyz = [(a[r, 0] * i + a[r, 1] * j + a[r, 2] * k + a[r, 3]).astype(np.float32) for r in range(3)]
        for axis, cosines in enumerate(self.warp):
            xyz[axis] = xyz[axis] + self.evaluate(cosines)
        return tuple(xyz)


class Part(Protocol):
    """Anything with a distance field and a bounding box in anatomy space."""

    def distance(self, lattice: Lattice) -> np.ndarray:
        """Signed distance in mm at the points of a lattice, negative inside; near the surface it is close to true."""
        ...

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper corner in mm of a box that holds the part."""
        ...


@dataclass(frozen=True)
class Ellipsoid:
    """``sum |q_a / radii_a|^exponent = 1`` with q the point in the ellipsoid's own axes; exponent > 2 is boxier.

    ``axes`` has the own axes as rows; a radius of ``np.inf`` makes a cylinder. The distance is first-order exact.
    """

    centre: np.ndarray
    radii: np.ndarray
    axes: np.ndarray = field(default_factory=lambda: np.eye(3))
    exponent: float = 2.0

    def distance(self, lattice: Lattice) -> np.ndarray:
        x, y, z = (c - np.float32(o) for c, o in zip(lattice.points, self.centre))
        sums = [np.float32(0), np.float32(0)]
        for row, radius in zip(self.axes.astype(np.float32), self.radii):
            if np.isinf(radius):
                continue
            q = np.abs(row[0] * x + row[1] * y + row[2] * z) * np.float32(1 / radius)
            lower = q if self.exponent == 2 else q ** np.float32(self.exponent - 1)
            sums[0] = sums[0] + lower * q
            sums[1] = sums[1] + (lower * np.float32(1 / radius)) ** 2
        level = sums[0] ** np.float32(1 / self.exponent)
        slope = np.sqrt(sums[1]) / np.maximum(level, _TINY) ** np.float32(self.exponent - 1)
        # the centre has no slope; there the distance is that of the nearest pole
        return np.maximum((level - 1) / np.maximum(slope, _TINY), -np.float32(min(self.radii)))

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        reach = np.abs(self.axes.T) @ np.where(np.isinf(self.radii), 1e4, self.radii)
        return np.asarray(self.centre) - reach, np.asarray(self.centre) + reach


@dataclass(frozen=True)
class Tube:
    """A chain of tapered capsules along ``points`` (n, 3) with ``radii`` (n,) in mm; blended at the joints."""

    points: np.ndarray
    radii: np.ndarray
    blend: float = 3.0

    def distance(self, lattice: Lattice) -> np.ndarray:
        result = None
        for a, b, ra, rb in zip(self.points[:-1], self.points[1:], self.radii[:-1], self.radii[1:]):
            along = (b - a).astype(np.float32)
            x, y, z = (c - np.float32(o) for c, o in zip(lattice.points, a))
            t = np.clip((x * along[0] + y * along[1] + z * along[2]) / max(float(along @ along), 1e-6), 0, 1)
            gap = np.sqrt((x - t * along[0]) ** 2 + (y - t * along[1]) ** 2 + (z - t * along[2]) ** 2)
            gap -= np.float32(ra) + t * np.float32(rb - ra)
            result = gap if result is None else smooth_minimum(result, gap, self.blend)
        assert result is not None  # there are two points or more
        return result

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        radii = np.asarray(self.radii)[:, None]
        return (self.points - radii).min(axis=0), (self.points + radii).max(axis=0)


@dataclass(frozen=True)
class HalfSpace:
    """The points with ``normal . p < offset``."""

    normal: np.ndarray
    offset: float

    def distance(self, lattice: Lattice) -> np.ndarray:
        x, y, z = lattice.points
        n = np.asarray(self.normal, dtype=np.float32)
        return n[0] * x + n[1] * y + n[2] * z - np.float32(self.offset)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        return np.full(3, -1e4), np.full(3, 1e4)


@dataclass(frozen=True)
class Loops:
    """Winding tubes: the points near the curves where two random fields vanish together. A plausible bowel.

    ``width`` is the radius in field units, ``scale`` converts field units to mm.
    """

    first: CosineSum
    second: CosineSum
    width: float
    scale: float

    def distance(self, lattice: Lattice) -> np.ndarray:
        radius = np.hypot(lattice.evaluate(self.first), lattice.evaluate(self.second))
        return (radius - np.float32(self.width)) * np.float32(self.scale)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        return np.full(3, -1e4), np.full(3, 1e4)


@dataclass(frozen=True)
class Shape:
    """Union of ``parts``, without ``cuts``, inside every one of ``within``; a bumpy surface; grown by ``grow`` mm.

    ``grow`` acts before ``within``: a lesion grown past the liver's surface stays inside the liver.
    """

    parts: tuple[Part, ...]
    cuts: tuple[Part, ...] = ()
    within: tuple[Part, ...] = ()
    surface: CosineSum | None = None
    blend: float = 4.0
    grow: float = 0.0

    def distance(self, lattice: Lattice) -> np.ndarray:
        result = self.parts[0].distance(lattice)
        for part in self.parts[1:]:
            result = smooth_minimum(result, part.distance(lattice), self.blend)
        for cut in self.cuts:
            result = -smooth_minimum(-result, cut.distance(lattice), self.blend)
        if self.surface is not None:
            result = result + lattice.evaluate(self.surface)
        if self.grow:
            result = result - np.float32(self.grow)
        for part in self.within:
            result = np.maximum(result, part.distance(lattice))
        return result

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        lows, highs = zip(*(part.bounds() for part in self.parts))
        bump = 0.0 if self.surface is None else float(np.abs(self.surface.amplitudes).sum())
        low, high = np.min(lows, axis=0) - bump - self.grow, np.max(highs, axis=0) + bump + self.grow
        for part in self.within:
            inner_low, inner_high = part.bounds()
            low, high = np.maximum(low, inner_low), np.minimum(high, inner_high)
        return low, high


def smooth_minimum(a: np.ndarray, b: np.ndarray, blend: float) -> np.ndarray:
    """Minimum with a fillet ``blend`` mm wide, so that joined parts have no crease (0: the plain minimum)."""
    if blend <= 0:
        return np.minimum(a, b)
    overlap = np.maximum(np.float32(blend) - np.abs(a - b), 0)
    return np.minimum(a, b) - overlap * overlap * np.float32(0.25 / blend)
