"""Medical volumes from disk: NIfTI, NRRD, MetaImage and DICOM series, as an array with its affine in RAS mm."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monai_cl.data.grid import Grid
from monai_cl.data.io.formats import NIFTI, format_of, source_files
from monai_cl.errors import UserError

# a voxel spacing outside this is a damaged header or another unit
_SPACING_MM = (1e-3, 100.0)


@dataclass(frozen=True)
class Volume:
    """A 3D image in memory.

    Attributes:
        array: (X, Y, Z) voxels in file order, or in RAS order after :func:`to_ras`.
        affine: (4, 4) float64, voxel index -> RAS+ mm.
        path: where it came from.
    """

    array: np.ndarray
    affine: np.ndarray
    path: Path | None = None

    @property
    def grid(self) -> Grid:
        """Where the voxels lie."""
        return Grid(tuple(self.array.shape), self.affine)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxels along each array axis, mm."""
        return self.grid.spacing

    def turned(self, turn: np.ndarray) -> Volume:
        """The volume with axes flipped and permuted by a turn of :meth:`Grid.turn_to`; no resampling, no copy."""
        import nibabel as nib

        return Volume(nib.apply_orientation(self.array, turn), self.grid.turned(turn).affine, self.path)


def read_volume(
    path: str | os.PathLike,
    *,
    series: str | None = None,
    series_part: str | None = None,
    uneven_slices: str = "error",
    form: str | None = None,
) -> Volume:
    """Read a 3D volume.

    Args:
        path: .nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd, a DICOM file, or a folder with one DICOM series.
        series: Series Instance UID, where a folder holds several.
        series_part: the acquisition to take of a DICOM series with several, such as ``"AcquisitionNumber=2"``.
        uneven_slices: ``"error"`` or ``"interpolate"``, for DICOM (see :func:`read_dicom_series`).
        form: ``"sform"`` or ``"qform"``: the one to believe of a NIfTI header that contradicts itself.

    Returns:
        the volume in file order; integers stay integers, CT values are HU. A trailing axis of length one is dropped.

    Raises:
        UserError: the file is missing, damaged, of another format, not 3D, or its geometry cannot be used.
    """
    path = Path(path)
    format = format_of(path)
    options = {"series": series, "series_part": series_part, "uneven_slices": uneven_slices}
    if form is not None and format is not NIFTI:
        raise UserError(path, expected="a NIfTI file, which has a qform and an sform", found=f"{format.name}")
    chosen = series or series_part
    if chosen and not format.is_series:
        raise UserError(
            path,
            expected=f"a DICOM series, of which to take {chosen}",
            found=f"a {format.name} file",
            remedy="leave that out for it, or give the series",
        )
    array, affine = format.read_voxels(path, **(options if format.is_series else {"form": form} if form else {}))
    array = _three_axes(path, array)
    _check_affine(path, affine)
    return Volume(array, affine, path)


def read_grid(path: str | os.PathLike) -> Grid | None:
    """The grid of a volume file, read from its header in well under a millisecond for NIfTI; no voxel is looked at.

    Returns:
        None for DICOM, whose grid is known only after the header of every slice was read (see :func:`series_grid`).

    Raises:
        UserError: no such file, an empty folder, not a format of the project, a damaged header, not three axes.
    """
    path = Path(path)
    source_files(path)
    format = format_of(path)
    if format.is_series:
        return None
    grid = format.read_grid(path)
    if len(grid.shape) != 3 or 0 in grid.shape:
        raise UserError(
            path, expected="a 3D volume", found=f"{len(grid.shape)} axes of {grid.shape}", remedy="split a time series"
        )
    if not np.isfinite(grid.affine).all() or abs(np.linalg.det(grid.affine[:3, :3])) < 1e-9:
        raise UserError(
            path, expected="an invertible affine", found=grid.affine[:3].tolist(), remedy="correct the header"
        )
    return grid


def to_ras(volume: Volume) -> Volume:
    """Flip and permute the axes so that they point most nearly right, anterior, superior; no resampling, no copy.

    Args:
        volume: voxels in file order, with the affine that says where they lie.
    """
    return volume.turned(volume.grid.orientation)


def _three_axes(path: Path, array: np.ndarray) -> np.ndarray:
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != 3 or 0 in array.shape:
        raise UserError(
            path,
            expected="a 3D volume",
            found=f"{array.ndim} axes of {array.shape}",
            remedy="split a time series into one file per time point, stack single slices",
        )
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _check_affine(path: Path, affine: np.ndarray) -> None:
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all():
        raise UserError(path, expected="a finite affine", found=affine.tolist(), remedy="correct the header")
    # the volume of the voxel against that of a box with its edges: 0 where two axes coincide
    if (spacing == 0).any() or abs(np.linalg.det(affine[:3, :3])) < 1e-3 * spacing.prod():
        raise UserError(path, expected="an invertible affine", found=affine[:3].tolist(), remedy="correct the header")
    if (spacing < _SPACING_MM[0]).any() or (spacing > _SPACING_MM[1]).any():
        raise UserError(
            path,
            expected=f"a spacing of {_SPACING_MM[0]} to {_SPACING_MM[1]} mm",
            found=spacing.tolist(),
            remedy="correct the header (its unit must be mm)",
        )
