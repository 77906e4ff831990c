"""Whether the slices of a stack lie evenly on one line: what is not is refused with its name, or interpolated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from monai_cl.errors import UserError

# a gap may differ from the usual one by this much: scanners round positions to 0.1 mm
_GAP_TOLERANCE_MM = 0.11
# small differences may add up to this part of a step
_DRIFT = 0.1
_DUPLICATE_MM = 1e-3


def are_even(path: Path, names: Sequence[str], positions: np.ndarray, *, uneven_slices: str) -> bool:
    """Whether slices lie evenly; raises where they do not and may not be interpolated, or all lie at one place.

    Args:
        path: of the series.
        names: of its slices.
        positions: (n,) mm along the normal, ascending.
        uneven_slices: ``"interpolate"``, ``"error"``, or ``"refuse"`` where interpolation does not help.
    """
    if (np.diff(positions) <= _DUPLICATE_MM).all():
        raise UserError(
            path,
            expected="evenly spaced slices",
            found=f"all {len(names)} at the same position {positions[0]:.3f} mm",
            remedy="export the series again",
        )
    faults = _spacing_faults(names, positions)
    if faults and uneven_slices != "interpolate":
        remedy = "export the series again"
        if uneven_slices == "error":
            remedy += ', or set uneven_slices to "interpolate"'
            remedy += ", which drops those of the same voxels" if (np.diff(positions) <= _DUPLICATE_MM).any() else ""
        raise UserError(path, expected="evenly spaced slices", found="; ".join(faults), remedy=remedy)
    return not faults


def check_line(path: Path, names: Sequence[str], origins: np.ndarray, positions: np.ndarray, *, pixel: float) -> None:
    """Raise UserError where the origins of the slices do not lie on one line, however far apart they are along it.

    A tilted gantry moves every slice against the one before it by the same part of their distance; everything else
    across the normal is a jump.

    Args:
        path: of the series.
        names: of its slices.
        origins: (n, 3) mm.
        positions: (n,) mm along the normal, ascending.
        pixel: the smaller edge of a pixel, mm.
    """
    length = positions[-1] - positions[0]
    part = (positions - positions[0]) / length if length > _DUPLICATE_MM else np.zeros_like(positions)
    off = np.linalg.norm(origins - origins[0] - part[:, None] * (origins[-1] - origins[0]), axis=1)
    tolerance = min(_GAP_TOLERANCE_MM, 0.35 * pixel)
    if off.max() <= tolerance:
        return
    steps, gaps = np.diff(origins, axis=0), np.diff(positions)
    usual = np.median(steps[gaps > _DUPLICATE_MM] / gaps[gaps > _DUPLICATE_MM, None], axis=0) if length else np.zeros(3)
    jumps = np.linalg.norm(steps - gaps[:, None] * usual, axis=1)
    after = int(jumps.argmax())
    found = f"{names[after + 1]} moved by {jumps[after]:.3f} mm sideways against {names[after]}"
    if jumps[after] <= tolerance:
        found = f"{names[int(off.argmax())]} {off.max():.3f} mm beside it"
    remedy = "export the series again"
    if not path.is_file():
        remedy += ", or give the slices on either side of the jump a folder of their own"
    raise UserError(path, expected="slices along one line", found=found, remedy=remedy)


def check_repeated(path: Path, names: Sequence[str], array: np.ndarray, positions: np.ndarray) -> None:
    """Raise UserError where slices (X, Y, Z) at one position differ: one of them may not be dropped unasked."""
    for index in np.flatnonzero(np.diff(positions) <= _DUPLICATE_MM).tolist():
        if not np.array_equal(array[..., index], array[..., index + 1]):
            raise UserError(
                path,
                expected=f"one slice at {positions[index]:.3f} mm",
                found=(
                    f"{names[index]} and {names[index + 1]} with other voxels, which nothing in their headers tells "
                    "apart"
                ),
                remedy="take those of one acquisition out of the folder",
            )


def _spacing_faults(names: Sequence[str], positions: np.ndarray) -> list[str]:
    gaps = np.diff(positions)
    usual = float(np.median(gaps[gaps > _DUPLICATE_MM]))
    tolerance = min(_GAP_TOLERANCE_MM, 0.35 * usual)
    faults = []
    for index in np.flatnonzero((gaps <= _DUPLICATE_MM) | (np.abs(gaps - usual) > tolerance)).tolist():
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
    drift = np.abs(positions - np.linspace(positions[0], positions[-1], len(positions)))
    if not faults and drift.max() > max(_GAP_TOLERANCE_MM, _DRIFT * usual):
        at = int(drift.argmax())
        faults.append(f"{names[at]} {drift[at]:.3f} mm from where equal steps would put it (uneven)")
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
    even_positions = np.arange(positions[0], positions[-1] + 1e-6 * step, step)
    above = np.clip(np.searchsorted(positions, even_positions), 1, len(positions) - 1)
    weight = (even_positions - positions[above - 1]) / (positions[above] - positions[above - 1])
    mixed = array[..., above - 1] * (1 - weight) + array[..., above] * weight
    return mixed.astype(np.float32), origins[above - 1] + weight[:, None] * (origins[above] - origins[above - 1])
