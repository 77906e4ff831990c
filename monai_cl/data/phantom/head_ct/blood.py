"""Haemorrhage of five kinds: outside and below the dura, in sulci and cisterns, in the ventricles, in the brain."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from monai_cl.data.phantom.head_ct.scene import Scene, fraction, paint
from monai_cl.data.phantom.shapes import CosineSum, Ellipsoid

FINDINGS = ("epidural", "subdural", "subarachnoid", "intraventricular", "intraparenchymal")
WEIGHTS = (0.10, 0.26, 0.26, 0.14, 0.24)
LEAST_VOLUME = 300.0  # mm³ of a kind that is called present
_TWO, _THREE = 0.35, 0.12  # shares of the cases with at least two kinds, and with three
_ATTEMPTS = 8


def draw_kinds(rng: np.random.Generator) -> list[str]:
    """One kind; two or three with probability .35, three with .12, none of them twice."""
    second, third = rng.random(2)
    count = 1 + int(second < _TWO) + int(second < _TWO and third < _THREE / _TWO)
    return [str(kind) for kind in rng.choice(FINDINGS, size=count, replace=False, p=WEIGHTS)]


def draw_blood(rng: np.random.Generator, scene: Scene, kinds: list[str]) -> dict[str, np.ndarray]:
    """Draw haemorrhage in place.

    Args:
        rng: of the haemorrhage.
        scene: the head; changed.
        kinds: of `FINDINGS`.

    Returns:
        Kind -> share of blood in every voxel, float32 (X, Y, Z). Where two kinds meet the voxel is the later one's.
    """
    voxel = abs(np.linalg.det(scene.lattice.affine[:3, :3]))
    found: dict[str, np.ndarray] = {}
    for kind in kinds:
        for _ in range(_ATTEMPTS):  # small ventricles hold little
            share, limit = _DRAWN[kind](rng, scene)
            if share.sum() * voxel > 1.5 * LEAST_VOLUME:
                break
        hu = rng.uniform(42, 55) if rng.random() < 0.25 else rng.uniform(55, 78)
        texture = scene.lattice.evaluate(CosineSum.random(rng, rms=3, wavelengths=(8, 14), terms=12))
        paint(scene.hu, share, np.float32(min(hu, limit)) + texture)
        for earlier in found.values():
            earlier *= 1 - share
        found[kind] = share
    return found


Drawn = tuple[np.ndarray, float]


def _distance_to(scene: Scene, point: np.ndarray) -> np.ndarray:
    x, y, z = (c - np.float32(o) for c, o in zip(scene.points, point))
    return np.sqrt(x * x + y * y + z * z)


def _on_convexity(rng: np.random.Generator, scene: Scene) -> np.ndarray:
    """A point of the inner table away from the midline and the base."""
    angle, height = rng.uniform(-0.4 * np.pi, 0.4 * np.pi), rng.uniform(-0.1, 0.75)
    side = rng.choice([-1, 1])
    return scene.on_table(np.array([side * np.cos(angle), np.sin(angle), height]))


def _lens(rng: np.random.Generator, scene: Scene, reach: float, thickness: float, exponent: int) -> Drawn:
    """Below the table to a depth of T(1 − (g/R)^n), g the distance to a point of the table; on its side only."""
    point = _on_convexity(rng, scene)
    g = _distance_to(scene, point) * np.float32(1 / reach)
    below = scene.depth - np.float32(thickness) * (1 - g**exponent)
    other_side = np.float32(2) - scene.points[0] * np.float32(np.sign(point[0]))
    return fraction(np.maximum(np.maximum(below, -scene.depth), other_side), scene.edge), np.inf


def _epidural(rng: np.random.Generator, scene: Scene) -> Drawn:
    return _lens(rng, scene, rng.uniform(20, 36), rng.uniform(7, 20), 2)


def _subdural(rng: np.random.Generator, scene: Scene) -> Drawn:
    return _lens(rng, scene, rng.uniform(45, 80), rng.uniform(3, 9), 4)


def _subarachnoid(rng: np.random.Generator, scene: Scene) -> Drawn:
    basal = rng.random() < 0.5
    centre = np.array([rng.choice([-1, 1]) * rng.uniform(0, 40), 10.0, -20]) if basal else _on_convexity(rng, scene)
    near = fraction(_distance_to(scene, centre) - np.float32(rng.uniform(22, 42)), 4)
    share = np.maximum(scene.sulci, scene.cisterns) * near
    patches = scene.lattice.evaluate(CosineSum.random(rng, rms=1, wavelengths=(25, 60), terms=10))
    share *= patches > np.float32(-0.84)  # four fifths of a normal field
    return share, 68


def _intraventricular(rng: np.random.Generator, scene: Scene) -> Drawn:
    y = scene.points[1]
    level = np.quantile(y[scene.ventricles > 0.5], rng.uniform(0.2, 0.9))  # blood sinks to the back
    return scene.ventricles * fraction(y - np.float32(level), scene.edge), 72


def _intraparenchymal(rng: np.random.Generator, scene: Scene) -> Drawn:
    side, place = rng.choice([-1, 1]), rng.random()
    if place < 0.5:
        centre = np.array([side * 24.0, 2, 4]) + rng.normal(0, 4, 3)
    elif place < 0.85:
        centre = rng.uniform(0.6, 0.78) * _on_convexity(rng, scene)
    else:
        centre = np.array([side * rng.uniform(6, 28), -52.0, -34]) + rng.normal(0, 3, 3)
    volume = np.exp(rng.uniform(np.log(1000), np.log(35_000)))
    shape = rng.uniform(0.75, 1.3, 3)
    radii = shape * (3 * volume / (4 * np.pi * shape.prod())) ** (1 / 3)
    rough = CosineSum.random(rng, rms=0.1 * radii.mean(), wavelengths=(12, 35), terms=12)
    distance = Ellipsoid(centre, radii).distance(scene.lattice) + scene.lattice.evaluate(rough)
    brain = fraction(2 - scene.depth, scene.edge)
    oedema, rim = rng.random() < 0.7, np.float32(rng.uniform(3, 7))
    if oedema:
        tissue = brain * (1 - np.maximum(np.maximum(scene.sulci, scene.cisterns), scene.ventricles))
        scene.hu -= 9 * fraction(distance - rim, scene.edge) * tissue
    return fraction(distance, scene.edge) * brain, np.inf


_DRAWN: dict[str, Callable[[np.random.Generator, Scene], Drawn]] = dict(
    zip(FINDINGS, (_epidural, _subdural, _subarachnoid, _intraventricular, _intraparenchymal))
)
