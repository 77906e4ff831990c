"""One scan in numbers: its grid, its intensities, its labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from scipy.ndimage import find_objects

from monai_cl.data.datalist.items import holds_hounsfield, item_modality, reading_options
from monai_cl.data.datalist.statistics.quantities import HU
from monai_cl.data.grid import Grid
from monai_cl.data.io.formats import format_of
from monai_cl.data.io.label_reading import read_label
from monai_cl.data.io.modality import header_modality, modality_fault
from monai_cl.data.io.reading import Volume, read_volume, to_ras
from monai_cl.transforms.hounsfield import hounsfield_fault, not_finite, refuse
from monai_cl.transforms.scan_scale import body_threshold
from monai_cl.transforms.volume.body import BODY_HU, body_mask

PERCENTILES = (0, 0.5, 1, 5, 25, 50, 75, 95, 99, 99.5, 100)
_STEP_MM = 2.0  # the body is measured on every n-th voxel, as many as lie within this length


def measure_scan(item: Mapping[str, Any]) -> dict[str, Any]:
    """What a scan is; it and its label are the only volumes in memory.

    Args:
        item: of a data list, see `monai_cl.data.DataList.items`.

    Returns:
        ``id``, ``patient``, ``dataset``, ``image`` (path), ``modality``, ``phase`` (of contrast, "" where nothing
        states it); ``unit`` of intensities: ``"HU"``, or ``""`` for the scan's own; of the grid with its axes nearest
        to R, A, S: ``shape`` (voxels), ``spacing`` and ``extent`` (mm); ``orientation`` of the file, such as ``"LAS"``,
        ``oblique`` (degrees from an axis to the nearest of R, A, S); ``intensity``, ``body`` and ``foreground``
        (labelled voxels, None without any): percentile -> value; ``body_ml``; ``clipped``: share of all voxels with the
        lowest value and of the body's with the highest; ``labels``: name -> ``voxels``, ``ml``, ``mean`` and ``sd`` of
        intensity, ``cut`` (it touches the edge of the scan), None for an item without label; ``fault``: why a CT is not
        in HU, "" where it is.

    Raises:
        UserError: as `read_volume` and `read_label`; a DICOM header that states another modality; NaN or infinity.
    """
    options = reading_options(item)
    stored = read_volume(item["image"], **options)
    volume, ct = to_ras(stored), holds_hounsfield(item)
    if item.get("modality") or ct:
        refuse(modality_fault(item.get("modality"), header_modality(item["image"])), item["image"])
    refuse(not_finite(stored.array) if stored.array.dtype.kind == "f" else None, item["image"])
    fault = hounsfield_fault(stored.array) if ct else None
    shape, spacing = volume.array.shape, volume.spacing
    coarse = volume.array[tuple(slice(None, None, max(1, int(_STEP_MM // step))) for step in spacing)]
    lowest, highest = volume.array.min(), volume.array.max()
    # a CT that was clipped above what is air is one for its own percentiles
    body = coarse[body_mask(coarse, BODY_HU if ct and lowest < BODY_HU else body_threshold(coarse))]
    found = {
        "id": str(item["id"]),
        "patient": str(item["patient"]),
        "dataset": str(item["dataset"]),
        "image": str(item["image"]),
        "modality": item_modality(item),
        "unit": HU if ct and fault is None else "",
        "phase": contrast_phase(item),
        "shape": list(shape),
        "spacing": [_short(step) for step in spacing],
        "extent": [_short(size * step) for size, step in zip(shape, spacing)],
        "orientation": "".join(nib.aff2axcodes(stored.affine)),
        "oblique": round(oblique_degrees(stored.grid), 2),
        "intensity": _percentiles(volume.array),
        "body": _percentiles(body),
        "body_ml": _short(body.size / coarse.size * volume.array.size * _voxel_ml(volume)),
        "clipped": {
            "low": round(float(np.count_nonzero(volume.array == lowest) / volume.array.size), 4),
            "high": round(float(np.count_nonzero(body == highest) / body.size), 4),
        },
        "fault": "" if fault is None else f"expected {fault[1]}, found {fault[2]}",
    }
    return found | _label_part(item, stored, volume, options)


def contrast_phase(item: Mapping[str, Any]) -> str:
    """The phase of contrast that the item's ``meta`` states under a key with "phase" in it, else its DICOM header.

    Args:
        item: of a data list.
    """
    stated = (str(value) for key, value in (item.get("meta") or {}).items() if "phase" in str(key).lower())
    if (named := next(stated, "")) or not format_of(Path(item["image"])).is_series:
        return named
    from monai_cl.data.dicom.slice_headers import series_contrast  # other formats do without SimpleITK

    return series_contrast(Path(item["image"]))


def oblique_degrees(grid: Grid) -> float:
    """The largest angle between an axis of a grid and the nearest of R, A and S.

    Args:
        grid: of a volume.
    """
    axes = grid.affine[:3, :3] / np.linalg.norm(grid.affine[:3, :3], axis=0)
    return float(np.degrees(np.arccos(np.clip(np.abs(axes).max(axis=0), 0, 1))).max())


def _label_part(item: Mapping[str, Any], stored: Volume, volume: Volume, options: Mapping[str, str]) -> dict[str, Any]:
    if not item.get("label"):
        return {"labels": None, "foreground": None}
    label = read_label(
        item["label"],
        image=item["image"],
        grid=stored.grid,
        label_map=item.get("label_map"),
        ignore=item.get("ignore"),
        **options,
    )
    ids = np.maximum(to_ras(label).array, 0)  # what was not annotated is below 0
    names = item.get("label_names") or {}
    labels = {}
    for value, place in enumerate(find_objects(ids), start=1):
        if place is None:
            continue
        inside = volume.array[place][ids[place] == value]
        labels[str(names.get(value, value))] = {
            "voxels": int(inside.size),
            "ml": _short(inside.size * _voxel_ml(volume)),
            "mean": _short(float(inside.mean(dtype=np.float64))),
            "sd": _short(float(inside.std(dtype=np.float64))),
            "cut": any(part.start == 0 or part.stop == size for part, size in zip(place, ids.shape)),
        }
    return {"labels": labels, "foreground": _percentiles(volume.array[ids > 0]) if labels else None}


def _percentiles(values: np.ndarray) -> dict[str, float]:
    found = np.percentile(values, PERCENTILES)
    return {f"{percent:g}": _short(float(value)) for percent, value in zip(PERCENTILES, found)}


def _short(value: float) -> float:
    """Six digits, however small it is: volumes and lengths are compared as logarithms."""
    return float(f"{value:.6g}")


def _voxel_ml(volume: Volume) -> float:
    return abs(float(np.linalg.det(volume.affine[:3, :3]))) / 1000
