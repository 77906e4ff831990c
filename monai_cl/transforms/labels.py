"""The values of a label file that count, under the ids of the data list."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from monai_cl.transforms.label_table import look_up


def select_labels(labels: np.ndarray | torch.Tensor, label_map: Mapping[int, int] | None) -> np.ndarray | torch.Tensor:
    """Replace every file value by its id; a value that ``label_map`` does not name becomes 0.

    Args:
        labels: integers of any shape (floats with integer values are accepted).
        label_map: file value -> id; None leaves the labels as they are.

    Returns:
        the same kind, shape and, where the ids fit, dtype; int64 otherwise. Metadata of a MetaTensor stays.
    """
    if label_map is None:
        return labels
    if not isinstance(labels, torch.Tensor):
        return look_up(np.asarray(labels), label_map)
    result = torch.as_tensor(look_up(labels.detach().cpu().numpy(), label_map), device=labels.device)
    if isinstance(labels, MetaTensor):
        return MetaTensor(result, meta=labels.meta, applied_operations=labels.applied_operations)
    return result


class SelectLabelsd(MapTransform):
    """:func:`select_labels` in a MONAI pipeline.

    Args:
        keys: label keys.
        label_map: file value -> id; None takes the item's own ``item["label_map"]``, and changes nothing without one.
        allow_missing_keys: skip absent keys.
    """

    def __init__(
        self, keys: KeysCollection, label_map: Mapping[int, int] | None = None, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.label_map = label_map

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with its labels selected."""
        item = dict(data)
        label_map = self.label_map if self.label_map is not None else item.get("label_map")
        for key in self.key_iterator(item):
            item[key] = select_labels(item[key], label_map)
        return item
