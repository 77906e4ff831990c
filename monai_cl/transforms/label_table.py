"""Values to ids by a table, for arrays; free of torch and MONAI, which the preparing processes then need not import."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

IGNORED = -100
"""Id of voxels that were not annotated: they take no part in losses, sampling and Dice (PyTorch's ignore_index)."""

# ids of label files are small; beyond this span a search replaces the table
_TABLE = 1 << 16


def look_up(values: np.ndarray, label_map: Mapping[int, int]) -> np.ndarray:
    """Replace every value by ``label_map[value]``, or 0.

    Args:
        values: integers of any shape, in any integer or float dtype.
        label_map: value -> id.

    Returns:
        the same shape; the same dtype where it is a float or the ids fit, int64 otherwise.
    """
    pairs = {int(value): int(new) for value, new in label_map.items()}
    return _ids(values, pairs).astype(_dtype_for(values.dtype, pairs.values()), copy=False)


def _ids(values: np.ndarray, pairs: Mapping[int, int]) -> np.ndarray:
    named = np.array(sorted(pairs), dtype=np.int64)
    if not values.size or not named.size:
        return np.zeros(values.shape, np.int64)
    if values.dtype.kind in "iu" and named[-1] - named[0] < _TABLE:
        # a table with a zero before and after the named values; anything outside falls on one of them
        table = np.zeros(named[-1] - named[0] + 3, np.int64)
        table[named - named[0] + 1] = [pairs[int(value)] for value in named]
        return table[np.clip(values.astype(np.int64), named[0] - 1, named[-1] + 1) - (named[0] - 1)]
    at = np.minimum(np.searchsorted(named, values), len(named) - 1)
    return np.where(named[at] == values, np.array([pairs[int(value)] for value in named])[at], 0)


def _dtype_for(dtype: np.dtype, ids: Iterable[int]) -> np.dtype:
    if dtype.kind == "f":
        return dtype
    if dtype.kind in "iu" and all(np.iinfo(dtype).min <= new <= np.iinfo(dtype).max for new in ids):
        return dtype
    return np.dtype(np.int64)
