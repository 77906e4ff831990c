"""Skull, scalp, brain and fluid of a synthetic head; nothing here depends on haemorrhage."""

from __future__ import annotations

import numpy as np

from monai_cl.data.phantom.draw import rotation
from monai_cl.data.phantom.head_ct.scene import EXPONENT, Scene, fraction, paint, parts_fraction
from monai_cl.data.phantom.shapes import CosineSum, Ellipsoid, Lattice, Part

FLOOR = -58.0  # mm, where the cavity ends below
_CLAMP = -40.0  # mm, below it the outline no longer narrows


class _Points:
    """What `Ellipsoid.distance` needs of a lattice."""

    def __init__(self, *points: np.ndarray) -> None:
        self.points = points


def draw_head(rng: np.random.Generator, affine: np.ndarray, shape: tuple[int, int, int], *, edge: float) -> Scene:
    """Draw a head without decoys or blood.

    Args:
        rng: of the anatomy.
        affine: (4, 4) voxel -> RAS mm of the lattice.
        shape: of the lattice.
        edge: mm over which surfaces fade.
    """
    tilt = np.clip(rng.normal(0, 4, 3), -10, 10)
    shift = rng.normal(0, 3, 3)
    to_head = np.eye(4)
    to_head[:3, :3] = rotation(tilt).T
    to_head[:3, 3] = -to_head[:3, :3] @ shift
    lattice = Lattice(to_head @ affine, shape)
    size = float(np.clip(rng.normal(1, 0.04), 0.9, 1.1))
    radii = np.array([68.0, 88, 72]) * size * np.clip(rng.normal(1, 0.03, 3), 0.92, 1.08)
    bumps = CosineSum.random(rng, rms=0.02 * 25, wavelengths=(25, 75), terms=12)
    x, y, z = lattice.points
    outline = Ellipsoid(np.zeros(3), radii, exponent=EXPONENT).distance(
        _Points(x, y, np.maximum(z, np.float32(_CLAMP)))  # type: ignore[arg-type]
    )
    outline += lattice.evaluate(bumps)
    depth = np.minimum(-outline, z - np.float32(FLOOR))
    hu = np.full(shape, -1000, np.float32)
    ventricles, sulci, cisterns = (np.zeros(shape, np.float32) for _ in range(3))
    scene = Scene(lattice, edge, depth, hu, radii, ventricles, sulci, cisterns)
    scene.parameters |= {"size": size, **{f"radius_{axis}": float(r) for axis, r in zip("xyz", radii)}}
    scene.parameters |= {f"tilt_{axis}": float(angle) for axis, angle in zip("xyz", tilt)}
    _skull(rng, scene, outline)
    _brain(rng, scene)
    _membranes(rng, scene)
    return scene


def _skull(rng: np.random.Generator, scene: Scene, outline: np.ndarray) -> None:
    bone = float(np.clip(rng.normal(6, 1.2), 3, 10))
    scalp, soft = float(rng.uniform(4, 9)), float(rng.uniform(10, 40))
    table, diploe = float(rng.uniform(850, 1200)), float(rng.uniform(350, 650))
    z = scene.points[2]
    paint(scene.hu, fraction(outline - np.float32(bone + scalp), scene.edge), soft)
    base = np.where(z < FLOOR, outline, -scene.depth)  # the base: a bone below the cavity, then soft tissue
    base = np.maximum(base, np.float32(FLOOR - bone) - z)
    inner = np.float32(0.5 * bone)
    skull = fraction(np.abs(base - inner) - inner, scene.edge)
    skull = np.where(z < FLOOR, fraction(np.abs(z - np.float32(FLOOR - bone / 2)) - inner, scene.edge), skull)
    skull *= fraction(outline - np.float32(bone), scene.edge)
    paint(scene.hu, skull, table)
    core = fraction(np.abs(outline - inner) - np.float32(max(0.5 * bone - 1.6, 0)), scene.edge)
    paint(scene.hu, core * skull * (z > FLOOR), diploe)
    scene.parameters |= {"bone": bone, "scalp": scalp, "table": table}


