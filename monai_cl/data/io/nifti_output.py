"""A volume to one NIfTI file that says its geometry once, in mm."""

from __future__ import annotations

import os
from pathlib import Path

import nibabel as nib
import numpy as np
from isal import igzip

from monai_cl.data.io.reading import Volume
from monai_cl.errors import UserError
from monai_cl.files import write_atomically

# what every reader of NIfTI-1 knows; wider integers and doubles go into the widest of these that holds them
_TYPES = {"b": (np.uint8,), "u": (np.uint8, np.uint16, np.uint32), "i": (np.int8, np.int16, np.int32)}


def write_volume(output: str | os.PathLike, volume: Volume, *, description: str = "") -> Path:
    """Write a volume as .nii or .nii.gz; voxels and affine are those of the volume.

    The qform is the sform, or switched off where the affine is sheared (a tilted gantry), which it cannot say.

    Args:
        output: the file; folders above it are made.
        volume: (X, Y, Z), or (X, Y, Z, C) of several channels.
        description: for the header, at most 79 characters.

    Raises:
        UserError: another ending, or integers that do not fit 32 bits.
    """
    output = Path(output)
    if not output.name.lower().endswith((".nii", ".nii.gz")):
        raise UserError(output, expected="a name that ends in .nii or .nii.gz", found="another", remedy="correct it")
    compressed = output.name.lower().endswith(".gz")
    write_atomically(output, nifti_bytes(volume, compressed=compressed, description=description))
    return output


def nifti_bytes(volume: Volume, *, compressed: bool, description: str = "") -> bytes:
    """The content of a file as :func:`write_volume` writes it.

    Args:
        volume: see there.
        compressed: of a .nii.gz file.
        description: see there.
    """
    image = nib.Nifti1Image(_storable(volume), volume.affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(volume.affine, code=1)
    image.set_qform(volume.affine, code=1)
    if not np.allclose(image.get_qform(), volume.affine, atol=1e-3 * min(volume.spacing)):
        image.set_qform(None, code=0)
    image.header["descrip"] = description.encode()
    content = image.to_bytes()
    return igzip.compress(content, 2, mtime=0) if compressed else content


def _storable(volume: Volume) -> np.ndarray:
    array = volume.array
    if array.dtype.kind == "f":
        return array.astype(np.float32)
    for dtype in _TYPES[array.dtype.kind]:
        if array.dtype == dtype:
            return array
    low, high = int(array.min()), int(array.max())
    for dtype in (*_TYPES["i"], *_TYPES["u"]):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return array.astype(dtype)
    raise UserError(volume.path, expected="integers of 32 bits", found=f"{low} to {high}", remedy="it is no image")
