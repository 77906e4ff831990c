"""Medical volumes from disk: NIfTI, NRRD, MetaImage and DICOM series, as an array with its affine in RAS mm."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monai_cl.errors import UserError

NIFTI = (".nii", ".nii.gz")
META_IMAGE = (".mha", ".mhd")
ITK = (".nrrd", ".nhdr", *META_IMAGE)
DICOM = (".dcm", ".dicom", ".ima")
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
    def spacing(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxels along each array axis, mm."""
        return tuple(float(length) for length in np.linalg.norm(self.affine[:3, :3], axis=0))


def read_volume(path: str | os.PathLike, *, series: str | None = None, uneven_slices: str = "error") -> Volume:
    """Read a 3D volume.

    Args:
        path: .nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd, a DICOM file, or a folder with one DICOM series.
        series: Series Instance UID, where a folder holds several.
        uneven_slices: ``"error"`` or ``"interpolate"``, for DICOM (see :func:`read_dicom_series`).

    Returns:
        the volume in file order; integers stay integers, CT values are HU. A trailing axis of length one is dropped.

    Raises:
        UserError: the file is missing, damaged, of another format, not 3D, or its geometry cannot be used.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: expected an image file or a DICOM folder, found nothing there; correct the path")
    if path.is_dir() or (path.is_file() and path.name.lower().endswith(DICOM)):
        from monai_cl.data.dicom.series import read_dicom_series

        array, affine = read_dicom_series(path, series=series, uneven_slices=uneven_slices)
    elif not path.is_file():
        raise UserError(f"{path}: expected a file, found a pipe or device, which may never end; give the image itself")
    elif path.name.lower().endswith(NIFTI):
        from monai_cl.data.io.nifti import read_nifti

        array, affine = read_nifti(path)
    elif path.name.lower().endswith(META_IMAGE):
        from monai_cl.data.io.meta_image import read_meta_image

        array, affine = read_meta_image(path)
    elif path.name.lower().endswith(ITK):
        array, affine = _read_with_itk(path)
    else:
        raise UserError(
            f"{path}: expected one of {', '.join((*NIFTI, *ITK))} or a DICOM folder, found another kind of file; "
            "convert it to .nii.gz"
        )
    array = _three_axes(path, array)
    _check_affine(path, affine)
    return Volume(array, affine, path)


def to_ras(volume: Volume) -> Volume:
    """Flip and permute the axes so that they point most nearly right, anterior, superior; no resampling, no copy."""
    import nibabel as nib

    orientation = nib.io_orientation(volume.affine)
    array = nib.apply_orientation(volume.array, orientation)
    affine = volume.affine @ nib.orientations.inv_ornt_aff(orientation, volume.array.shape)
    return Volume(array, affine, volume.path)


def _read_with_itk(path: Path) -> tuple[np.ndarray, np.ndarray]:
    import SimpleITK as sitk

    from monai_cl.data.io.itk_header import check_nrrd

    check_nrrd(path)
    try:
        image = sitk.ReadImage(os.fspath(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise UserError(f"{path}: expected a readable image, found: {reason}; export or copy it again") from error
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise UserError(
            f"{path}: expected one number a voxel, found {image.GetNumberOfComponentsPerPixel()}; "
            "export grey values, or one merged label map"
        )
    if image.GetDimension() != 3:
        raise UserError(f"{path}: expected a 3D volume, found {image.GetDimension()} axes of {image.GetSize()}")
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) @ np.diag(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine  # ITK is LPS
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0), affine


def _three_axes(path: Path, array: np.ndarray) -> np.ndarray:
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != 3 or 0 in array.shape:
        raise UserError(
            f"{path}: expected a 3D volume, found {array.ndim} axes of {array.shape}; split a time series into "
            "one file a time point, stack single slices"
        )
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _check_affine(path: Path, affine: np.ndarray) -> None:
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all():
        raise UserError(f"{path}: expected a finite affine, found {affine.tolist()}; correct the header")
    # the volume of the voxel against that of a box with its edges: 0 where two axes coincide
    if (spacing == 0).any() or abs(np.linalg.det(affine[:3, :3])) < 1e-3 * spacing.prod():
        raise UserError(f"{path}: expected an invertible affine, found {affine[:3].tolist()}; correct the header")
    if (spacing < _SPACING_MM[0]).any() or (spacing > _SPACING_MM[1]).any():
        raise UserError(
            f"{path}: expected a spacing of {_SPACING_MM[0]} to {_SPACING_MM[1]} mm, found {spacing.tolist()}; "
            "correct the header (its unit must be mm)"
        )
