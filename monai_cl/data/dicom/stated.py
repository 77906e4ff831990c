"""What the header of a slice states of geometry and HU, read as text: GDCM and ITK fill what is absent with defaults.

Without PixelSpacing they take 1 mm, without ImageOrientationPatient axial slices, without ImagePositionPatient 0,
without a slice distance 1 mm, without RescaleSlope and RescaleIntercept stored values as they are.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from monai_cl.errors import UserError

logger = logging.getLogger(__name__)
TAGS = {
    "ImagePositionPatient": "0020|0032",
    "ImageOrientationPatient": "0020|0037",
    "PixelSpacing": "0028|0030",
    "ImagerPixelSpacing": "0018|1164",
    "SliceThickness": "0018|0050",
    "SpacingBetweenSlices": "0018|0088",
    "RescaleIntercept": "0028|1052",
    "RescaleSlope": "0028|1053",
    "RescaleType": "0028|1054",
    "NumberOfFrames": "0028|0008",
    "PhotometricInterpretation": "0028|0004",
    "PatientID": "0010|0020",
    "StudyInstanceUID": "0020|000d",
    "FrameOfReferenceUID": "0020|0052",
}
# CT, enhanced CT, enhanced CT converted from slices
_CT_CLASSES = tuple(f"1.2.840.10008.5.1.4.1.1.2{tail}" for tail in ("", ".1", ".2"))
# one value of each holds for a whole series
_OF_A_SERIES = ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID")
# unspecified is written too where HU are meant
_HU_TYPES = ("", "HU", "US", "HU_MOD")
_ORTHONORMAL = 1e-3


def position(file: Path, stated: Mapping[str, str]) -> np.ndarray:
    """(3,), LPS mm, of the first voxel."""
    return np.array(_numbers(file, "ImagePositionPatient", stated.get("ImagePositionPatient"), 3))


def direction(file: Path, stated: Mapping[str, str]) -> np.ndarray:
    """(3, 3), columns are the image axes and their normal in LPS."""
    values = _numbers(file, "ImageOrientationPatient", stated.get("ImageOrientationPatient"), 6)
    return axes(file, values)


def axes(file: Path, values: list[float]) -> np.ndarray:
    """The six numbers of ImageOrientationPatient as (3, 3); raises UserError unless they are two axes of length 1."""
    pair = np.array(values, dtype=float).reshape(2, 3)
    if not np.allclose(pair @ pair.T, np.eye(2), atol=_ORTHONORMAL):
        raise UserError(
            file,
            expected="two perpendicular axes of length 1 as ImageOrientationPatient",
            found=list(values),
            remedy="export the series again",
        )
    return np.stack([pair[0], pair[1], np.cross(pair[0], pair[1])], axis=1)


def pixel_spacing(file: Path, stated: Mapping[str, str]) -> tuple[float, float]:
    """mm along the columns' and the rows' axis; the header has them the other way round."""
    return pixel_edges(file, _numbers(file, "PixelSpacing", stated.get("PixelSpacing"), 2))


def pixel_edges(file: Path, values: list[float]) -> tuple[float, float]:
    """The two numbers of PixelSpacing, turned round; raises UserError unless they are lengths."""
    between_rows, between_columns = map(float, values)
    if not min(between_rows, between_columns) > 0:
        raise UserError(
            file, expected="two lengths > 0 mm as PixelSpacing", found=values, remedy="export the series again"
        )
    return between_columns, between_rows


def slice_depth(file: Path, stated: Mapping[str, str]) -> float:
    """mm, of a single slice, whose depth no other slice shows; says once which attribute it was taken from."""
    for name in ("SliceThickness", "SpacingBetweenSlices"):
        if stated.get(name):
            (depth,) = _numbers(file, name, stated[name], 1)
            if depth > 0:
                _say_depth(file, name, depth)
                return depth
    raise UserError(
        file,
        expected="a SliceThickness > 0 mm of a single slice",
        found="none",
        remedy="export the series again with all of its slices",
    )


def is_ct(modality: str, sop_class: str) -> bool:
    """Whether values are to become HU: by the modality or the kind of object, of which one may be wrong or absent."""
    return modality == "CT" or sop_class in _CT_CLASSES or not (modality or sop_class)


def check_not_inverted(file: Path, stated: Mapping[str, str]) -> None:
    """Raise UserError for an image whose low values are bright, which GDCM turns upside down before it rescales."""
    if (found := stated.get("PhotometricInterpretation")) == "MONOCHROME1":
        raise UserError(
            file,
            expected="MONOCHROME2 as PhotometricInterpretation",
            found=f"{found}, with which values would be read inverted",
            remedy="export the series again as MONOCHROME2",
        )


def check_one_subject(path: Path, files: Sequence[Path], stated: Sequence[Mapping[str, str]]) -> None:
    """Raise UserError where slices say different patients, studies or frames of reference; those that say none pass."""
    for name in _OF_A_SERIES:
        first: dict[str, Path] = {}
        for file, header in zip(files, stated, strict=True):
            if header.get(name):
                first.setdefault(header[name], file)
        if len(first) > 1:
            raise UserError(
                path,
                expected=f"slices of one {name}",
                found=f"{len(first)} in it ({' and '.join([file.name for file in first.values()][:2])} differ)",
                remedy="give the slices of each a folder of their own",
            )


def check_hounsfield(file: Path, stated: Mapping[str, str]) -> None:
    """Raise UserError where nothing says how the stored values of a CT slice become HU, or that they become others."""
    for name in ("RescaleIntercept", "RescaleSlope"):
        _numbers(file, name, stated.get(name), 1)
    if stated.get("RescaleType", "") not in _HU_TYPES:
        raise UserError(
            file,
            expected="CT in HU",
            found=f"RescaleType {stated['RescaleType']}",
            remedy="export the series that is in HU",
        )


@lru_cache(maxsize=4096)
def _say_depth(file: Path, name: str, depth: float) -> None:
    logger.warning("%s: a single slice; its depth is taken from %s, %g mm", file, name, depth)


def _numbers(file: Path, name: str, text: str | None, count: int) -> list[float]:
    try:
        values = [float(part) for part in (text or "").split("\\")] if text else []
    except ValueError:
        values = []
    if len(values) != count or not np.isfinite(values).all():
        found = f"{text[:60]!r}" if text else "none"
        expected = "a number" if count == 1 else f"{count} numbers"
        raise UserError(file, expected=f"{expected} as {name}", found=found, remedy="export the series again")
    return values
