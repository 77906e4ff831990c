"""The series that a DICOM SEG refers to: its headers, and which label voxel lies on which of its frames."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from monai_cl.data.dicom.frames import readable
from monai_cl.data.dicom.kept_series import keep as keep_series
from monai_cl.data.dicom.series import open_series
from monai_cl.data.grid import Grid
from monai_cl.errors import UserError

if TYPE_CHECKING:
    from pydicom import Dataset

# a corner of a label map may lie this many voxels from that of the series
_TOLERANCE = 0.1
# type 2 of the patient and study modules: anonymised series often lack attributes that must be present, even if empty
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
_NEW_UIDS = "export or anonymise the series again with new UIDs, or keep the label map as NIfTI"


@dataclass(frozen=True)
class SourceSeries:
    """A series without its pixels.

    Attributes:
        path: as it was given.
        headers: one per slice in the order of z, or the one of a multi-frame file.
        grid: of the array that :func:`read_dicom_series` returns.
        order: (Z,), the number, from 0, of the slice in ``headers`` or of the frame in the file at z.
    """

    path: Path
    headers: list[Dataset]
    grid: Grid
    order: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """(X, Y, Z)."""
        return self.grid.shape

    @property
    def affine(self) -> np.ndarray:
        """(4, 4), voxel → RAS mm."""
        return self.grid.affine

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

        grid = Grid(labels.shape, affine)
        turn = grid.turn_to(self.grid)
        turned = nib.apply_orientation(labels, turn)
        if turned.shape != self.shape:
            raise UserError(self.path, expected=f"labels of its shape {self.shape}", found=turned.shape)
        apart = self.grid.drift(grid.turned(turn))
        if not apart <= _TOLERANCE:
            raise UserError(self.path, expected="labels on its grid", found=f"them up to {apart:.1f} voxels away")
        return turned


def open_source(
    path: str | os.PathLike, *, series: str | None = None, series_part: str | None = None, keep: bool = False
) -> SourceSeries:
    """Read the headers of a series.

    Args:
        path: folder of the series, or one DICOM file.
        series: Series Instance UID, where the folder holds several.
        series_part: the acquisition, where the series has several (see :func:`read_dicom_series`).
        keep: keep the headers in memory for the steps that follow (see :mod:`kept_series`).

    Raises:
        UserError: highdicom is not installed, not DICOM, what :func:`read_dicom_series` refuses, or a series whose UIDs
            or frame of reference are absent, blank or shared by slices.
    """
    require_highdicom()
    path = Path(path)
    opened = open_series(path, series=series, series_part=series_part)
    grid = opened.grid
    for item, header in zip(opened.slices, opened.headers, strict=True):
        _complete(header, item.path)
    _check_distinct(path, opened.headers)
    with readable(path):
        if opened.is_multi_frame and len(opened.frames.numbers) < int(opened.headers[0].get("NumberOfFrames") or 1):
            raise UserError(
                path,
                expected="a file of one acquisition",
                found=f"{series_part} beside others, to which a DICOM SEG would refer too",
                remedy="write NIfTI only",
            )
    order = opened.frames.order if opened.is_multi_frame else np.arange(len(opened.headers))
    if keep:
        keep_series(opened, path, series, series_part)
    return SourceSeries(path, opened.headers, grid, order)


def require_highdicom() -> Any:
    """The package; raises UserError with the command that installs it."""
    try:
        import highdicom
    except ImportError as error:
        raise UserError(
            "DICOM SEG", expected="the package highdicom", found="none", remedy='pip install "monai-cl[dicom]"'
        ) from error
    return highdicom


def _complete(header: Dataset, file: Path) -> None:
    """Fill in as empty what the standard lets be empty; raises UserError that names every UID that is missing."""
    with readable(file):
        missing = [name for name, keyword in _MUST_BE_THERE.items() if not str(header.get(keyword) or "").strip()]
        if missing:
            blank = any(_MUST_BE_THERE[name] in header for name in missing)
            raise UserError(
                file,
                expected=f"a {', a '.join(missing)}, by which a DICOM SEG refers to its series",
                found="blank ones, as some programs leave that anonymise" if blank else "none",
                remedy=_NEW_UIDS,
            )
        if not header.get("SpecificCharacterSet", "there or absent"):
            del header.SpecificCharacterSet
        for name in _MAY_BE_EMPTY:
            if name not in header:
                setattr(header, name, "")


def _check_distinct(path: Path, headers: Sequence[Dataset]) -> None:
    """Raise UserError where slices share a SOP Instance UID: a frame could not say which of them it lies on."""
    distinct = len({str(header.SOPInstanceUID) for header in headers})
    if distinct < len(headers):
        raise UserError(
            path,
            expected="a SOP Instance UID of its own in every slice, by which a DICOM SEG refers to it",
            found=f"{distinct} for {len(headers)} slices",
            remedy=_NEW_UIDS,
        )
