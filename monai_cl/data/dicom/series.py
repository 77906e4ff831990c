"""One DICOM series, its headers read once, to its grid and its voxels: SimpleITK for pixels, every position checked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from monai_cl.data.dicom.frames import Frames, frames_of, read_header, require_pydicom
from monai_cl.data.dicom.kept_series import kept
from monai_cl.data.dicom.slice_headers import SliceHeader, read_slices
from monai_cl.data.dicom.spacing import are_even, check_line, check_repeated, interpolate_slices
from monai_cl.data.grid import Grid
from monai_cl.errors import UserError

if TYPE_CHECKING:
    from pydicom import Dataset

_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R 601
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
_TYPES = {sitk.sitkUInt8: "u1", sitk.sitkInt8: "i1", sitk.sitkUInt16: "u2", sitk.sitkInt16: "i2", sitk.sitkUInt32: "u4"}
_TYPES |= {sitk.sitkInt32: "i4", sitk.sitkInt64: "i8", sitk.sitkFloat32: "f4", sitk.sitkFloat64: "f8"}


@dataclass(frozen=True, eq=False)
class Series:
    """What the headers of a series say; :func:`open_series` reads them.

    Attributes:
        path: folder or file, as passed to :func:`open_series`.
        slices: in order along their normal; a single one for a multi-frame file.
        series_part: the acquisition that was chosen of a multi-frame file, if any.
    """

    path: Path
    slices: Sequence[SliceHeader]
    series_part: str | None = None

    @property
    def is_multi_frame(self) -> bool:
        """Whether the slices are the frames of one file."""
        return self.slices[0].is_multi_frame

    @cached_property
    def headers(self) -> list[Dataset]:
        """The complete headers, in the order of ``slices``, read by pydicom (extra ``dicom``) when first asked for.

        Raises:
            UserError: pydicom cannot read a file.
        """
        return [read_header(item.path) for item in self.slices]

    @cached_property
    def frames(self) -> Frames:
        """The frames of a multi-frame file.

        Raises:
            UserError: pydicom is not installed, or as :attr:`headers` and :func:`frames_of`.
        """
        require_pydicom(self.slices[0].path)
        return frames_of(self.headers[0], self.slices[0].path, series_part=self.series_part)

    @property
    def grid(self) -> Grid:
        """The grid of the array that :meth:`read` returns for evenly spaced slices.

        Raises:
            UserError: slices missing, repeated, unevenly spaced or not on one line; for a multi-frame file as
                :attr:`frames`.
        """
        self._is_even("refuse")
        origins = self._origins
        return Grid((*self.slices[0].size[:2], len(origins)), self._affine(origins))

    def read(self, *, uneven_slices: str = "error") -> tuple[np.ndarray, np.ndarray]:
        """Decode the pixels; returns and raises as :func:`read_dicom_series`."""
        even = self._is_even(uneven_slices)
        common = _common_type(self.slices) if len(self.slices) > 1 else sitk.sitkUnknown
        paths, colours = [item.path for item in self.slices], self.slices[0].is_single_image
        array, origins = _decode(paths, common, colours=colours), self._origins
        if self.is_multi_frame:
            path, frames = self.slices[0].path, self.frames
            stored = int(self.headers[0].get("NumberOfFrames") or 1)
            if array.shape[2] != stored:
                raise UserError(
                    path, expected=f"{stored} frames", found=array.shape[2], remedy="copy or export the file again"
                )
            array = array[..., frames.numbers[frames.order]]
        if not even:
            check_repeated(self._where, self._names, array, self._positions)
            array, origins = interpolate_slices(array, origins, self._positions)
        return array, self._affine(origins)

    @cached_property
    def _origins(self) -> np.ndarray:
        """(Z, 3), LPS mm, along the normal."""
        if self.is_multi_frame:
            return self.frames.origins[self.frames.order]
        return np.stack([item.origin for item in self.slices])

    @cached_property
    def _positions(self) -> np.ndarray:
        """(Z,), mm along the normal, ascending."""
        if self.is_multi_frame:
            return self.frames.positions[self.frames.order]
        return self._origins @ self.slices[0].normal

    @property
    def _where(self) -> Path:
        return self.slices[0].path if self.is_multi_frame else self.path

    @property
    def _names(self) -> list[str]:
        if self.is_multi_frame:
            return [f"frame {number + 1}" for number in self.frames.numbers[self.frames.order]]
        return [item.path.name for item in self.slices]

    def _is_even(self, uneven_slices: str) -> bool:
        if len(self._origins) == 1:
            return True
        in_plane = min(self.frames.spacing if self.is_multi_frame else self.slices[0].spacing[:2])
        check_line(self._where, self._names, self._origins, self._positions, pixel=in_plane)
        return are_even(self._where, self._names, self._positions, uneven_slices=uneven_slices)

    def _affine(self, origins: np.ndarray) -> np.ndarray:
        first = self.slices[0]
        direction = self.frames.direction if self.is_multi_frame else first.direction
        spacing = self.frames.spacing if self.is_multi_frame else first.spacing
        return _stack_affine(direction, spacing, origins)


def open_series(path: Path, *, series: str | None = None, series_part: str | None = None) -> Series:
    """Read the headers of a series, opening each file once, or take the series that was kept (see :mod:`kept_series`).

    Args:
        path: folder with the slices of one series (other files in it are ignored), or one DICOM file; for one of
            several frames the extra ``dicom`` is needed.
        series: the Series Instance UID to take where the folder holds several.
        series_part: the acquisition to take where the series has several, such as ``"AcquisitionNumber=2"``.

    Raises:
        UserError: as :func:`read_slices`.
    """
    known = kept(path, series, series_part)
    return (
        known
        if isinstance(known, Series)
        else Series(path, read_slices(path, series=series, series_part=series_part), series_part)
    )


def read_dicom_series(
    path: Path, *, series: str | None = None, series_part: str | None = None, uneven_slices: str = "error"
) -> tuple[np.ndarray, np.ndarray]:
    """Read the DICOM series in a folder, or one multi-frame file.

    Args:
        path: as for :func:`open_series`.
        series: as for :func:`open_series`.
        series_part: as for :func:`open_series`.
        uneven_slices: ``"error"``, or ``"interpolate"``: drop repeated slices and interpolate linearly to the median
            slice distance.

    Returns:
        array (X, Y, Z) in HU with z along the stack, float32 where a slice has a fractional rescale slope, and affine
        (4, 4), voxel -> RAS mm, sheared by a tilted gantry.

    Raises:
        UserError: no image or several series or acquisitions, slices missing, repeated, unevenly spaced or not on one
            line, other sizes or directions among the slices, geometry or rescaling that is not stated, a file that
            cannot be decoded, DICOM SEG.
    """
    if uneven_slices not in ("error", "interpolate"):
        raise ValueError(f'uneven_slices must be "error" or "interpolate", got {uneven_slices!r}')
    return open_series(path, series=series, series_part=series_part).read(uneven_slices=uneven_slices)


def series_grid(path: Path, *, series: str | None = None, series_part: str | None = None) -> Grid:
    """The grid of the array that :func:`read_dicom_series` returns, from the headers alone.

    Raises:
        UserError: as :func:`read_dicom_series`, but for pixels that cannot be decoded.
    """
    return open_series(path, series=series, series_part=series_part).grid


def _common_type(slices: Sequence[SliceHeader]) -> int:
    """A type for the values of every slice: each has its own slope, and SimpleITK takes the type of the first."""
    if any(item.pixel_type not in _TYPES for item in slices):
        return sitk.sitkUnknown  # colours
    common = np.result_type(*(_TYPES[item.pixel_type] for item in slices))
    if common.kind == "f":
        return sitk.sitkFloat32
    return next(number for number, name in _TYPES.items() if np.dtype(name) == common)


def _decode(files: Sequence[Path], pixel_type: int = sitk.sitkUnknown, *, colours: bool = False) -> np.ndarray:
    """Pixels (X, Y, Z) with rescale slope and intercept applied; of an unknown type, the type of the first.

    With ``colours``, RGB becomes its luminance.
    """
    reader = sitk.ImageSeriesReader()
    reader.SetOutputPixelType(pixel_type)
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileNames([os.fspath(file) for file in files])
    try:
        image = reader.Execute()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise UserError(
            files[0].parent, expected="decodable DICOM slices", cause=reason, remedy="copy or export the series again"
        ) from error
    array, channels = sitk.GetArrayFromImage(image), image.GetNumberOfComponentsPerPixel()
    if channels == 3 and colours:
        array = np.rint(array @ np.array(_LUMINANCE)).astype(array.dtype)
    elif array.ndim == 4 and array.shape[0] == 1 and channels == 1:
        array = array[0]  # one file of several frames
    if array.ndim != 3:
        raise UserError(files[0], expected="one grey value per voxel", found=f"an array of shape {array.shape}")
    return array.transpose(2, 1, 0)


def _stack_affine(direction: np.ndarray, spacing: Sequence[float], origins: np.ndarray) -> np.ndarray:
    """(4, 4), voxel -> RAS mm; of a single slice, ``spacing`` has the depth too."""
    affine = np.eye(4)
    affine[:3, 0] = direction[:, 0] * spacing[0]
    affine[:3, 1] = direction[:, 1] * spacing[1]
    count = len(origins)
    affine[:3, 2] = (origins[-1] - origins[0]) / (count - 1) if count > 1 else direction[:, 2] * spacing[2]
    affine[:3, 3] = origins[0]
    affine[:3] = _LPS_TO_RAS @ affine[:3]
    return affine
