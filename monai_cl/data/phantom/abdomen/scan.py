"""The scanner: a voxel grid of random spacing, orientation, obliquity and field of view around an anatomy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_cl.data.phantom.abdomen.structure import Anatomy
from monai_cl.data.phantom.draw import rotation

# the letter names the direction in which an array axis runs, as in nibabel (RAS = right, anterior, superior)
_DIRECTIONS = {
    "R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1),
}  # fmt: skip


@dataclass(frozen=True)
class Scan:
    """A grid and its noise: ``shape`` (3,), ``affine`` (4, 4) voxel -> RAS mm, ``noise`` in HU."""

    shape: tuple[int, int, int]
    affine: np.ndarray
    noise: float


def sample_scan(
    rng: np.random.Generator,
    anatomy: Anatomy,
    *,
    spacing: float = 3.0,
    orientations: tuple[str, ...] = ("LPS", "LAS", "RAS"),
    oblique_probability: float = 0.3,
) -> Scan:
    """Draw how ``anatomy`` is scanned.

    Args:
        rng: source of every choice.
        anatomy: the patient; the field of view covers the upper abdomen, cut differently in every scan.
        spacing: geometric mean of the voxel spacing in mm; slices are 1 to 2 times as thick as the pixels are wide.
        orientations: axis codes to choose from, such as "LPS"; the first axis of the code is the first array axis.
        oblique_probability: how often the gantry is turned, by up to 6 degrees.

    Raises:
        ValueError: for a spacing that is not positive or an unknown orientation.
    """
    if not spacing > 0:
        raise ValueError(f"spacing must be > 0 mm, got {spacing}")
    codes = str(rng.choice(orientations))
    directions = np.array([_DIRECTIONS.get(c, (0, 0, 0)) for c in codes])  # row a: RAS direction of array axis a
    if directions.shape != (3, 3) or np.linalg.det(directions) == 0:
        raise ValueError(f'orientations must be axis codes such as "LPS", got {codes!r}')
    pixel = spacing * rng.uniform(0.9, 1.1) / (flatness := rng.uniform(1, 2)) ** (1 / 3)
    steps = np.array([pixel, pixel, pixel * flatness])
    low, high = anatomy.low.copy(), anatomy.high.copy()
    margin = (high - low)[:2] * rng.uniform(-0.05, 0.07, 2)
    shift = rng.normal(0, 6, 2)
    low[:2], high[:2] = low[:2] - margin + shift, high[:2] + margin + shift
    low[2], high[2] = -rng.uniform(95, 135), rng.uniform(80, 125)
    size = np.maximum(np.ceil((high - low) / steps).astype(int), 8)
    turn = np.eye(3)
    if rng.random() < oblique_probability:
        turn = rotation(rng.uniform(-6, 6, 3))
    world = np.abs(directions).argmax(axis=1)
    i, j, k = (int(size[w]) for w in world)
    shape = (i, j, k)
    affine = np.eye(4)
    affine[:3, :3] = turn @ (directions * steps[world][:, None]).T
    affine[:3, 3] = (low + high) / 2 - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Scan(shape, affine, float(rng.uniform(9, 20)))
