"""A synthetic cine in memory: one call, the two scans of a patient, drawn from (seed, index) alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_cl.data.phantom.cine.anatomy import PHASES, HeartPatient, draw_patient
from monai_cl.data.phantom.cine.render import LABELS, Stack, paint, scan

__all__ = ["LABELS", "PHASES", "CineScan", "cine_patient"]


@dataclass(frozen=True)
class CineScan:
    """One phase of a patient.

    Attributes:
        image: int16 in the scanner's units, label: uint8 (`LABELS`), both (X, Y, Z).
        affine: (4, 4) voxel -> RAS mm; the order of the slices differs from patient to patient.
        phase: "ED" or "ES".
        positions: (Z,) s of the slices in array order: 0 at the base, 1 at the apex, outside of it no ventricle.
    """

    image: np.ndarray
    label: np.ndarray
    affine: np.ndarray
    phase: str
    positions: np.ndarray


def cine_patient(
    seed: int, index: int, *, size: int = 96, position_noise: int = 1
) -> tuple[HeartPatient, dict[str, CineScan]]:
    """Make one synthetic patient.

    Args:
        seed: of the cohort, >= 0.
        index: of the patient, >= 0; the patient depends on (seed, index) and the options alone.
        size: pixels per side; the field of view is 192 mm (205 mm from 128 pixels on).
        position_noise: 1: the stack starts anywhere in a gap, with up to two slices beyond either end of the heart. 0:
            the slices of end-diastole divide the heart's axis evenly, and none lies beyond.

    Returns:
        the patient's anatomy, and "ED" and "ES" -> scan.

    Raises:
        ValueError: an option out of its range.
    """
    if seed < 0 or index < 0:
        raise ValueError(f"seed and index must be >= 0, got {seed} and {index}")
    if size < 16:
        raise ValueError(f"size must be >= 16 pixels, got {size}")
    body, planning, *phases = (np.random.default_rng([seed, index, stream]) for stream in range(4))
    patient = draw_patient(body)
    gap = float(planning.uniform(8, 10))
    start, extra = planning.random(), planning.integers(0, 3, 2)
    planning.random(2)  # not used any more: the patients of earlier versions stay
    centre, turn = tuple(planning.uniform(-7, 7, 2).tolist()), float(planning.uniform(-0.3, 0.3))
    base_first = planning.random() < 0.5
    axis = patient.phases["ED"].axis
    if not position_noise:
        start, extra, gap = 0.5, np.zeros(2, dtype=np.int64), axis / round(axis / gap)
    count = int(np.ceil(axis / gap - start)) + int(extra.sum())
    heights = (start - int(extra[0]) + np.arange(count)) * gap
    step, pixel = float(heights[1] - heights[0]), (192 if size < 128 else 205) / size
    stack = Stack(heights, size, pixel, centre, turn)
    found = {}
    for phase, rng in zip(PHASES, phases, strict=True):
        heart = patient.phases[phase]
        brightness, label = paint(patient, heart, stack, rng)
        image = scan(brightness, rng, spacing=(step, pixel, pixel))
        image, label, positions = image.transpose(2, 1, 0), label.transpose(2, 1, 0), heart.position(heights)
        affine = np.diag([pixel, pixel, step, 1.0])
        affine[:3, 3] = [-pixel * (size - 1) / 2, -pixel * (size - 1) / 2, heights[0]]
        if base_first:
            image, label, positions = image[..., ::-1], label[..., ::-1], positions[::-1]
            affine[2, 2], affine[2, 3] = -step, heights[-1]
        found[phase] = CineScan(image, label, affine, phase, positions)
    return patient, found
