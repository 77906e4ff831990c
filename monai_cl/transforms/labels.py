"""The values of a label file that count, under the ids of the data list."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

# ids of label files are small; beyond this span a search replaces the table
_TABLE = 1 << 16


def select_labels(labels: np.ndarray | torch.Tensor, label_map: Mapping[int, int] | None) -> np.ndarray | torch.Tensor:
    """Replace every file value by its id; a value that ``label_map`` does not name becomes 0.

    Args:
        labels: integers of any shape (floats with whole values are accepted).
        label_map: file value -> id; None leaves the labels as they are.

    Returns:
        the same kind, shape and, where the ids fit, dtype; int64 otherwise. Metadata of a MetaTensor stays.
    """
    if label_map is None:
        return labels
    pairs = {int(value): int(new) for value, new in label_map.items()}
    is_tensor = isinstance(labels, torch.Tensor)
    values = labels.detach().cpu().numpy() if is_tensor else np.asarray(labels)
    selected = _look_up(values, pairs).astype(_dtype_for(values.dtype, pairs.values()), copy=False)
    if not is_tensor:
        return selected
    result = torch.as_tensor(selected, device=labels.device)
    if isinstance(labels, MetaTensor):
        return MetaTensor(result, meta=labels.meta, applied_operations=labels.applied_operations)
    return result


def _look_up(values: np.ndarray, pairs: Mapping[int, int]) -> np.ndarray:
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


class SelectLabelsd(MapTransform):
    """:func:`select_labels` in a MONAI pipeline.

    Args:
        keys: label keys.
        label_map: file value -> id; None takes the item's own ``item["label_map"]``, and changes nothing without one.
        allow_missing_keys: pass over absent keys.
    """

    def __init__(
        self, keys: KeysCollection, label_map: Mapping[int, int] | None = None, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.label_map = label_map

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        """The item with its labels selected."""
        item = dict(data)
        label_map = self.label_map if self.label_map is not None else item.get("label_map")
        for key in self.key_iterator(item):
            item[key] = select_labels(item[key], label_map)
        return item
