"""One NIfTI file to its grid, or to an array and an affine: nibabel for the header, gzip with its CRC checked."""

from __future__ import annotations

import gzip
import io
import math
import shlex
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
from isal import igzip, isal_zlib

from monai_cl.data.grid import Grid
from monai_cl.data.io.units import nifti_unit, warn_of_default_directions
from monai_cl.errors import UserError

_GZIP_MAGIC = b"\x1f\x8b"
# pixdim and sform may differ by this part: they are rounded apart
_SPACING_RATIO = 0.01
# the square of the quaternion's first part is 1 less the squares of the three that a header holds as float32
_QUATERNION_ERROR = 4 * float(np.finfo(np.float32).eps)
# no deflate stream becomes longer than this many times itself
_DEFLATE_RATIO = 1032
_LONGEST_HEADER = 544
_IMAGES = {348: nib.Nifti1Image, 540: nib.Nifti2Image}


def nifti_grid(path: Path) -> Grid:
    """The grid of a file by its header: sform, else qform, else the header's spacing; trailing axes of length 1 drop.

    Raises:
        UserError: not a NIfTI file, a stream or a header that is damaged at its start, or two forms that differ.
    """
    try:
        with open(path, "rb") as stream:
            raw = stream.read(_LONGEST_HEADER)
        if raw.startswith(_GZIP_MAGIC):
            with gzip.open(path) as stream:
                raw = stream.read(_LONGEST_HEADER)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(path, expected="a readable file", cause=error, remedy="copy or download it again") from None
    image_class = _image_class(raw)
    if image_class is None:
        found = f"other bytes at its start ({raw[:4].hex(' ')})" if raw else "an empty file"
        raise UserError(path, expected="a NIfTI header", found=found, remedy="copy or convert the file again")
    try:
        header = _header(image_class, raw)
        shape, affine = tuple(map(int, header.get_data_shape())), np.asarray(header.get_best_affine(), dtype=float)
    except (ValueError, nib.spatialimages.HeaderDataError) as error:
        raise UserError(path, expected="a NIfTI header", found=f"a damaged one ({error})") from None
    unit = nifti_unit(path, header["xyzt_units"])
    affine[:3] *= unit
    _check_forms_agree(path, header, unit)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    return Grid(shape, affine)


