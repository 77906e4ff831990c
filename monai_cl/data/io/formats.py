"""The table of image formats: their file endings and the functions that read them. A new format is one entry here.

A reader is imported when its first file is read: data lists need the endings and none of the packages behind them.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_cl.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from monai_cl.data.grid import Grid


@dataclass(frozen=True)
class Format:
    """A kind of image file.

    Attributes:
        name: of the format.
        endings: of its files, in lower case with the dot.
        header: ``"module:function"``, the grid of a file from its header alone: path -> :class:`Grid`.
        voxels: ``"module:function"``, a whole file: path -> array in file order with any number of axes, and affine
            (4, 4), voxel index -> RAS mm.
        is_series: whether a volume is a folder of such files. Then ``voxels`` also takes ``series``, ``series_part``
            and ``uneven_slices``, and ``header`` reads every file.
        is_picture: whether a file is one 2D image of grey values without a unit. It may be an item of a data list, but
            is not taken for a scan where a folder is searched for volumes.
    """

    name: str
    endings: tuple[str, ...]
    header: str
    voxels: str
    is_series: bool = False
    is_picture: bool = False

    def read_grid(self, path: Path) -> Grid:
        """What ``header`` names, called."""
        return _function(self.header)(path)

    def read_voxels(self, path: Path, **options: Any) -> tuple[np.ndarray, np.ndarray]:
        """What ``voxels`` names, called."""
        return _function(self.voxels)(path, **options)


NIFTI = Format(
    "NIfTI",
    (".nii", ".nii.gz"),
    header="monai_cl.data.io.nifti:nifti_grid",
    voxels="monai_cl.data.io.nifti:read_nifti",
)
NRRD = Format(
    "NRRD",
    (".nrrd", ".nhdr"),
    header="monai_cl.data.io.nrrd:nrrd_grid",
    voxels="monai_cl.data.io.nrrd:read_nrrd",
)
META_IMAGE = Format(
    "MetaImage",
    (".mha", ".mhd"),
    header="monai_cl.data.io.meta_image:meta_image_grid",
    voxels="monai_cl.data.io.meta_image:read_meta_image",
)
DICOM = Format(
    "DICOM",
    (".dcm", ".dicom", ".ima"),
    header="monai_cl.data.dicom.series:series_grid",
    voxels="monai_cl.data.dicom.series:read_dicom_series",
    is_series=True,
)
PICTURE = Format(
    "picture",
    (".png", ".jpg", ".jpeg"),
    header="monai_cl.data.io.picture:picture_grid",
    voxels="monai_cl.data.io.picture:read_picture",
    is_picture=True,
)
FORMATS = (NIFTI, NRRD, META_IMAGE, PICTURE, DICOM)

FILE_ENDINGS = tuple(
    ending
    for format in FORMATS
    if not (format.is_series or format.is_picture)
    for ending in sorted(format.endings, key=len, reverse=True)  # .nii.gz before a part of it
)
"""Endings of the formats in which one file is one volume."""

# not readable, but a data list may name such files, and their items have ids
_ANALYZE = (".hdr", ".img.gz", ".img")


def format_of(path: Path) -> Format:
    """The format of an existing file by its name, and DICOM for a folder; nothing is opened.

    Raises:
        UserError: an ending that is not in the table, nothing there, or neither file nor folder.
    """
    if path.is_dir():
        return DICOM
    source_files(path)
    by_name = format_named(path.name)
    if by_name is None:
        endings = ", ".join(ending for format in FORMATS if not format.is_series for ending in format.endings)
        raise UserError(
            path,
            expected=f"one of {endings} or a DICOM folder",
            found="another kind of file",
            remedy="convert it to .nii.gz",
        )
    return by_name


def source_files(path: Path) -> list[Path]:
    """The file of an image, or the files of a DICOM folder in the order of their names.

    Raises:
        UserError: nothing there, an empty folder, or neither file nor folder.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file())
        if not files:
            remedy = "name the folder of the series itself"
            raise UserError(path, expected="a folder of DICOM slices", found="an empty one", remedy=remedy)
        return files
    if not path.exists():
        remedy = "correct the path"
        raise UserError(path, expected="an image file or a DICOM folder", found="nothing there", remedy=remedy)
    if not path.is_file():
        remedy = "give the image itself"
        raise UserError(path, expected="a file", found="a pipe or device, which may never end", remedy=remedy)
    return [path]


def format_named(name: str) -> Format | None:
    """The format of a file called ``name``, by its ending in any case; None where no format has it."""
    return next((format for format in FORMATS if name.lower().endswith(format.endings)), None)


def is_series(name: str) -> bool:
    """Whether a path is that of a folder or file of DICOM slices, by its ending alone."""
    by_name = format_named(name)
    return by_name is None or by_name.is_series


def is_picture(name: str) -> bool:
    """Whether a path is that of a 2D image without a unit, by its ending alone."""
    by_name = format_named(name)
    return by_name is not None and by_name.is_picture


def strip_ending(name: str) -> str:
    """A file name without the ending of an image format; other dots stay (DICOM folders are named by UIDs).

    Of DICOM's endings only ``.dcm`` is stripped: the ids of items, which results refer to, have always kept the others.
    """
    for ending in (*FILE_ENDINGS, *PICTURE.endings, *_ANALYZE, DICOM.endings[0]):
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return name


def _function(name: str) -> Any:
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)
