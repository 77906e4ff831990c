"""One item of a data list to the arrays the store keeps: RAS, resampled, int16 HU, labels in the list's own ids."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from monai_cl.data.datalist.items import reading_options
from monai_cl.data.io.label_values import whole_values
from monai_cl.data.io.reading import Volume, read_volume, to_ras
from monai_cl.data.store.resampling import resample
from monai_cl.errors import UserError
from monai_cl.transforms.hounsfield import hounsfield_fault
from monai_cl.transforms.label_table import look_up

LAYOUTS = ("volume", "slices")
# raise when a change of this code makes other voxels out of the same source
_REVISION = 1


@dataclass(frozen=True)
class Preparation:
    """How sources become stored volumes; its digest is part of every key, so another preparation is another entry.

    Args:
        spacing: mm for the RAS axes, or None to keep the volume's own.
        layout: ``"volume"`` for crops, ``"slices"`` for axial slices.
        antialias: average over the output voxel when going coarser (linear as the paper otherwise).
        uneven_slices: ``"error"`` or ``"interpolate"``, for DICOM series.
    """

    spacing: tuple[float, float, float] | None = (1.5, 1.5, 2.0)
    layout: str = "volume"
    antialias: bool = False
    uneven_slices: str = "error"

    def __post_init__(self) -> None:
        if self.spacing is not None:
            spacing = tuple(float(step) for step in self.spacing)
            if len(spacing) != 3 or not all(np.isfinite(step) and step > 0 for step in spacing):
                raise ValueError(f"spacing must be three lengths > 0 mm or None, got {self.spacing}")
            object.__setattr__(self, "spacing", spacing)
        if self.layout not in LAYOUTS:
            raise ValueError(f"layout must be one of {LAYOUTS}, got {self.layout!r}")
        if not isinstance(self.antialias, bool):
            raise ValueError(f"antialias must be True or False, got {self.antialias!r}")
        if self.uneven_slices not in ("error", "interpolate"):
            raise ValueError(f'uneven_slices must be "error" or "interpolate", got {self.uneven_slices!r}')

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that differ between preparations."""
        content = json.dumps([_REVISION, asdict(self)], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Converted:
    """Arrays (X, Y, Z) in RAS: ``image`` int16 HU, ``label`` uint8 or int16 or None, ``affine`` voxel -> mm."""

    image: np.ndarray
    label: np.ndarray | None
    affine: np.ndarray


def convert(item: Mapping[str, Any], preparation: Preparation) -> Converted:
    """Read and convert the image, and the label if the item has one.

    HU are rounded and clipped to int16 (−32768..32767), which no CT value exceeds but metal and padding of broken
    exports do; nothing else is clipped, the window is the patches' business. Label values are first mapped by
    ``item["label_map"]`` (file value -> id of the list, others 0), then resampled by nearest neighbour.

    Raises:
        UserError: as :func:`read_volume`; what is no CT in HU (see :func:`hounsfield_fault`); a label on another grid,
            with values that are not integers, are negative or do not fit int16.
    """
    options = {"uneven_slices": preparation.uneven_slices} | reading_options(item)
    image = to_ras(read_volume(item["image"], **options))
    _check_hounsfield(image)
    label = None
    if item.get("label"):
        label = to_ras(read_volume(item["label"], uneven_slices=options["uneven_slices"]))
        _check_same_grid(image, label)
        values, label_map = _integers(label), item.get("label_map")
        values = look_up(values, label_map) if label_map is not None else _not_negative(values, label)
        label = Volume(_narrow(values, label), image.affine, label.path)
    if preparation.spacing is not None:
        image = resample(image, preparation.spacing, antialias=preparation.antialias)
        label = resample(label, preparation.spacing, mode="nearest") if label is not None else None
    return Converted(
        image=np.ascontiguousarray(_hounsfield(image.array)),
        label=np.ascontiguousarray(label.array) if label is not None else None,
        affine=image.affine,
    )


def _hounsfield(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.int16:
        return array
    if array.dtype.kind == "f":
        array = np.rint(array)
    limits = np.iinfo(np.int16)
    return np.clip(array, limits.min, limits.max).astype(np.int16)


def _check_hounsfield(image: Volume) -> None:
    fault = hounsfield_fault(image.array)
    if fault is not None:
        _, expected, found, remedy = fault
        raise UserError(f"{image.path}: expected {expected}, found {found}; {remedy}")


def _check_same_grid(image: Volume, label: Volume) -> None:
    if image.grid.same_as(label.grid):
        return
    if image.array.shape != label.array.shape:
        raise UserError(
            f"{label.path}: expected the grid of {image.path}, shape {image.array.shape} (RAS), "
            f"found shape {label.array.shape}; resample the label to its image"
        )
    raise UserError(
        f"{label.path}: expected the grid of {image.path} to within {image.grid.tolerance:.3f} mm, found corners "
        f"{image.grid.corner_distance(label.grid):.3f} mm apart (other affine); resample the label to its image or "
        "correct its header"
    )


def _integers(label: Volume) -> np.ndarray:
    array = label.array
    if array.dtype.kind != "f":
        return array
    rounded, bad = whole_values(array)
    if bad.any():
        raise UserError(
            f"{label.path}: expected whole label values, found {float(array[bad][0]):g} and {int(bad.sum()) - 1} more; "
            "give the label map, not a probability or an interpolated one"
        )
    return rounded


def _not_negative(values: np.ndarray, label: Volume) -> np.ndarray:
    if values.size and values.min() < 0:
        raise UserError(
            f"{label.path}: expected label values of 0 and more, found {int(values.min())}; give the label map, "
            "not the image, or say under label_map what the values mean"
        )
    return values


def _narrow(values: np.ndarray, label: Volume) -> np.ndarray:
    low, high = int(values.min()), int(values.max())
    for dtype in (np.uint8, np.int16):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return values.astype(dtype)
    raise UserError(
        f"{label.path}: expected label values of at most 32767, found {high}; name the wanted ones in label_map"
    )