def read_nifti(path: Path, *, form: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Read a NIfTI-1 or NIfTI-2 file.

    The bytes come from exactly this file, compressed or not according to its first bytes, so a sibling ``x.nii`` is
    never taken for ``x.nii.gz``. Integer voxels without scaling stay integers; scaled ones become float64.

    Args:
        path: the file.
        form: ``"sform"`` or ``"qform"``, to read the affine from, where a header contradicts itself.

    Returns:
        array in file order, any number of axes, and the affine voxel -> RAS mm (4, 4): sform, else qform, else the
        header's spacing centred at the origin (nibabel's rule). Metres and micrometres are converted.

    Raises:
        UserError: a truncated or damaged file, not a NIfTI file, colour or complex voxels, voxels that begin inside the
            header, an unknown unit, a spacing of 0, or two spacings, or a qform and an sform, that contradict each
            other.
    """
    raw, size = _file_bytes(path)
    image_class = _image_class(raw)
    if image_class is None:
        raise UserError(
            path, expected="a NIfTI header", found="other bytes or too few", remedy="convert the file to NIfTI"
        )
    header = _header(image_class, raw)
    _check_header(path, header, size)
    try:
        image = image_class.from_bytes(raw)
        array = np.asanyarray(image.dataobj)
        affine = np.asarray(image.affine, dtype=np.float64)
    except (OSError, ValueError, nib.spatialimages.HeaderDataError, nib.filebasedimages.ImageFileError) as error:
        raise UserError(
            path, expected="a readable NIfTI file", cause=error, remedy="export or download it again"
        ) from error
    if form is None:
        _check_spacings_agree(path, header, affine)
    else:
        affine = _form(path, header, form)
    unit = nifti_unit(path, header["xyzt_units"])
    affine[:3] *= unit
    if form is None:
        _check_forms_agree(path, header, unit)
    if header["sform_code"] == 0 and header["qform_code"] == 0:
        warn_of_default_directions(path, "NIfTI's default, x to the left, y to the front")
    return array, affine


def _file_bytes(path: Path) -> tuple[bytes, int]:
    """The header and the voxels it describes, and the length of the whole file; both after decompression."""
    data = path.read_bytes()
    if not data.startswith(_GZIP_MAGIC):
        return data, len(data)
    try:
        return _inflated(data)
    # isal's stub takes its error for an instance
    except (OSError, EOFError, ValueError, zlib.error, isal_zlib.error) as error:  # type: ignore[misc]
        raise UserError(
            path,
            expected="a whole gzip file",
            found=f"a damaged or truncated one ({error})",
            remedy="copy or download it again",
        ) from error


def _inflated(data: bytes) -> tuple[bytes, int]:
    """Keep only what the header declares: a small file may expand to gigabytes; the rest is read for its checksums."""
    with igzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
        stated_bytes = _bytes_said(stream.read(_LONGEST_HEADER))
    with igzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
        # a header that claims more than there can be is refused too, without allocating memory for it
        raw = stream.read(stated_bytes if stated_bytes <= _DEFLATE_RATIO * len(data) else _LONGEST_HEADER)
        size = len(raw)
        while block := stream.read(1 << 20):
            size += len(block)
    return raw, size


def _bytes_said(start: bytes) -> int:
    """Length of header and voxels by the header, and no less than a header; of other files, that of a header."""
    image_class = _image_class(start)
    if image_class is None:
        return _LONGEST_HEADER
    try:
        return _LONGEST_HEADER + max(_expected_bytes(_header(image_class, start)), 0)
    except (ValueError, OverflowError, KeyError, nib.spatialimages.HeaderDataError):
        return _LONGEST_HEADER


def _expected_bytes(header: nib.Nifti1Header) -> int:
    return int(header["vox_offset"]) + math.prod(map(int, header.get_data_shape())) * header.get_data_dtype().itemsize


def _image_class(raw: bytes) -> type[nib.Nifti1Image] | None:
    """NIfTI-1 or NIfTI-2, by the size that a header begins with; None for other bytes or too few."""
    sizes = [int.from_bytes(raw[:4], order) for order in ("little", "big")]
    return next((_IMAGES[size] for size in sizes if size in _IMAGES and len(raw) >= size), None)


def _header(image_class: type[nib.Nifti1Image], raw: bytes) -> nib.Nifti1Header:
    """The header at the start of ``raw`` as it stands there, unrepaired."""
    return image_class.header_class(raw[: image_class.header_class.sizeof_hdr], check=False)


def _check_header(path: Path, header: nib.Nifti1Header, file_size: int) -> None:
    magic = bytes(header["magic"].tobytes()).rstrip(b"\0")[:3]
    if magic not in (b"n+1", b"n+2"):
        raise UserError(
            path,
            expected="a single-file NIfTI (.nii, .nii.gz)",
            found="an Analyze header or one half of a .hdr/.img pair",
            remedy="convert it to .nii.gz",
        )
    try:
        dtype = header.get_data_dtype()
        shape = header.get_data_shape()
        expected = _expected_bytes(header)
    except (nib.spatialimages.HeaderDataError, KeyError, ValueError, OverflowError) as error:
        raise UserError(
            path, expected="a known voxel type, shape and place", found=error, remedy="write the file again"
        ) from error
    if dtype.fields is not None or dtype.kind not in "iuf":
        raise UserError(
            path, expected="one value per voxel", found=f"type {dtype}", remedy="export grey values, not colours"
        )
    if header["vox_offset"] < header.single_vox_offset:
        raise UserError(
            path,
            expected=f"voxels after the header, a vox_offset of {header.single_vox_offset} or more",
            found=f"{header['vox_offset']:g}",
            remedy="export it again from its source; a copy of this file would hold wrong voxels",
        )
    if file_size < expected:
        raise UserError(
            path,
            expected=f"{expected} bytes for shape {tuple(shape)} of {dtype}",
            found=f"{file_size}: the file is truncated",
            remedy="copy or download it again",
        )
    spacing = np.asarray(header["pixdim"][1:4], dtype=float)
    if header["sform_code"] == 0 and not (np.isfinite(spacing).all() and (spacing != 0).all()):
        # nibabel would silently use 1 mm instead
        raise UserError(
            path,
            expected="a voxel spacing > 0 mm on every axis",
            found=spacing.tolist(),
            remedy="correct pixdim in the header",
        )


def _check_spacings_agree(path: Path, header: nib.Nifti1Header, affine: np.ndarray) -> None:
    """nibabel believes the sform, MONAI at times the header's spacing; where they differ, the user must decide."""
    stated, measured = np.asarray(header["pixdim"][1:4], dtype=float), np.linalg.norm(affine[:3, :3], axis=0)
    if header["sform_code"] == 0 or not (np.isfinite(stated) & (stated > 0)).all() or not (measured > 0).all():
        return
    if not np.allclose(stated, measured, rtol=_SPACING_RATIO):
        remedy = f"look which of them fits the anatomy: {_form_command(path, 'sform')} keeps the sform's"
        if header["qform_code"]:
            remedy += ", --form qform keeps pixdim"
        raise UserError(
            path,
            expected="one voxel spacing",
            found=f"{np.round(stated, 4).tolist()} mm as pixdim and {np.round(measured, 4).tolist()} mm in the sform",
            remedy=f"{remedy}; or export it again",
        )


