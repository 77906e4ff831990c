"""The box around a head as a transform of MONAI; the store does without MONAI and calls `head_box` itself."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Orientation

from monai_cl.transforms.volume.head_box import box_findings, head_box


class HeadBoxd(MapTransform):
    """Head CT of any orientation to the box around the head.

    Where the item has ``slice_findings``, of the slices of the file, they become (D,) numbers, see `box_findings`; with
    several images, by the last of them.

    Args:
        keys: of the images (1, X, Y, Z) in HU with their affine; each becomes (1, W, H, D), RAS.
        size: see `head_box`.
        find: see `head_box`.

    Raises:
        UserError: when called, see `head_box` and `box_findings`.
    """

    def __init__(self, keys: KeysCollection, *, size: Sequence[int] = (40, 224, 192), find: bool = True) -> None:
        super().__init__(keys)
        self.size, self.find = tuple(size), find
        self._to_ras = Orientation(axcodes="RAS", labels=None)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with its images cut and scaled."""
        item, findings = dict(data), data.get("slice_findings")
        for key in self.key_iterator(item):
            image: MetaTensor = item[key]
            where = image.meta.get("filename_or_obj", key)
            turned: MetaTensor = self._to_ras(image)  # type: ignore[assignment]
            array, affine = np.asarray(turned[0]), turned.affine.cpu().numpy().astype(np.float64)
            box, box_affine = head_box(array, affine, size=self.size, find=self.find, where=where)
            if "slice_findings" in data:
                item["slice_findings"] = torch.from_numpy(
                    box_findings(
                        findings,
                        affine=image.affine.cpu().numpy().astype(np.float64),
                        shape=image.shape[1:],
                        box_affine=box_affine,
                        depth=self.size[0],
                        where=where,
                    )
                )
            item[key] = MetaTensor(
                torch.from_numpy(np.ascontiguousarray(box))[None],
                affine=torch.from_numpy(box_affine),
                meta={"filename_or_obj": where},
            )
        return item
