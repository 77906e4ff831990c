"""The series that a DICOM SEG refers to: its headers, and which label voxel lies on which of its frames."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from monai_cl.data.dicom.frames import frames_of, read_header, readable
from monai_cl.data.dicom.series import series_files, series_grid
from monai_cl.errors import UserError

if TYPE_CHECKING:
    from pydicom import Dataset

# a corner of a label map may lie this many voxels from that of the series
_TOLERANCE = 0.1
# type 2 of the patient and study modules: anonymised series often lack what must be there, if empty
_MAY_BE_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName"),
)

_MUST_BE_THERE = {
    "SOP Class UID": "SOPClassUID",
    "SOP Instance UID": "SOPInstanceUID",
    "Study Instance UID": "StudyInstanceUID",
    "Series Instance UID": "SeriesInstanceUID",
    "Frame of Reference UID": "FrameOfReferenceUID",
}


@dataclass(frozen=True)
class SourceSeries:
    """A series without its pixels.

    Attributes:
        path: as it was given.
        headers: one a slice in the order of z, or the one of a multi-frame file.
        shape: (X, Y, Z), as :func:`read_dicom_series` gives it.
        affine: (4, 4), voxel → RAS mm.
        order: (Z,), the number, from 0, of the slice in ``headers`` or of the frame in the file at z.
    """

    path: Path
    headers: list[Dataset]
    shape: tuple[int, int, int]
    affine: np.ndarray
    order: np.ndarray

    @property
    def gap(self) -> float:
        """Distance of the slices along their normal, mm."""
        column, row, step = self.affine[:3, :3].T
        normal = np.cross(column, row)
        return float(abs(step @ normal) / np.linalg.norm(normal))

    def frames(self, labels: np.ndarray) -> np.ndarray:
        """Labels (X, Y, Z) as (frame, row, column) in the order of the headers or of the file's frames."""
        frames = np.empty((self.shape[2], self.shape[1], self.shape[0]), labels.dtype)
        frames[self.order] = labels.transpose(2, 1, 0)
        return frames

    def on_grid(self, labels: np.ndarray, affine: np.ndarray) -> np.ndarray:
        """Labels with flipped or permuted axes turned to those of the series; raises UserError on another grid."""
        import nibabel as nib

        turn = nib.orientations.ornt_transform(nib.io_orientation(affine), nib.io_orientation(self.affine))
        turned = nib.apply_orientation(labels, turn)
        if turned.shape != self.shape:
            raise UserError(f"{self.path}: expected labels of its shape {self.shape}, found {turned.shape}")
        lies = affine @ nib.orientations.inv_ornt_aff(turn, labels.shape)
        corners = np.array([(*corner, 1) for corner in np.ndindex(2, 2, 2)]) * (*self.shape, 1)
        apart = np.abs(np.linalg.solve(self.affine, (lies - self.affine) @ corners.T)[:3]).max()
        if not apart <= _TOLERANCE:
            raise UserError(f"{self.path}: expected labels on its grid, found them up to {apart:.1f} voxels away")
        return turned


def open_source(path: str | os.PathLike, *, series: str | None = None) -> SourceSeries:
    """Read the headers of a series.

    Args:
        path: folder of the series, or one DICOM file.
        series: Series Instance UID, where the folder holds several.

    Raises:
        UserError: highdicom is not installed, no DICOM, what :func:`read_dicom_series` refuses, or a series without
            UIDs or a frame of reference.
    """
    require_highdicom()
    path = Path(path)
    shape, affine = series_grid(path, series=series)
    headers = [_header(file) for file in series_files(path, series=series)]
    with readable(path):
        many = len(headers) == 1 and int(headers[0].get("NumberOfFrames") or 1) > 1
    order = frames_of(headers[0], path).order if many else np.arange(len(headers))
    return SourceSeries(path, headers, shape, affine, order)


def require_highdicom() -> Any:
    """The package; raises UserError with the command that installs it."""
    try:
        import highdicom
    except ImportError as error:
        raise UserError(
            'DICOM SEG: expected the package highdicom, found none; pip install "monai-cl[dicom]"'
        ) from error
    return highdicom


def _header(file: Path) -> Dataset:
    """Everything but the pixels, with what the standard lets be empty filled in as empty."""
    found = read_header(file)
    with readable(file):
        for name, keyword in _MUST_BE_THERE.items():
            if not found.get(keyword):
                raise UserError(f"{file}: expected a {name}, found none; a segmentation could not refer to this series")
        if not found.get("SpecificCharacterSet", "there or absent"):
            del found.SpecificCharacterSet
        for name in _MAY_BE_EMPTY:
            if name not in found:
                setattr(found, name, "")
    return found
