"""Whether an array can be a CT in Hounsfield units; NumPy alone, for the processes that prepare volumes."""

from __future__ import annotations

import numpy as np

from monai_cl.errors import UserError

# fractions within so narrow a range are not HU: rounding to int16 would leave almost nothing
_SCALED_RANGE = 2.0
PERCENTILES = (1, 99)
"""Of the voxels of a scan that is not CT: what becomes black and white."""
# air and lung are below it, tissue above
TISSUE_HU = -500
# every CT of a body has fat, about -100 HU; a resampled MR has small values below 0
_FAT_HU = -60
_ELSE = '; what is not CT is scaled by itself where the data list says its "modality"'
# only metal is above it: one voxel in a thousand, not in twenty
_BONE_HU, _METAL = 4095, 0.05


def hounsfield_fault(array: np.ndarray) -> tuple[str, str, str, str] | None:
    """Why an image is not a CT to learn from or to segment.

    Args:
        array: voxels in HU, as the file has them.

    Returns:
        a short fixed word for programs, what was expected, what was found, what to do; None if nothing is wrong.
    """
    if array.dtype.kind == "f" and (fault := not_finite(array)):
        return fault
    low, high = float(array.min()), float(array.max())
    shown = f"{low:g} to {high:g}"
    if low == high:
        return "constant image", "a CT", f"the value {low:g} in every voxel", "export it again"
    if array.dtype.kind == "f" and high - low <= _SCALED_RANGE and (array != np.rint(array)).any():
        return (
            "not in HU",
            "Hounsfield units",
            f"values from {shown}",
            "give the original scan, not one scaled to the window already",
        )
    if low > _FAT_HU:
        return (
            "not in HU",
            "Hounsfield units, where fat is -100 and air -1000",
            f"no value of {_FAT_HU} or below ({shown})",
            f"give a CT with its rescale intercept applied, not an MR or an 8-bit picture{_ELSE}",
        )
    if high > _BONE_HU and (share := np.count_nonzero(array > _BONE_HU) / array.size) > _METAL:
        return (
            "not in HU",
            f"Hounsfield units, above {_BONE_HU} in metal only",
            f"{share:.0%} of the voxels above it ({shown})",
            f"give a CT with its rescale slope and intercept applied, not an MR{_ELSE}",
        )
    if high <= TISSUE_HU:
        return (
            "no tissue",
            f"tissue, of more than {TISSUE_HU} HU",
            f"only air ({shown} HU)",
            "give the scan itself, or correct its rescale slope and intercept",
        )
    return None


def refuse(fault: tuple[str, str, str, str] | None, where: object) -> None:
    """Raise the error that a fault is, in the form of `hounsfield_fault`; None is none. ``where``: the file."""
    if fault is not None:
        _, expected, found, remedy = fault
        raise UserError(where, expected=expected, found=found, remedy=remedy)


def flat_fault(array: np.ndarray) -> tuple[str, str, str, str] | None:
    """Why a scan of another modality than CT shows nothing, in the form of `hounsfield_fault`; None if it does.

    Args:
        array: finite voxels in any unit.
    """
    low, high = np.percentile(array, PERCENTILES)
    if high > low:
        return None
    return "constant image", "an image", f"the value {low:g} in nearly all voxels", "correct the file"


def not_finite(array: np.ndarray) -> tuple[str, str, str, str] | None:
    """Voxels that are no numbers, in the form of `hounsfield_fault`; None where there are none.

    Args:
        array: voxels of any modality.
    """
    bad = ~np.isfinite(array)
    count = int(np.count_nonzero(bad))
    if not count:
        return None
    nan = int(np.count_nonzero(np.isnan(array)))
    first = tuple(int(index) for index in np.unravel_index(int(bad.argmax()), array.shape))
    voxels = f"{nan} voxel{'' if nan == 1 else 's'} NaN and {count - nan} infinite, the first at index {first}"
    return (
        "not a number",
        "finite HU in every voxel",
        voxels,
        "export it again; where they lie outside the body, replace them by air (-1024)",
    )
