"""Shape and affine of a volume from its header alone, in well under a millisecond for NIfTI."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monai_cl.data.io.grids import GRID_TOLERANCE, corner_shift
from monai_cl.errors import UserError

_NIFTI = (".nii", ".nii.gz")
_NRRD, _META_IMAGE = (".nrrd", ".nhdr"), (".mha", ".mhd")
_DICOM = (".dcm", ".dicom", ".ima")


@dataclass(frozen=True)
class Grid:
    """Where voxels lie: ``shape`` (X, Y, Z) in file order and ``affine`` (4, 4), voxel index -> RAS mm."""

    shape: tuple[int, ...]
    affine: np.ndarray

    @property
    def spacing(self) -> tuple[float, ...]:
        """Distance of neighbouring voxels along each axis, mm."""
        return tuple(np.linalg.norm(self.affine[:3, :3], axis=0).tolist())

    def __str__(self) -> str:
        shape = "x".join(map(str, self.shape))
        spacing = "x".join(f"{edge:.4g}" for edge in self.spacing)
        origin = ", ".join(f"{at:.4g}" for at in self.affine[:3, 3])
        return f"shape {shape}, {spacing} mm, first voxel at ({origin}) mm"


def read_grid(path: str | Path) -> Grid | None:
    """The grid of a volume file, read from its header; voxels are not looked at.

    Returns:
        None for DICOM, whose grid is known only after every slice was read.

    Raises:
        UserError: no such file, an empty folder, not a format of the project, a damaged header, not three axes.
    """
    path = Path(path)
    name = path.name.lower()
    if path.is_dir():
        if not any(file.is_file() for file in path.rglob("*")):
            raise UserError(
                f"{path}: expected a folder of DICOM slices, found an empty one; name the folder of the series itself"
            )
        return None
    if not path.exists():
        raise UserError(f"{path}: expected a file, found nothing there")
    if not path.is_file():
        raise UserError(f"{path}: expected a file, found a pipe or device, which may never end; give the image itself")
    if name.endswith(_DICOM):
        return None
    if name.endswith(_NIFTI):
        return _nifti_grid(path)
    if name.endswith(_META_IMAGE):
        from monai_cl.data.io.meta_image import meta_image_grid

        return _checked(path, Grid(*meta_image_grid(path)))
    if name.endswith(_NRRD):
        return _itk_grid(path)
    formats = ", ".join((*_NIFTI, *_NRRD, *_META_IMAGE))
    raise UserError(
        f"{path}: expected one of {formats} or a DICOM folder, found another kind of file; convert it to .nii.gz"
    )


def _nifti_grid(path: Path) -> Grid:
    import nibabel as nib

    try:
        with open(path, "rb") as stream:
            raw = stream.read(540)
        if raw[:2] == b"\x1f\x8b":
            with gzip.open(path) as stream:
                raw = stream.read(540)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: expected a readable file, found: {error}; copy or download it again") from None
    sizes = [int.from_bytes(raw[:4], order) for order in ("little", "big")]
    header_class = nib.Nifti1Header if 348 in sizes else nib.Nifti2Header if 540 in sizes else None
    if header_class is None or len(raw) < header_class.sizeof_hdr:
        raise UserError(f"{path}: expected a NIfTI header, found {_bytes(raw)}; copy or convert the file again")
    try:
        header = header_class(raw[: header_class.sizeof_hdr], check=False)
        shape, affine = tuple(map(int, header.get_data_shape())), np.asarray(header.get_best_affine(), dtype=float)
    except (ValueError, nib.spatialimages.HeaderDataError) as error:
        raise UserError(f"{path}: expected a NIfTI header, found a damaged one ({error})") from None
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    return _checked(path, Grid(shape, affine))


def _bytes(raw: bytes) -> str:
    return f"other bytes at its start ({raw[:4].hex(' ')})" if raw else "an empty file"


def _itk_grid(path: Path) -> Grid:
    import SimpleITK as sitk

    from monai_cl.data.io.itk_header import check_nrrd

    check_nrrd(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise UserError(f"{path}: expected a readable header, found: {reason}; copy or export it again") from None
    shape = tuple(reader.GetSize())
    affine = np.eye(4)
    if len(shape) == 3:
        affine[:3, :3] = np.array(reader.GetDirection()).reshape(3, 3) * reader.GetSpacing()
        affine[:3, 3] = reader.GetOrigin()
    return _checked(path, Grid(shape, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine))  # ITK is LPS


def _checked(path: Path, grid: Grid) -> Grid:
    if len(grid.shape) != 3 or 0 in grid.shape:
        raise UserError(
            f"{path}: expected a 3D volume, found {len(grid.shape)} axes of {grid.shape}; split a time series"
        )
    if not np.isfinite(grid.affine).all() or abs(np.linalg.det(grid.affine[:3, :3])) < 1e-9:
        raise UserError(f"{path}: expected an invertible affine, found {grid.affine[:3].tolist()}; correct the header")
    return grid


def same_grid(first: Grid, second: Grid) -> bool:
    """Whether two volumes lie on one grid once both are turned to RAS, to a tenth of a voxel at every corner."""
    first, second = _to_ras(first), _to_ras(second)
    if first.shape != second.shape:
        return False
    return corner_shift(first.affine, second.affine, first.shape) <= GRID_TOLERANCE * min(first.spacing)


def _to_ras(grid: Grid) -> Grid:
    import nibabel as nib

    orientation = nib.io_orientation(grid.affine)
    if np.isnan(orientation).any():
        return grid
    affine = grid.affine @ nib.orientations.inv_ornt_aff(orientation, grid.shape)
    shape = [0, 0, 0]
    for axis, target in enumerate(orientation[:, 0].astype(int)):
        shape[target] = grid.shape[axis]
    return Grid(tuple(shape), affine)