def _check_forms_agree(path: Path, header: nib.Nifti1Header, unit: float = 1.0) -> None:
    """nibabel believes the sform, ITK and its viewers the qform; where the two differ, somebody must decide.

    ``unit``: mm in the header's unit of length.
    """
    shape = tuple(map(int, header.get_data_shape()[:3]))
    if header["sform_code"] == 0 or header["qform_code"] == 0 or len(shape) < 3 or 0 in shape:
        return
    scale = np.diag([unit, unit, unit, 1.0])
    with np.errstate(all="ignore"):
        sform, far = Grid(shape, scale @ header.get_sform()), ""
        faults = {"sform": _fault(sform)}
        try:
            affine, rounding = _qform(header)
        except (ValueError, nib.spatialimages.HeaderDataError) as error:
            faults["qform"] = f"that is not a rotation ({error})"
        else:
            qform = Grid(shape, scale @ affine)
            faults["qform"] = _fault(qform)
        if all(faults.values()):
            return  # refused for itself
        if not any(faults.values()):
            apart = sform.corner_distance(qform)
            # a rotation that is off by some radians moves a corner by as many times its distance
            if apart <= sform.tolerance + rounding * float(np.linalg.norm(np.multiply(shape, sform.spacing))):
                return
            far = f", up to {apart:.4g} mm apart"
    stated = f"a qform {faults['qform'] or f'with the first voxel at {_place(qform)} mm'}"
    stated += f" and an sform {faults['sform'] or f'with it at {_place(sform)} mm'}{far}"
    kept = "qform" if faults["sform"] else "sform"
    remedy = f"{_form_command(path, kept)} keeps the {kept}"
    if not any(faults.values()):
        remedy = f"look which of them fits the anatomy: {remedy}, --form qform keeps the qform"
    raise UserError(path, expected="a qform and an sform that agree", found=stated, remedy=remedy)


def _fault(form: Grid) -> str | None:
    """Why a form is no place for voxels."""
    if not np.isfinite(form.affine).all():
        return "that is not finite"
    singular = abs(np.linalg.det(form.affine[:3, :3])) <= 1e-3 * np.prod(form.spacing)
    return "that is singular" if singular else None


def _form_command(path: Path, form: str) -> str:
    return f"python -m monai_cl convert {shlex.quote(str(path))} NEW.nii.gz --form {form}"


def _form(path: Path, header: nib.Nifti1Header, form: str) -> np.ndarray:
    """The one form of a header (4, 4), in its unit of length; raises UserError where it is switched off or none."""
    try:
        if header[f"{form}_code"] != 0:
            return _qform(header)[0] if form == "qform" else np.asarray(header.get_sform(), dtype=float)
        found = "it switched off"
    except (ValueError, nib.spatialimages.HeaderDataError) as error:
        found = f"none ({error})"
    raise UserError(path, expected=f"a {form}" if form == "qform" else "an sform", found=found, remedy="take the other")


def _qform(header: nib.Nifti1Header) -> tuple[np.ndarray, float]:
    """The qform (4, 4), and by how many radians the rounding of its quaternion may turn it."""
    header = header.copy()
    if header["pixdim"][0] == 0:  # the standard counts it as 1, nibabel refuses it
        header["pixdim"][0] = 1
    affine = np.asarray(header.get_qform(), dtype=float)
    parts = np.asarray([header["quatern_b"], header["quatern_c"], header["quatern_d"]], dtype=float)
    square = max(1 - float(parts @ parts), 0.0)
    upper, lower = math.sqrt(square + _QUATERNION_ERROR), math.sqrt(max(square - _QUATERNION_ERROR, 0))
    return affine, 2 * (upper - lower)  # the first part is the cosine of half the angle


def _place(grid: Grid) -> str:
    return f"({', '.join(f'{at:.4g}' for at in grid.affine[:3, 3])})"
