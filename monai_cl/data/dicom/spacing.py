"""Whether the slices of a stack lie evenly: gaps and repeated positions named, or interpolated on demand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from monai_cl.errors import UserError

# a gap may differ from the usual one by this much: scanners round positions to 0.1 mm
_GAP_TOLERANCE_MM = 0.11
_DUPLICATE_MM = 1e-3


def are_even(path: Path, names: Sequence[str], positions: np.ndarray, *, uneven_slices: str) -> bool:
    """Whether slices lie evenly; raises where they do not and ``uneven_slices`` is ``"error"``, or lie at one place."""
    if (np.diff(positions) <= _DUPLICATE_MM).all():
        raise UserError(
            f"{path}: expected evenly spaced slices, found all {len(names)} at the same position "
            f"{positions[0]:.3f} mm; export the series again"
        )
    faults = _spacing_faults(names, positions)
    if faults and uneven_slices == "error":
        raise UserError(
            f"{path}: expected evenly spaced slices, found {'; '.join(faults)}; export the series again, or read it "
            'with uneven_slices="interpolate"'
        )
    return not faults


def _spacing_faults(names: Sequence[str], positions: np.ndarray) -> list[str]:
    gaps = np.diff(positions)
    usual = float(np.median(gaps[gaps > _DUPLICATE_MM]))
    tolerance = min(_GAP_TOLERANCE_MM, 0.35 * usual)
    faults = []
    for index in np.flatnonzero((gaps <= _DUPLICATE_MM) | (np.abs(gaps - usual) > tolerance)):
        gap, below, above = gaps[index], names[index], names[index + 1]
        if gap <= _DUPLICATE_MM:
            faults.append(f"{below} and {above} at the same position {positions[index]:.3f} mm")
            continue
        multiple = gap / usual
        kind = (
            f"{round(multiple) - 1} missing"
            if round(multiple) > 1 and abs(multiple - round(multiple)) < 0.1
            else "uneven"
        )
        faults.append(f"a gap of {gap:.3f} mm instead of {usual:.3f} mm between {below} and {above} ({kind})")
    return faults if len(faults) <= 4 else [*faults[:4], f"and {len(faults) - 4} more"]


def interpolate_slices(array: np.ndarray, origins: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slices at equal steps, by linear interpolation between those there are.

    Args:
        array: (X, Y, Z), slices in the order of ``positions``.
        origins: (Z, 3) mm, the first voxel of each slice.
        positions: (Z,) mm along the stack, ascending; of slices at one place the first is kept.

    Returns:
        The array (X, Y, N) float32 at the median step, and its origins (N, 3).
    """
    keep = np.concatenate([[True], np.diff(positions) > _DUPLICATE_MM])
    array, origins, positions = array[..., keep], origins[keep], positions[keep]
    step = float(np.median(np.diff(positions)))
    wanted = np.arange(positions[0], positions[-1] + 1e-6 * step, step)
    above = np.clip(np.searchsorted(positions, wanted), 1, len(positions) - 1)
    weight = (wanted - positions[above - 1]) / (positions[above] - positions[above - 1])
    mixed = array[..., above - 1] * (1 - weight) + array[..., above] * weight
    return mixed.astype(np.float32), origins[above - 1] + weight[:, None] * (origins[above] - origins[above - 1])
