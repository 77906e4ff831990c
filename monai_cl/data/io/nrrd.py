"""NRRD files (.nrrd, .nhdr) to a grid, or to an array and an affine: by ITK, after a look at the text header."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from monai_cl.data.grid import Grid
from monai_cl.data.io.itk_header import check_nrrd
from monai_cl.errors import UserError

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def nrrd_grid(path: Path) -> Grid:
    """The grid of a file from its header alone; the affine is meaningless where it has other than three axes.

    Raises:
        UserError: a damaged header, or what `check_nrrd` refuses.
    """
    check_nrrd(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(os.fspath(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise UserError(f"{path}: expected a readable header, found: {reason}; copy or export it again") from None
    shape = tuple(reader.GetSize())
    return Grid(shape, _affine(reader) if len(shape) == 3 else np.eye(4))


def read_nrrd(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a file.

    Returns:
        array (X, Y, Z) of the type of the file, and affine (4, 4), voxel -> RAS mm.

    Raises:
        UserError: a damaged file, colours, another number of axes than three, or what `check_nrrd` refuses.
    """
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
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0), _affine(image)


def _affine(source: sitk.Image | sitk.ImageFileReader) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = np.array(source.GetDirection()).reshape(3, 3) @ np.diag(source.GetSpacing())
    affine[:3, 3] = source.GetOrigin()
    return _LPS_TO_RAS @ affine  # ITK is LPS
