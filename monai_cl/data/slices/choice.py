"""Which axial slices of a volume are used, and where along the body each of them lies."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from monai_cl.errors import UserError
from monai_cl.files import write_json

if TYPE_CHECKING:
    from monai_cl.data.store.volume_store import VolumeStore


def central_fraction(slices: Sequence[int] | np.ndarray, fraction: float = 0.7) -> np.ndarray:
    """The middle ``fraction`` of a series of slices, at least one; an odd remainder is dropped at the far end.

    Args:
        slices: (n,) indices in order, n >= 1; they need not be consecutive.
        fraction: part to keep, in (0, 1].

    Raises:
        ValueError: no slices, or a fraction out of range.
    """
    slices = np.asarray(slices)
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must be in (0, 1], got {fraction}")
    if slices.ndim != 1 or not len(slices):
        raise ValueError(f"slices must be a list of at least one index, got shape {slices.shape}")
    kept = max(1, round(fraction * len(slices)))
    first = (len(slices) - kept) // 2
    return slices[first : first + kept]


def slice_depths(affine: np.ndarray, count: int) -> np.ndarray:
    """Position of every slice's centre along the body axis: mm from the feet end of the volume over its extent.

    Slices have a thickness: of ``count`` slices, the lowest lies at 1/(2 count) and not at 0, so that the same level of
    the body has the same depth in a thick and in a thin reconstruction.

    Args:
        affine: (4, 4) voxel -> RAS mm; slices run along the third array axis, in either direction.
        count: number of slices.

    Returns:
        (count,) float64 in (0, 1), 0 at the feet and 1 at the head.

    Raises:
        ValueError: the third array axis does not run along the body.
    """
    step = float(np.asarray(affine)[2, 2])
    if step == 0 or count < 1:
        raise ValueError(f"expected slices along the body axis, got {count} slices {step} mm apart")
    depths = (np.arange(count) + 0.5) / count
    return depths if step > 0 else depths[::-1].copy()


def slices_with(store: VolumeStore, key: str, label: int) -> np.ndarray:
    """Indices of the slices that contain a label id, ascending; empty where the volume does not have it.

    The label is read once, slice by slice, and the answer is kept in the store's folder ``.slices`` for the next run.
    """
    entry = store.entry(key)
    if label not in entry.classes:
        return np.zeros(0, dtype=np.int64)
    coordinates = entry.coordinates(label)
    if entry.voxels.get(label) == len(coordinates):  # few voxels: the store kept all of them
        return np.unique(coordinates[:, 2]).astype(np.int64)
    note = Path(store.root) / ".slices" / f"{key}.{label}.json"
    with contextlib.suppress(OSError, ValueError, TypeError):
        return np.asarray(json.loads(note.read_text(encoding="utf-8")), dtype=np.int64)
    sure = np.zeros(entry.shape[2], dtype=bool)
    sure[coordinates[:, 2]] = True
    for index in np.flatnonzero(~sure):
        box = (slice(None), slice(None), slice(int(index), int(index) + 1))
        sure[index] = bool((store.read(key, box, kind="label") == label).any())
    slices = np.flatnonzero(sure)
    with contextlib.suppress(OSError):  # a read-only store still works
        write_json(note, slices.tolist())
    return slices


def shown_part(ranges: np.ndarray, window: Sequence[float]) -> slice:
    """The part of a series without the slices at its ends that show nothing, as above and below a head.

    Args:
        ranges: (n, 2) least and greatest value of every slice.
        window: (lower, upper); a slice that is one value over it shows nothing.

    Returns:
        From the first to the last that shows something; the whole series where none does.
    """
    ends = np.clip(ranges, window[0], window[1])
    shown = np.flatnonzero(ends[:, 0] < ends[:, 1])
    return slice(int(shown[0]), int(shown[-1]) + 1) if len(shown) else slice(None)


def choose_slices(store: VolumeStore, key: str, *, label: int | None = None, fraction: float = 0.7) -> np.ndarray:
    """The central part of the slices that contain ``label``, or of all slices where there is no mask.

    Args:
        store: of prepared volumes.
        key: of the volume.
        label: id of the liver in the volume's label; None, or a volume without label: the whole volume counts.
        fraction: part to keep.

    Returns:
        (n,) int64 array indices along the third axis, ascending, n >= 1.

    Raises:
        UserError: the volume has a mask, but nothing of ``label`` in it.
    """
    entry = store.entry(key)
    if label is None or not entry.has_label:
        return central_fraction(np.arange(entry.shape[2]), fraction)
    present = slices_with(store, key, label)
    if not len(present):
        path = entry.source.get("label", {}).get("path", entry.folder)
        raise UserError(
            f"patient {entry.patient}: {path}",
            expected=f"label {label} in the mask to choose slices by",
            found=list(entry.classes) or "an empty mask",
            remedy="correct the mask, or take the mask out of its item to use the middle of the volume",
        )
    return central_fraction(present, fraction)
