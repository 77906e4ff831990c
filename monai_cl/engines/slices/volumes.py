"""Whole scans through a network of slices: loaded for validation and inference, cut into slices, put together again."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.inferers import Inferer
from monai.transforms import (
    Compose,
    EnsureChannelFirstd,
    EnsureTyped,
    MapTransform,
    Orientationd,
    ScaleIntensityRanged,
    SelectItemsd,
    Transform,
)
from torch import Tensor

from monai_cl.data import LoadLabeld, LoadScand
from monai_cl.data.io.modality import HOUNSFIELD, header_modality, intensity_fault
from monai_cl.data.io.reading import read_grid
from monai_cl.data.slices.direction import require_axial
from monai_cl.data.slices.pixels import fit_slices, unfit_slices
from monai_cl.engines.slices.data import slice_window
from monai_cl.transforms import CheckHounsfieldd
from monai_cl.transforms.hounsfield import refuse
from monai_cl.transforms.scan_scale import scale_range, scaled


class SliceIntensityd(MapTransform):
    """Transform: whole scans on the scale of the store, see `Preparation`: a CT as it is, any other scan by itself.

    Args:
        keys: of the images, with metadata.
        intensity: ``hounsfield`` or ``percentiles``; the latter is rounded as the store rounds it.

    Raises:
        UserError: when called: an image that is no CT in HU, or not finite, or of one value; a DICOM header that states
            another modality; names the file.
    """

    def __init__(self, keys: KeysCollection, *, intensity: str) -> None:
        super().__init__(keys)
        self.intensity = intensity

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with its images checked or scaled."""
        item = dict(data)
        for key in self.keys:
            image = item[key]
            file = getattr(image, "meta", {}).get("filename_or_obj")
            where, header = file or key, header_modality(file) if file else ""
            refuse(intensity_fault(self.intensity, item.get("modality"), header), where)
            if self.intensity == HOUNSFIELD:
                CheckHounsfieldd([key])(item)
                continue
            array = np.asarray(image).astype(np.float32)
            found = np.rint(scaled(array, scale_range(array, self.intensity, where=where)))
            image[...] = torch.from_numpy(found)
        return item


def volume_preprocessing(*, intensity: str, window: Sequence[float] | None = None, label: bool = False) -> Compose:
    """Whole scans in RAS with the values that slices have in training; a label in the original image space.

    Args:
        intensity: ``hounsfield`` or ``percentiles``, see `Preparation`.
        window: (lower, upper) HU of CT; None: the one that belongs to ``intensity``.
        label: load the label too.
    """
    keys = ["image", "label"] if label else ["image"]
    low, high = slice_window(window if intensity == "hounsfield" else None, intensity)
    check = SliceIntensityd(keys=["image"], intensity=intensity)
    steps: list[Transform] = [LoadScand(keys=["image"]), check, EnsureChannelFirstd(keys=["image"])]
    if label:
        steps.append(LoadLabeld(keys=["label"]))
    steps += [
        Orientationd(keys=["image"], axcodes="RAS", labels=None),
        ScaleIntensityRanged(keys=["image"], a_min=low, a_max=high, b_min=0.0, b_max=1.0, clip=True),
        EnsureTyped(keys=keys),
    ]
    return Compose([*steps, SelectItemsd(keys=[*keys, "id", "patient"])] if label else steps)


def require_axial_scans(items: Sequence[Mapping[str, Any]]) -> None:
    """Refuse scans that `SliceWiseInferer` will not take before a training starts, by their headers.

    Args:
        items: of a data list. A DICOM series is left to the inferer, for its grid is in all of its files.

    Raises:
        UserError: a stack along another axis than the body's, or a file that cannot be read; names it.
    """
    for item in items:
        if (grid := read_grid(item["image"])) is not None:
            require_axial(grid.to_ras().affine, where=item["image"])


class SliceWiseInferer(Inferer):
    """A scan through a network of slices, slice by slice: the logits on the scan's own voxels.

    Args:
        size: pixels per side of a slice, see `CTSlices`.
        pixel_size: see `CTSlices`.
        batch_size: slices of one forward pass.
    """

    def __init__(self, *, size: int, pixel_size: float | None = None, batch_size: int = 16) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be >= 1, got {batch_size}")
        self.size, self.pixel_size, self.batch_size = int(size), pixel_size, int(batch_size)

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Logits (1, C, X, Y, Z) of one scan (1, 1, X, Y, Z) in RAS, in [0, 1]; 0 where its slices were cut.

        Raises:
            UserError: a stack along another axis than the body's; names the file.
        """
        affine = torch.as_tensor(cast(MetaTensor, inputs).affine).reshape(-1, 4, 4)[0]
        require_axial(affine.cpu().numpy(), where=_file(cast(MetaTensor, inputs)))
        across, down = torch.linalg.norm(affine[:3, :3].double(), dim=0)[[1, 0]].tolist()
        spacing = (across, down)
        # turned as in training: front up, the patient's right on the left
        images = torch.as_tensor(inputs)[0, 0].permute(2, 1, 0).flip(1, 2)
        fitted = fit_slices(images, spacing, size=self.size, pixel_size=self.pixel_size)[:, None]
        found = torch.cat(
            [
                unfit_slices(
                    network(part, *args, **kwargs).float(), images.shape[1:], spacing, pixel_size=self.pixel_size
                )
                for part in fitted.split(self.batch_size)
            ]
        )
        return found.flip(2, 3).permute(1, 3, 2, 0)[None].contiguous()


def _file(scan: MetaTensor) -> str:
    file = scan.meta.get("filename_or_obj", "the scan")
    return str(file[0] if isinstance(file, (list, tuple)) else file)  # of a batch: a list
