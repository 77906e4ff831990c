"""A folder of DICOM slices to an array and an affine: SimpleITK for pixels, slice positions checked one by one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from monai_cl.data.dicom.frames import read_frames
from monai_cl.data.dicom.spacing import are_even, interpolate_slices
from monai_cl.errors import UserError
from monai_cl.files import check_name

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
_SERIES_UID, _DESCRIPTION, _MODALITY = "0020|000e", "0008|103e", "0008|0060"
# media storage classes whose file must hold readable pixels: CT, enhanced CT, MR, enhanced MR, secondary capture
_IMAGE_CLASSES = tuple(f"1.2.840.10008.5.1.4.1.1.{tail}" for tail in ("2", "2.1", "4", "4.1", "7"))
_TYPES = {sitk.sitkUInt8: "u1", sitk.sitkInt8: "i1", sitk.sitkUInt16: "u2", sitk.sitkInt16: "i2", sitk.sitkUInt32: "u4"}
_TYPES |= {sitk.sitkInt32: "i4", sitk.sitkInt64: "i8", sitk.sitkFloat32: "f4", sitk.sitkFloat64: "f8"}


@dataclass(frozen=True)
class _Slice:
    path: Path
    series: str
    description: str
    modality: str
    origin: np.ndarray  # LPS mm
    direction: np.ndarray  # (3, 3), columns are the image axes in LPS
    spacing: tuple[float, ...]
    size: tuple[int, ...]
    pixel_type: int  # SimpleITK's, after rescaling


def read_dicom_series(
    path: Path, *, series: str | None = None, uneven_slices: str = "error"
) -> tuple[np.ndarray, np.ndarray]:
    """Read the DICOM series in a folder, or one multi-frame file.

    Args:
        path: folder with the slices of one series (other files in it are passed over), or one DICOM file; for one of
            several frames the extra ``dicom`` is needed.
        series: the Series Instance UID to take where the folder holds several.
        uneven_slices: ``"error"``, or ``"interpolate"``: drop repeated positions and interpolate linearly to the
            median slice distance.

    Returns:
        array (X, Y, Z) in HU with z along the stack, float32 where a slice has a fractional rescale slope, and affine
        (4, 4), voxel -> RAS mm, sheared by a tilted gantry.

    Raises:
        UserError: no image or several series, slices missing, repeated or unevenly spaced, other sizes or directions
            among the slices, a file that cannot be decoded, DICOM SEG.
    """
    if uneven_slices not in ("error", "interpolate"):
        raise ValueError(f'uneven_slices must be "error" or "interpolate", got {uneven_slices!r}')
    slices = _stack(path, series)
    first = slices[0]
    if len(slices) == 1 and first.size[2:] not in ((), (1,)):
        return _read_frames(first.path, uneven_slices=uneven_slices)
    if len(slices) == 1:
        return _decode([first.path]), _frame_affine(first)
    origins, names = np.stack([item.origin for item in slices]), [item.path.name for item in slices]
    positions = origins @ _normal(first)
    even = are_even(path, names, positions, uneven_slices=uneven_slices)
    array = _decode([item.path for item in slices], _common_type(slices))
    if not even:
        array, origins = interpolate_slices(array, origins, positions)
    return array, _stack_affine(first.direction, first.spacing, origins)


def _read_frames(path: Path, *, uneven_slices: str) -> tuple[np.ndarray, np.ndarray]:
    frames = read_frames(path)
    order = frames.order
    origins, positions = frames.origins[order], frames.positions[order]
    even = are_even(path, [f"frame {n + 1}" for n in order], positions, uneven_slices=uneven_slices)
    array = _decode([path])
    if array.shape[2] != len(order):
        raise UserError(f"{path}: expected {len(order)} frames, found {array.shape[2]}; copy or export the file again")
    array = array[..., order]
    if not even:
        array, origins = interpolate_slices(array, origins, positions)
    return array, _stack_affine(frames.direction, frames.spacing, origins)


def series_grid(path: Path, *, series: str | None = None) -> tuple[tuple[int, int, int], np.ndarray]:
    """Shape and affine that :func:`read_dicom_series` gives, from the headers alone.

    Raises:
        UserError: as :func:`read_dicom_series`, but for pixels that cannot be decoded.
    """
    slices = _stack(path, series)
    first = slices[0]
    if len(slices) == 1 and first.size[2:] not in ((), (1,)):
        frames = read_frames(first.path)
        origins, names = frames.origins[frames.order], [f"frame {n + 1}" for n in frames.order]
        direction, spacing = frames.direction, frames.spacing
    elif len(slices) == 1:
        return (*first.size[:2], 1), _frame_affine(first)
    else:
        origins, names = np.stack([item.origin for item in slices]), [item.path.name for item in slices]
        direction, spacing = first.direction, first.spacing
    are_even(path, names, origins @ np.cross(direction[:, 0], direction[:, 1]), uneven_slices="error")
    return (*first.size[:2], len(origins)), _stack_affine(direction, spacing, origins)


def series_files(path: Path, *, series: str | None = None) -> list[Path]:
    """The files of a series in the order of the z axis of :func:`read_dicom_series`; one multi-frame file is alone.

    Raises:
        UserError: as :func:`read_dicom_series`, but for what is wrong with the distances of the slices.
    """
    return [item.path for item in _stack(path, series)]


def _stack(path: Path, series: str | None) -> list[_Slice]:
    """The slices of one series, along their normal."""
    slices = _one_series(path, _scan(path), series)
    first = slices[0]
    if first.modality == "SEG":
        raise UserError(
            f"{first.path}: expected a CT image, found DICOM SEG; convert the segmentation to NIfTI or NRRD first"
        )
    if len(slices) > 1:
        _check_same_frame(path, slices)
    normal = _normal(first)
    return sorted(slices, key=lambda item: float(item.origin @ normal))


def _normal(item: _Slice) -> np.ndarray:
    return np.cross(item.direction[:, 0], item.direction[:, 1])


def _scan(path: Path) -> list[_Slice]:
    files = [path] if path.is_file() else sorted(file for file in path.iterdir() if file.is_file())
    slices = [found for file in files if (found := _read_header(file)) is not None]
    if not slices:
        raise UserError(
            f"{path}: expected a folder of DICOM slices, found no DICOM image among {len(files)} files in it; "
            "name the folder of the series itself"
        )
    return slices


def _read_header(file: Path) -> _Slice | None:
    if file.name == "DICOMDIR" or file.name.startswith("."):
        return None
    check_name(file)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(os.fspath(file))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        if _claims_to_be_an_image(file):
            raise UserError(f"{file}: expected a readable DICOM slice, found a damaged one; copy it again") from error
        return None
    tags = set(reader.GetMetaDataKeys())

    def tag(name: str) -> str:
        return reader.GetMetaData(name).strip(" \0") if name in tags else ""

    return _Slice(
        path=file,
        series=tag(_SERIES_UID),
        description=tag(_DESCRIPTION),
        modality=tag(_MODALITY),
        origin=np.array(reader.GetOrigin()),
        direction=np.array(reader.GetDirection()).reshape(3, 3),
        spacing=tuple(reader.GetSpacing()),
        size=tuple(reader.GetSize()),
        pixel_type=reader.GetPixelID(),
    )


def _claims_to_be_an_image(file: Path) -> bool:
    """Whether the file's meta header says "image": an unreadable report or plan may be passed over, a slice may not."""
    with file.open("rb") as handle:
        start = handle.read(1024)
    if start[128:132] != b"DICM":
        return False
    at = start.find(b"\x02\x00\x02\x00UI")  # (0002,0002) Media Storage SOP Class UID, explicit little endian
    if at < 0:
        return False
    length = int.from_bytes(start[at + 6 : at + 8], "little")
    return start[at + 8 : at + 8 + length].rstrip(b"\0 ").decode("ascii", "replace") in _IMAGE_CLASSES


