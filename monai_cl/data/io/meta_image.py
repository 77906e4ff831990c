"""MetaImage files (.mha, .mhd) to an array and an affine, every byte counted.

ITK (5.4) continues with what is left in its buffer where such a file is too short or does not decompress, and writes
beyond it where a header is damaged; a few lines of our own are safer.
"""

from __future__ import annotations

import math
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
from isal import isal_zlib

from monai_cl.data.grid import Grid
from monai_cl.data.io.itk_header import meta_image_header
from monai_cl.data.io.units import named_unit, warn_of_default_directions, warn_of_default_position, warn_of_header
from monai_cl.errors import UserError

_TYPES = {"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"}
_TYPES |= {"long_long": "i8", "ulong_long": "u8", "float": "f4", "double": "f8"}
# as many bytes as on the machine that wrote it
_EITHER = {"long": ("i4", "i8"), "ulong": ("u4", "u8")}
_POSITIONS = ("offset", "position", "origin")
_DIRECTIONS = ("transformmatrix", "rotation", "orientation")
_AS_WRITTEN = {
    **{"elementspacing": "ElementSpacing", "elementsize": "ElementSize", "transformmatrix": "TransformMatrix"},
    **{name: name.capitalize() for name in (*_POSITIONS, *_DIRECTIONS[1:])},
}
_UNIT_LENGTH = 0.01
_OPPOSITE = str.maketrans("RLAPSI", "LRPAIS")
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def meta_image_grid(path: Path) -> Grid:
    """The grid of a file from its header alone.

    Raises:
        UserError: a header that cannot be understood, or another number of axes than three.
    """
    return _grid(path, meta_image_header(path)[0])