def _brain(rng: np.random.Generator, scene: Scene) -> None:
    atrophy = float(rng.beta(1.5, 2.5))
    rim = 1 + 3 * atrophy * rng.uniform(0.6, 1.2)
    grey, white, fluid = rng.normal(37, 1.5), rng.normal(28, 1.5), rng.normal(7, 2)
    depth, edge = scene.depth, scene.edge
    cavity = fraction(-depth, edge)
    cortex = fraction(np.float32(rim) - depth, edge)
    paint(scene.hu, cavity, fluid)
    paint(scene.hu, cortex, grey)
    paint(scene.hu, fraction(np.float32(rim + 4) - depth, edge), white)
    paint(scene.hu, parts_fraction(scene, _nuclei(rng)), grey)

    folds = scene.lattice.evaluate(CosineSum.random(rng, rms=1, wavelengths=(18, 30), terms=16))
    width = 0.10 + 0.14 * atrophy
    slope = 2 * np.pi / 23  # of the field, per mm
    sulci = fraction((np.abs(folds) - np.float32(width)) * np.float32(1 / slope), edge)
    sulci *= fraction(depth - 16, edge) * cortex * (scene.points[2] > -30)
    scene.sulci = np.maximum(sulci, cavity - cortex)
    paint(scene.hu, sulci, fluid)

    scene.cisterns = parts_fraction(scene, _cisterns(rng)) * cortex
    size = (1 + 1.3 * atrophy) * rng.uniform(0.85, 1.15)
    scene.ventricles = parts_fraction(scene, _ventricles(rng, float(np.sqrt(size)))) * cortex
    for share in (scene.cisterns, scene.ventricles):
        paint(scene.hu, share, fluid)
    scene.sulci *= 1 - np.maximum(scene.cisterns, scene.ventricles)
    scene.parameters |= {"atrophy": atrophy, "rim": float(rim), "grey": float(grey), "ventricle_size": float(size)}


def _nuclei(rng: np.random.Generator) -> list[Part]:
    """Thalamus and lentiform nucleus of both sides."""
    move = rng.normal(0, 1.5, 3)
    return [
        Ellipsoid(np.array([side * x, y, z]) + move, np.array(radii))
        for side in (-1, 1)
        for (x, y, z), radii in (((12, -8, 6), (8.0, 12, 8)), ((25, 4, 2), (6.0, 14, 9)))
    ]


def _cisterns(rng: np.random.Generator) -> list[Part]:
    """Basal cisterns around the brain stem, and the Sylvian fissures."""
    grow = rng.uniform(0.8, 1.25)
    parts: list[Part] = [
        Ellipsoid(np.array([0.0, 12, -32]), np.array([15.0, 8, 6]) * grow),
        Ellipsoid(np.array([0.0, -24, -12]), np.array([12.0, 5, 7]) * grow),
    ]
    for side in (-1, 1):
        parts.append(Ellipsoid(np.array([side * 14.0, -6, -26]), np.array([3.0, 14, 6]) * grow))
        axes = rotation(np.array([0.0, 0, side * 12.0])).T
        parts.append(Ellipsoid(np.array([side * 46.0, 14, -6]), np.array([18.0, 3.2, 14]) * grow, axes))
    return parts


def _ventricles(rng: np.random.Generator, size: float) -> list[Part]:
    """Front horn, body and back horn of both lateral ventricles, and the third; ``size`` is of their widths."""
    length = rng.normal(1, 0.06)
    parts: list[Part] = []
    for side in (-1, 1):
        lopsided = size * rng.normal(1, 0.08)
        for (x, y, z), (a, b, c), turn in (
            ((10, 24, 12), (4.0, 14, 8), 18),
            ((12, 0, 18), (5.0, 24, 6), 6),
            ((22, -30, 8), (6.0, 16, 8), -14),
        ):
            radii = np.array([a * lopsided, b * length, c * np.sqrt(lopsided)])
            axes = rotation(np.array([0.0, 0, -side * turn])).T
            parts.append(Ellipsoid(np.array([side * x, y, z], float), radii, axes))
    parts.append(Ellipsoid(np.array([0.0, 0, 2]), np.array([2.2 * size, 13, 9])))
    return parts


def _membranes(rng: np.random.Generator, scene: Scene) -> None:
    """Falx, tentorium and venous sinuses, as bright as some blood."""
    x, y, z = scene.points
    side, edge = np.abs(x), scene.edge
    cavity = fraction(-scene.depth, edge)
    membrane, sinus = float(rng.uniform(42, 60)), float(rng.uniform(48, 72))
    falx = fraction(side - np.float32(1.2), edge) * fraction(scene.depth - 32, edge) * (z > 0)
    height = z - (np.float32(-6) - np.float32(0.5) * side + np.float32(0.15) * (y + 18))
    tentorium = fraction(np.abs(height) - np.float32(2.5), edge) * fraction(y + 18, edge)
    paint(scene.hu, falx * cavity, membrane)
    paint(scene.hu, tentorium * cavity, membrane)
    calibre = float(rng.uniform(4, 6.5))
    sagittal = fraction(np.hypot(x, scene.depth - np.float32(2)) - np.float32(calibre), edge) * (z > 5)
    transverse = fraction(np.hypot(height, scene.depth - np.float32(2)) - np.float32(calibre), edge) * (y < -45)
    paint(scene.hu, np.maximum(sagittal, transverse) * cavity, sinus)
    scene.parameters |= {"membrane": membrane, "sinus": sinus, "calibre": calibre}