def _one_series(path: Path, slices: list[_Slice], series: str | None) -> list[_Slice]:
    groups: dict[str, list[_Slice]] = {}
    for item in slices:
        groups.setdefault(item.series, []).append(item)
    names = ", ".join(
        f"{uid or '(no UID)'} ({len(items)} files{', ' + items[0].description if items[0].description else ''})"
        for uid, items in sorted(groups.items())
    )
    if series is not None:
        if series not in groups:
            raise UserError(f"{path}: expected DICOM series {series}, found {names}")
        return groups[series]
    if len(groups) > 1:
        raise UserError(f"{path}: expected one DICOM series, found {len(groups)}: {names}; give each its own folder")
    return next(iter(groups.values()))


def _check_same_frame(path: Path, slices: Sequence[_Slice]) -> None:
    first = slices[0]
    for item in slices:
        if item.size[2:] != (1,):
            raise UserError(f"{path}: expected single slices, found the multi-frame file {item.path.name} among others")
        if item.size != first.size or not np.allclose(item.spacing[:2], first.spacing[:2], rtol=1e-4):
            raise UserError(
                f"{path}: expected slices of one size, found {first.size[:2]} at {first.spacing[:2]} mm in "
                f"{first.path.name} and {item.size[:2]} at {item.spacing[:2]} mm in {item.path.name}; "
                "take localizers and other images out of the folder"
            )
        if not np.allclose(item.direction, first.direction, atol=1e-3):
            raise UserError(
                f"{path}: expected slices of one direction, found {first.path.name} and {item.path.name} turned "
                "against each other; take localizers and reformats out of the folder"
            )


def _common_type(slices: Sequence[_Slice]) -> int:
    """A type for the values of every slice: each has its own slope, and SimpleITK takes the type of the first."""
    if any(item.pixel_type not in _TYPES for item in slices):
        return sitk.sitkUnknown  # colours
    common = np.result_type(*(_TYPES[item.pixel_type] for item in slices))
    if common.kind == "f":
        return sitk.sitkFloat32
    return next(number for number, name in _TYPES.items() if np.dtype(name) == common)


def _decode(files: Sequence[Path], pixel_type: int = sitk.sitkUnknown) -> np.ndarray:
    """Pixels (X, Y, Z) with rescale slope and intercept applied; of an unknown type, the type of the first."""
    reader = sitk.ImageSeriesReader()
    reader.SetOutputPixelType(pixel_type)
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileNames([os.fspath(file) for file in files])
    try:
        array = sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise UserError(
            f"{files[0].parent}: expected decodable DICOM slices, found: {reason}; copy or export the series again"
        ) from error
    if array.ndim == 4 and array.shape[0] == 1:
        array = array[0]  # one file of several frames
    if array.ndim != 3:
        raise UserError(f"{files[0]}: expected one grey value a voxel, found an array of shape {array.shape}")
    return array.transpose(2, 1, 0)


def _stack_affine(direction: np.ndarray, spacing: Sequence[float], origins: np.ndarray) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, 0] = direction[:, 0] * spacing[0]
    affine[:3, 1] = direction[:, 1] * spacing[1]
    affine[:3, 2] = (origins[-1] - origins[0]) / (len(origins) - 1)
    affine[:3, 3] = origins[0]
    affine[:3] = _LPS_TO_RAS @ affine[:3]
    return affine


def _frame_affine(item: _Slice) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = _LPS_TO_RAS @ item.direction @ np.diag(item.spacing)
    affine[:3, 3] = _LPS_TO_RAS @ item.origin
    return affine
