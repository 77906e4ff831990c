"""NRRD files (.nrrd, .nhdr) to a grid, or to an array and an affine: by ITK, after a look at the text header."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from monai_cl.data.grid import Grid
from monai_cl.data.io.itk_header import check_nrrd
from monai_cl.data.io.units import named_unit, warn_of_default_directions, warn_of_default_position
from monai_cl.errors import UserError

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# what ITK turns to LPS; axes of other spaces it takes as if they were LPS
_SPACES = {"left posterior superior", "right anterior superior", "left anterior superior", "lps", "ras", "las"}


def nrrd_grid(path: Path) -> Grid:
    """The grid of a file from its header alone; the affine is meaningless where it has other than three axes.

    Raises:
        UserError: a damaged header, an unknown unit of length, or what `check_nrrd` refuses.
    """
    fields = check_nrrd(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(os.fspath(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise UserError(path, expected="a readable header", cause=reason, remedy="copy or export it again") from None
    shape = tuple(reader.GetSize())
    return Grid(shape, _affine(path, fields, reader) if len(shape) == 3 else np.eye(4))


def read_nrrd(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a file.

    Returns:
        array (X, Y, Z) of the type of the file, and affine (4, 4), voxel -> RAS mm.

    Raises:
        UserError: a damaged file, colours, another number of axes than three, an unknown unit of length, or what
            `check_nrrd` refuses.
    """
    fields = check_nrrd(path)
    try:
        image = sitk.ReadImage(os.fspath(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise UserError(path, expected="a readable image", cause=reason, remedy="export or copy it again") from error
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise UserError(
            path,
            expected="one value per voxel",
            found=image.GetNumberOfComponentsPerPixel(),
            remedy="export grey values, or one merged label map",
        )
    if image.GetDimension() != 3:
        raise UserError(path, expected="a 3D volume", found=f"{image.GetDimension()} axes of {image.GetSize()}")
    affine = _affine(path, fields, image)
    if "space directions" not in fields or fields.get("space", "").replace("-", " ") not in _SPACES:
        warn_of_default_directions(path, "ITK's default, x to the left, y to the back")
    if "space origin" not in fields:
        warn_of_default_position(path)
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0), affine


def _affine(path: Path, fields: dict[str, str], source: sitk.Image | sitk.ImageFileReader) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = np.array(source.GetDirection()).reshape(3, 3) @ np.diag(source.GetSpacing())
    affine[:3, 3] = source.GetOrigin()
    # units of the world's axes; a header without directions has those of the image's axes, and no origin
    for field in ("space units", "units"):
        if field in fields:
            names = re.findall(r'"([^"]*)"', fields[field]) or fields[field].split()
            units = {named_unit(path, field, name) for name in names}
            if len(units) != 1:
                raise UserError(
                    path, expected=f"one unit of length under {field}", found=f"{fields[field]}", remedy="correct it"
                )
            affine[:3] *= units.pop()
            break
    return _LPS_TO_RAS @ affine  # ITK is LPS
