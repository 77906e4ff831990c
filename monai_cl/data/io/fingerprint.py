"""Whether two files hold the same scan, whatever their format, compression, axis order, voxel type and name."""

# A scan of 512 x 512 x 300 voxels takes 0.2 s where nothing else runs and 1 s on a busy machine (2 cores); preparing it
# took 9 s. Measured with random int16 voxels stored as LPS: python -m timeit -n 3 -s "..." "scan_fingerprint(volume)".

from __future__ import annotations

import hashlib
import re

import numpy as np

from monai_cl.data.io.reading import Volume, to_ras

# CT reaches far beyond it
_FRACTIONS = 100.0
_FORM = re.compile(r"\d+x\d+x\d+:[0-9a-f]{32}")


def scan_fingerprint(volume: Volume) -> str:
    """The scan's shape in RAS order and a hash of its voxels in that order, such as ``512x512x90:4c1d…``.

    Values are rounded as the store keeps them (:func:`rounded`); of an image of fractions, such as an MR scaled to
    [0, 1], the largest value becomes 32767 first. Spacing and origin do not count: a copy with a corrected or lost
    header is the same scan, and two scans do not have the same voxels by chance.

    Args:
        volume: the scan as it was read, not resampled.

    Returns:
        the RAS shape, a colon and the first 32 hexadecimal digits of a SHA-256.
    """
    array = to_ras(volume).array
    scale = _scale(array)
    digest = hashlib.sha256()
    # slice by slice, left to right innermost: in most files the voxels lie so, and nothing is copied
    for number in range(array.shape[2]):
        voxels = array[:, :, number] if scale == 1 else array[:, :, number].astype(np.float64) * scale
        digest.update(np.ascontiguousarray(rounded(voxels).T, dtype="<i2").data)
    return f"{'x'.join(map(str, array.shape))}:{digest.hexdigest()[:32]}"


def _scale(array: np.ndarray) -> float:
    """What fractions are multiplied with, so that rounding leaves something of them; 1 for everything else."""
    if array.dtype.kind != "f":
        return 1.0
    high = np.float64(np.nanmax(np.abs(array), initial=0))
    if not 0 < high <= _FRACTIONS or not (array != np.rint(array)).any():
        return 1.0
    return float(np.iinfo(np.int16).max / high)


def is_fingerprint(text: object) -> bool:
    """Whether this has the form of a :func:`scan_fingerprint`."""
    return isinstance(text, str) and _FORM.fullmatch(text) is not None


def rounded(array: np.ndarray) -> np.ndarray:
    """Voxels as integers, clipped to int16 (-32768..32767); NaN becomes 0. An int16 array is returned as it is."""
    if array.dtype == np.int16:
        return array
    limits = np.iinfo(np.int16)
    if array.dtype.kind == "f":
        array = np.nan_to_num(np.rint(array), posinf=limits.max, neginf=limits.min)
    return np.clip(array, limits.min, limits.max).astype(np.int16)
