"""Refuse what is not a CT before a network sees it: MONAI's readers and windows accept anything."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import torch
from monai.transforms import MapTransform

from monai_cl.transforms.hounsfield import hounsfield_fault, refuse


class CheckHounsfieldd(MapTransform):
    """Pass images in HU on as they are; place it after `LoadImaged`, before any windowing. ``keys`` are the images'."""

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        """The item, unchanged.

        Raises:
            UserError: voxels that are NaN or infinite, one value everywhere, a scaled image, one without fat or with
                too many voxels as dense as metal, only air; names the file.
        """
        item = dict(data)
        for key in self.key_iterator(item):
            file = getattr(item[key], "meta", {}).get("filename_or_obj", key)
            refuse(hounsfield_fault(np.asarray(item[key])), file)
        return item
