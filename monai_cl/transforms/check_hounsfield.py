"""Refuse what is not a CT before a network sees it: MONAI's readers and windows accept anything."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from monai_cl.errors import UserError
from monai_cl.transforms.hounsfield import hounsfield_fault


class CheckHounsfieldd(MapTransform):
    """Pass images in HU on as they are; place it after `LoadImaged`.

    Args:
        keys: of the images, before any windowing.
        allow_missing_keys: skip absent keys.
    """

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        """The item, unchanged.

        Raises:
            UserError: voxels that are NaN or infinite, one value everywhere, a scaled image, one without fat or with
                too many voxels as dense as metal, only air; names the file.
        """
        item = dict(data)
        for key in self.key_iterator(item):
            fault = hounsfield_fault(np.asarray(item[key]))
            if fault is not None:
                _, expected, found, remedy = fault
                file = getattr(item[key], "meta", {}).get("filename_or_obj", key)
                raise UserError(file, expected=expected, found=found, remedy=remedy)
        return item