def read_meta_image(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a file whose voxels are in it, or in one other file beside it.

    Returns:
        array (X, Y, Z) of the type of the file, and affine (4, 4), voxel -> RAS mm.

    Raises:
        UserError: a header that cannot be understood, colours, text instead of binary voxels, another number of bytes
            than the header says, a stream that does not decompress to its checksum.
    """
    fields, files, start = meta_image_header(path)
    grid = _grid(path, fields)
    shape = grid.shape
    channels = fields.get("elementnumberofchannels", "1")
    if channels != "1":
        raise UserError(
            path, expected="one value per voxel", found=channels, remedy="export grey values, or one merged label map"
        )
    if not _is_true(fields.get("binarydata", "true")):
        raise UserError(path, expected="binary voxels", found="text", remedy="convert it to .nii.gz")
    raw = path.read_bytes()[start:] if not files else (path.parent / files[0]).read_bytes()
    if _is_true(fields.get("compresseddata", "")):
        raw = _decompressed(path, raw)
    dtype = _type(path, fields.get("elementtype", ""), len(raw), math.prod(shape))
    expected = math.prod(shape) * dtype.itemsize
    skip = _skipped(path, fields, len(raw), expected)
    if len(raw) - skip < expected:
        raise UserError(
            path,
            expected=f"a readable image of {expected} bytes",
            found=f"{max(len(raw) - skip, 0)}: it is damaged or truncated",
            remedy="export or copy it again",
        )
    big = any(_is_true(fields.get(key, "")) for key in ("binarydatabyteordermsb", "elementbyteordermsb"))
    array = np.frombuffer(raw, dtype.newbyteorder(">" if big else "<"), math.prod(shape), skip)
    if not any(name in fields for name in _DIRECTIONS):
        warn_of_default_directions(path, "ITK's default, x to the left, y to the back")
    else:
        _compare_orientation(path, fields, grid)
    if not any(name in fields for name in _POSITIONS):
        warn_of_default_position(path)
    return array.reshape(shape, order="F"), grid.affine


def _grid(path: Path, fields: dict[str, str]) -> Grid:
    shape = tuple(int(count) for count in _numbers(path, fields, "dimsize"))
    if len(shape) != 3 or min(shape, default=0) < 1:
        raise UserError(
            path,
            expected="a 3D volume",
            found=f"{len(shape)} axes of {shape}",
            remedy="split a time series into one file per time point, stack single slices",
        )
    spacing = _numbers(path, fields, "elementspacing", "elementsize", count=3)
    origin = _numbers(path, fields, *_POSITIONS, count=3, default=[0.0] * 3)
    axes = np.array(_numbers(path, fields, *_DIRECTIONS, count=9, default=np.eye(3).ravel().tolist())).reshape(3, 3)
    lengths = np.linalg.norm(axes, axis=1)
    if np.isfinite(lengths).all() and not np.allclose(lengths, 1, atol=_UNIT_LENGTH):
        raise UserError(
            path,
            expected="axes of length 1 as TransformMatrix",
            found=f"lengths {', '.join(f'{length:.4g}' for length in lengths)}, which contradict ElementSpacing",
            remedy="export it again",
        )
    affine = np.eye(4)
    affine[:3, :3] = axes.T @ np.diag(spacing)  # a row of the matrix is an axis of the image
    affine[:3, 3] = origin
    if fields.get("distanceunits", "?") != "?":  # the word that MetaIO writes where none was set
        affine[:3] *= named_unit(path, "DistanceUnits", fields["distanceunits"])
    return Grid(shape, _LPS_TO_RAS @ affine)


def _compare_orientation(path: Path, fields: dict[str, str], grid: Grid) -> None:
    """Warn where the letters that say from where the axes come contradict the axes, which count."""
    code = fields.get("anatomicalorientation", "").upper()
    own = "".join(nib.aff2axcodes(grid.affine)).translate(_OPPOSITE)
    if set(code) <= set("RLAPIS") and len(code) == 3 and code != own:
        warn_of_header(path, f"says {code} as AnatomicalOrientation and {own} by its TransformMatrix, which counts")


def _is_true(value: str) -> bool:
    return value[:1] in ("t", "1")  # as ITK does


def _decompressed(path: Path, raw: bytes) -> bytes:
    try:
        return isal_zlib.decompress(raw)
    # isal's stub takes its error for an instance
    except (isal_zlib.error, zlib.error, EOFError, ValueError) as error:  # type: ignore[misc]
        raise UserError(
            path,
            expected="a readable image",
            found=f"a damaged or truncated stream of voxels ({error})",
            remedy="export or copy it again",
        ) from error


def _type(path: Path, name: str, found: int, voxels: int) -> np.dtype:
    name = name.removeprefix("met_")
    if name in _EITHER:
        return np.dtype(_EITHER[name][found >= 8 * voxels])
    if name not in _TYPES:
        raise UserError(
            path, expected="a readable image", found=f"voxels of type {name!r}", remedy="convert it to .nii.gz"
        )
    return np.dtype(_TYPES[name])


def _skipped(path: Path, fields: dict[str, str], found: int, expected: int) -> int:
    """Bytes before the voxels in a data file: ``HeaderSize``, where -1 means that the voxels are its end."""
    (size,) = _numbers(path, fields, "headersize", count=1, default=[0.0])
    return max(found - expected, 0) if size == -1 else max(int(size), 0)


def _numbers(
    path: Path, fields: dict[str, str], *names: str, count: int | None = None, default: list[float] | None = None
) -> list[float]:
    """The numbers under the one of ``names``, words for one thing, that the header has."""
    texts = {name: fields[name] for name in names if name in fields}
    if not texts and default is not None:
        return default
    text = next(iter(texts.values()), "")
    numbers = _floats(text)
    if any(_floats(other) != numbers for other in texts.values()):
        both = " and ".join(f"{words} as {_AS_WRITTEN[name]}" for name, words in texts.items())
        raise UserError(path, expected="one value", found=both, remedy="export it again, or remove the wrong one")
    whole = names[0] not in ("dimsize", "headersize") or all(number.is_integer() for number in numbers)
    if not numbers or not whole or len(numbers) != (count or len(numbers)):
        expected = f"{count} numbers" if count else "integers"
        raise UserError(
            path,
            expected=f"a readable image, with {expected} as {names[0]}",
            found=f"{text[:60]!r}",
            remedy="export or copy it again",
        )
    return numbers


def _floats(text: str) -> list[float]:
    try:
        return [float(number) for number in text.split()]
    except ValueError:
        return []
