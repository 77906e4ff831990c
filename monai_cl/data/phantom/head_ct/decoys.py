"""Bright and dark spots that are no haemorrhage, as frequent with it as without."""

from __future__ import annotations

import numpy as np

from monai_cl.data.phantom.head_ct.scene import Scene, fraction, paint, parts_fraction
from monai_cl.data.phantom.shapes import CosineSum, Ellipsoid


def draw_decoys(rng: np.random.Generator, scene: Scene) -> None:
    """Calcifications, old infarcts and scalp haematomas, drawn in place.

    Args:
        rng: of the decoys.
        scene: the head; changed.
    """
    brain = fraction(3 - scene.depth, scene.edge)

    def spots(centres: list[np.ndarray], radii: np.ndarray, hu: float) -> None:
        paint(scene.hu, parts_fraction(scene, [Ellipsoid(centre, radii) for centre in centres]) * brain, hu)

    def both(x: float, y: float, z: float) -> list[np.ndarray]:
        return [np.array([side * x, y, z]) + rng.normal(0, 1.5, 3) for side in (-1, 1)]

    counts: dict[str, int] = {}
    if counts.setdefault("choroid", int(rng.random() < 0.6)):
        spots(both(22, -30, 6), rng.uniform(2.5, 5, 3), rng.uniform(70, 220))
    if counts.setdefault("pineal", int(rng.random() < 0.6)):
        spots([np.array([0.0, -22, 2]) + rng.normal(0, 1, 3)], rng.uniform(2, 4, 3), rng.uniform(80, 250))
    if counts.setdefault("basal_ganglia", int(rng.random() < 0.2)):
        spots(both(22, 4, 3), rng.uniform(3, 7, 3), rng.uniform(50, 90))
    if counts.setdefault("infarct", int(rng.random() < 0.3)):
        direction = rng.normal(size=3) * [1, 1, 0.5]
        direction[2] = abs(direction[2])
        centre = 0.82 * scene.on_table(direction)
        noise = scene.lattice.evaluate(CosineSum.random(rng, rms=2, wavelengths=(15, 40), terms=10))
        distance = Ellipsoid(centre, rng.uniform(9, 24, 3)).distance(scene.lattice) + noise
        paint(scene.hu, fraction(distance, scene.edge) * brain, rng.uniform(12, 22))
    if counts.setdefault("scalp", int(rng.random() < 0.3)):
        direction = rng.normal(size=3)
        direction[2] = abs(direction[2])
        centre = scene.on_table(direction)
        outside = -scene.depth - scene.parameters["bone"]  # mm from the outer table
        x, y, z = scene.points
        distance = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2).astype(np.float32)
        reach, thickness = rng.uniform(18, 38), rng.uniform(5, 11)
        inside = outside - np.float32(thickness) * (1 - (distance / np.float32(reach)) ** 2)
        share = fraction(np.maximum(inside, -outside), scene.edge) * (z > -50)
        paint(scene.hu, share, rng.uniform(45, 70))
    scene.parameters |= {f"decoy_{name}": float(count) for name, count in counts.items()}
