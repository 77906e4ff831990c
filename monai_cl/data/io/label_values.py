"""Which values a label map holds, and how often."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from monai_cl.errors import UserError

UNDECLARED = (
    'declare them under "labels", or say under "label_map" what each value of the file is (those it leaves out become '
    "background)"
)
_COUNTABLE = 1 << 20  # a wider range of values than this is sorted instead of counted


def whole_values(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A floating-point label map rounded, and a mask of the voxels that are not integers.

    Files that were scaled or compressed come back a little off: within 1e-3 counts as an integer. NaN and inf do not.
    """
    rounded = np.rint(array)
    with np.errstate(invalid="ignore"):
        return rounded, ~(np.abs(array - rounded) < 1e-3)


def label_values(array: np.ndarray) -> dict[int, int]:
    """Value -> number of voxels, in ascending order.

    Args:
        array: label map of any shape; floating-point files are accepted as long as they hold integers.

    Raises:
        ValueError: values that are not integers, NaN included; says how many and shows some.
    """
    if array.dtype.kind == "b":
        array = array.astype(np.uint8)
    if array.dtype.kind == "f":
        rounded, odd = whole_values(array)
        if odd.any():
            some = ", ".join(f"{value:g}" for value in np.unique(array[odd])[:4])
            raise ValueError(f"{voxels(int(np.count_nonzero(odd)))} with a value that is not an integer ({some})")
        array = rounded.astype(np.int64)
    if array.size == 0:
        return {}
    low, high = int(array.min()), int(array.max())
    if high - low >= _COUNTABLE:
        values, counts = np.unique(array, return_counts=True)
        return dict(zip(values.tolist(), counts.tolist()))
    counts = np.bincount((array.ravel("K") - np.array(low, dtype=np.int64)).astype(np.int32, copy=False))
    return {low + int(index): int(counts[index]) for index in np.flatnonzero(counts)}


def voxels(count: int) -> str:
    """``"1 voxel"``, ``"2 voxels"``."""
    return f"{count} voxel{'' if count == 1 else 's'}"


def present_labels(
    values: Iterable[int], label_map: Mapping[int, int] | None, ignore: int | None = None
) -> frozenset[int]:
    """The foreground label ids behind the ``values`` of a file (unnamed values are background where there is a map).

    Args:
        values: those that the file holds.
        label_map: file value -> id; None: values are ids.
        ignore: file value of voxels that were not annotated, which are no label.
    """
    values = set(values) - {ignore}
    ids = values if label_map is None else {label_map.get(value, 0) for value in values}
    return frozenset(ids) - {0}


def check_label_ids(item: Mapping[str, Any], values: Iterable[int]) -> None:
    """Refuse labels that the data list does not declare: a network has no channel for them.

    Args:
        item: of a data list; one without ``label_ids`` may hold anything.
        values: the foreground of its label, in ids of the list.

    Raises:
        UserError: names the file and the values.
    """
    declared = item.get("label_ids")
    if declared is None:
        return
    unknown = sorted(value for value in values if value > 0 and value not in declared)
    if unknown:
        raise UserError(
            item["label"],
            expected=f"values among the declared ids {', '.join(map(str, declared))}",
            found=f"{', '.join(map(str, unknown[:8]))}{' and more' if len(unknown) > 8 else ''}",
            remedy=UNDECLARED,
        )
