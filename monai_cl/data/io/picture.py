"""PNG and JPEG as volumes of one slice, displayed as they are: up is the patient's front, left is their right."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from monai_cl.data.grid import Grid
from monai_cl.errors import UserError

# what a picture states of its resolution is that of a print
_PIXEL_MM = 1.0
_AFFINE = np.diag([-_PIXEL_MM, -_PIXEL_MM, _PIXEL_MM, 1.0])
# EXIF's orientations that exchange rows and columns
_EXIF_ORIENTATION, _TRANSPOSED = 0x0112, (5, 6, 7, 8)
_READERS = ("PNG", "JPEG")


def picture_grid(path: Path) -> Grid:
    """The grid of a picture from its header: (columns, rows, 1), 1 mm a pixel.

    Raises:
        UserError: not a readable picture.
    """
    with _opened(path) as image:
        columns, rows = image.size
        if image.getexif().get(_EXIF_ORIENTATION) in _TRANSPOSED:
            columns, rows = rows, columns
        return Grid((columns, rows, 1), _AFFINE.copy())


def read_picture(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A picture as an array (columns, rows, 1) of uint8 or uint16 grey values, and its affine.

    Colours become their luminance (ITU-R 601), transparency is dropped, the orientation that EXIF states is applied.

    Raises:
        UserError: a damaged file, or several pictures in one.
    """
    with _opened(path) as image:
        if (count := getattr(image, "n_frames", 1)) > 1:
            raise UserError(path, expected="one picture", found=f"{count} in one file", remedy="split the file")
        try:
            upright = ImageOps.exif_transpose(image)
            if not upright.mode.startswith("I"):  # I;16 and I: more than 8 bits of grey
                upright = upright.convert("L")
            array = np.asarray(upright)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise _damaged(path, error) from error
    if array.dtype.kind not in "u":
        array = np.clip(array, 0, np.iinfo(np.uint16).max).astype(np.uint16)
    return array.T[:, :, None], _AFFINE.copy()


def _opened(path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return Image.open(path, formats=_READERS)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise _damaged(path, error) from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        remedy = "cut or reduce the picture"
        raise UserError(path, expected="a picture of an examination", cause=error, remedy=remedy) from error


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(path, expected="a readable PNG or JPEG", cause=error, remedy="copy or export it again")
