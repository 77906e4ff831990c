"""The intensities of scans by modality: CT in Hounsfield units, every other scan on a scale of its own."""

from __future__ import annotations

import numpy as np

from monai_cl.errors import UserError
from monai_cl.transforms.hounsfield import PERCENTILES, flat_fault, refuse

SCALES = ("percentiles", "zscore")
SCALE = (0.0, 1000.0)
"""What a scan that is not CT is scaled to, and clipped; stored as int16, and 0 to 1 as input of a network."""
_SDS = 4.0  # standard deviations from the middle of `SCALE` to its ends
_BODY = 0.1  # of the way from the one percentile to the other: brighter is no air


def scale_range(array: np.ndarray, intensity: str, *, where: object) -> tuple[float, float]:
    """The intensities of a scan that become the ends of `SCALE`.

    Args:
        array: (X, Y, Z) numbers.
        intensity: ``"percentiles"``: the 1st and the 99th of all voxels. ``"zscore"``: mean ± 4 standard deviations of
            the body, that is of what is brighter than a tenth of the way between these percentiles.
        where: the file, for messages.

    Raises:
        UserError: voxels that are not finite, or no difference between the percentiles.
    """
    if not np.isfinite(array).all():
        raise UserError(where, expected="finite voxels", found="NaN or infinity", remedy="correct the file")
    low, high = np.percentile(array, PERCENTILES)
    if not high > low:
        refuse(flat_fault(array), where)
    if intensity == "percentiles":
        return low, high
    body = array[array > _threshold(low, high)].astype(np.float64)
    reach = _SDS * (body.std() or 1.0)
    return float(body.mean() - reach), float(body.mean() + reach)


def scaled(array: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """A scan on `SCALE`, float32.

    Args:
        array: (X, Y, Z) float32.
        limits: of `scale_range`.
    """
    low, high = limits
    return np.clip((array - low) / (high - low), 0, 1) * np.float32(SCALE[1])


def body_threshold(array: np.ndarray) -> float:
    """What is air in a scan that is not CT, and what is above it body.

    Args:
        array: (X, Y, Z), in the scan's units or on any linear scale of them.
    """
    return _threshold(*np.percentile(array, PERCENTILES))


def _threshold(low: float, high: float) -> float:
    return float(low + _BODY * (high - low))
