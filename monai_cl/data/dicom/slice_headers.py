"""What the header of each DICOM file in a folder says, and which of the files form one series; no pixels are read."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from monai_cl.data.dicom import kinds, parts, stated
from monai_cl.errors import UserError
from monai_cl.files import check_name

logger = logging.getLogger(__name__)

_SERIES_UID, _DESCRIPTION, _MODALITY, _SOP_CLASS = "0020|000e", "0008|103e", "0008|0060", "0008|0016"
_TAGS = stated.TAGS | parts.TAGS
# media storage classes whose file must hold readable pixels: CT, enhanced CT, MR, enhanced MR, secondary capture
_IMAGE_CLASSES = tuple(f"1.2.840.10008.5.1.4.1.1.{tail}" for tail in ("2", "2.1", "4", "4.1", "7"))
# modalities of 2D images, whose headers do not say where in the patient they lie
_PLANAR = ("CR", "DX", "MG", "IO", "PX", "RG", "RF", "XA", "US")
# phase of contrast -> what descriptions of series call it, in the order in which they are looked for
_PHASES = {
    "native": r"\b(native|unenhanced|non[- ]?contrast|without contrast|w/?o contrast)\b",
    "arterial": r"\barterial\b",
    "portal venous": r"\bportal\b",
    "venous": r"\bvenous\b",
    "delayed": r"\b(delayed|late phase|excretory|nephrographic)\b",
}


@dataclass(frozen=True, eq=False)
class SliceHeader:
    """What SimpleITK reads of one file, a slice or several frames.

    Attributes:
        path: the file.
        series: Series Instance UID, or "".
        description: of the series, or "".
        modality: such as ``"CT"``, or "".
        sop_class: UID of the kind of object, or "".
        origin: (3,), LPS mm, of the first voxel.
        direction: (3, 3), columns are the image axes in LPS.
        spacing: mm along the image axes.
        size: voxels along the image axes, two or three.
        pixel_type: SimpleITK's, after rescaling.
        stated: keyword -> text of the header, for what :mod:`stated` and :mod:`parts` look at.
    """

    path: Path
    series: str
    description: str
    modality: str
    sop_class: str
    origin: np.ndarray
    direction: np.ndarray
    spacing: tuple[float, ...]
    size: tuple[int, ...]
    pixel_type: int
    stated: dict[str, str] = field(default_factory=dict)

    @property
    def is_multi_frame(self) -> bool:
        """Whether the file holds frames, of which each has a position of its own; also a single one."""
        return self.size[2:] not in ((), (1,)) or ("NumberOfFrames" in self.stated and not self.has_position)

    @property
    def is_single_image(self) -> bool:
        """Whether it is one 2D image without a place in the patient: an X-ray or an ultrasound image."""
        return self.modality in _PLANAR and self.size[2:] in ((), (1,)) and not self.has_position

    @property
    def has_position(self) -> bool:
        """Whether the header states where the slice lies."""
        return bool(self.stated.get("ImagePositionPatient"))

    @property
    def normal(self) -> np.ndarray:
        """(3,), LPS, perpendicular to the rows and columns."""
        return np.cross(self.direction[:, 0], self.direction[:, 1])


def read_slices(path: Path, *, series: str | None = None, series_part: str | None = None) -> list[SliceHeader]:
    """The slices of one series, in order along their normal; each file is opened once.

    Args:
        path: folder of the series (files that are not DICOM images are ignored), or one DICOM file. A single X-ray or
            ultrasound image, which has no place in the patient, lies where its display says.
        series: Series Instance UID, where the folder holds several.
        series_part: the acquisition to take where the series has several (see :func:`choose_part`).

    Raises:
        UserError: no image (what there is instead is named by kind), several series, several acquisitions, other sizes
            or directions among the slices, several patients, studies or frames of reference, a damaged file, a header
            that does not state its geometry, or of CT, how its values become HU, inverted grey values.
    """
    slices = _one_series(path, _scan(path), series)
    first = slices[0]
    if len(slices) == 1 and first.is_single_image:
        return [_as_displayed(first)]
    for item in slices:
        stated.check_not_inverted(item.path, item.stated)
    stated.check_one_subject(path, [item.path for item in slices], [item.stated for item in slices])
    if len(slices) == 1 and first.is_multi_frame:
        return slices
    for item in slices:
        if item.is_multi_frame:
            raise UserError(path, expected="single slices", found=f"the multi-frame file {item.path.name} among others")
    slices = [_as_stated(item) for item in slices]
    _check_same_frame(path, slices)
    positions = np.array([item.origin @ slices[0].normal for item in slices])
    chosen = parts.choose_part(path, [item.stated for item in slices], positions, series_part)
    chosen = chosen[np.argsort(positions[chosen], kind="stable")]
    slices = [slices[number] for number in chosen]
    if len(slices) == 1:
        (item,) = slices
        slices = [replace(item, spacing=(*item.spacing[:2], stated.slice_depth(item.path, item.stated)))]
    return slices


def single_images(folder: Path) -> list[Path]:
    """The DICOM files of a folder that holds several single images, X-rays or ultrasound, and no slice of a volume.

    Args:
        folder: of files; those below it do not count.

    Returns:
        Sorted; empty where one of them belongs to a volume, and where there is one alone.
    """
    images = _scan(folder)
    single = len(images) > 1 and all(image.is_single_image for image in images)
    return sorted(image.path for image in images) if single else []


def series_modality(path: Path) -> str:
    """The modality of the first image of a series, or ""; CT is known by its kind of object too.

    Args:
        path: as for :func:`read_slices`; only as many files are opened as it takes.
    """
    header = _first_image(files_of(path))
    if header is None:
        return ""
    is_ct = bool(header.sop_class) and stated.is_ct("", header.sop_class)
    return "CT" if is_ct else header.modality


def series_contrast(path: Path) -> str:
    """What the first image of a series says of contrast: a phase named in its description or protocol, else "contrast"
    where an agent is stated, else "".

    Args:
        path: as for :func:`read_slices`; only as many files are opened as it takes.
    """
    header = _first_image(files_of(path))
    texts = {} if header is None else header.stated
    words = " ".join(texts.get(name, "") for name in ("SeriesDescription", "ProtocolName")).lower()
    if phase := next((phase for phase, pattern in _PHASES.items() if re.search(pattern, words)), ""):
        return phase
    return "contrast" if texts.get("ContrastBolusAgent") else ""


def series_patient(path: Path) -> str:
    """The PatientID of a series, or "".

    Args:
        path: as for :func:`read_slices`; two images are looked at.

    Raises:
        UserError: the last image by name is of another series than the first.
    """
    first, last = (_first_image(files) for files in (files_of(path), files_of(path)[::-1]))
    if first is None or last is None:
        return ""
    if first.series != last.series:
        raise UserError(path, expected="one DICOM series", found="several", remedy="give each its own folder")
    return first.stated.get("PatientID", "")


def _first_image(files: Sequence[Path]) -> SliceHeader | None:
    headers = (_read_header(file) for file in files)
    return next((one for one in headers if one is not None and kinds.other_kind(one.sop_class) is None), None)


def files_of(path: Path) -> list[Path]:
    """The files in a folder, sorted by name, or the one file."""
    return [path] if path.is_file() else sorted(file for file in path.iterdir() if file.is_file())


def _scan(path: Path) -> list[SliceHeader]:
    """The images among the files; what else there is of DICOM is reported by kind, alone it is refused."""
    files = files_of(path)
    slices: list[SliceHeader] = []
    others: list[tuple[Path, str]] = []
    for file in files:
        header = _read_header(file)
        kind = kinds.other_kind(header.sop_class if header else _stored_class(file))
        if kind is not None:
            others.append((file, kind))
        if header is not None and (kind is None or (kind == kinds.SECONDARY_CAPTURE and header.has_position)):
            slices.append(header)
    images = [item for item in slices if kinds.other_kind(item.sop_class) is None]
    slices = images or slices
    left_out = [(file, kind) for file, kind in others if file not in {item.path for item in slices}]
    if not slices and left_out:
        raise UserError(
            path,
            expected="a DICOM image",
            found=kinds.listed_kinds(left_out),
            remedy="name the series that it belongs to",
        )
    if not slices:
        raise UserError(
            path,
            expected="a folder of DICOM slices",
            found=f"no DICOM image among {len(files)} files in it",
            remedy="name the folder of the series itself",
        )
    if left_out:
        logger.warning("%s: passed over %s", path, kinds.listed_kinds(left_out))
    return slices


def _read_header(file: Path) -> SliceHeader | None:
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
            raise UserError(
                file, expected="a readable DICOM slice", found="a damaged one", remedy="copy it again"
            ) from error
        return None
    tags = set(reader.GetMetaDataKeys())

    def tag(name: str) -> str:
        return reader.GetMetaData(name).strip(" \0") if name in tags else ""

    return SliceHeader(
        path=file,
        series=tag(_SERIES_UID),
        description=tag(_DESCRIPTION),
        modality=tag(_MODALITY),
        sop_class=tag(_SOP_CLASS),
        origin=np.array(reader.GetOrigin()),
        direction=np.array(reader.GetDirection()).reshape(3, 3),
        spacing=tuple(reader.GetSpacing()),
        size=tuple(reader.GetSize()),
        pixel_type=reader.GetPixelID(),
        stated={name: tag(key) for name, key in _TAGS.items() if key in tags},
    )


def _as_stated(item: SliceHeader) -> SliceHeader:
    """The slice with the geometry that its header states, for what it leaves out is an error."""
    if stated.is_ct(item.modality, item.sop_class):
        stated.check_hounsfield(item.path, item.stated)
    return replace(
        item,
        origin=stated.position(item.path, item.stated),
        direction=stated.direction(item.path, item.stated),
        spacing=(*stated.pixel_spacing(item.path, item.stated), item.spacing[2]),
    )


def _as_displayed(item: SliceHeader) -> SliceHeader:
    """A single image as it is displayed: up is the patient's front, left their right; 1 mm a pixel if not stated."""
    for name in ("PixelSpacing", "ImagerPixelSpacing"):
        if item.stated.get(name):
            edges = stated.pixel_spacing(item.path, {"PixelSpacing": item.stated[name]})
            break
    else:
        edges = (1.0, 1.0)
    kept = {name: text for name, text in item.stated.items() if name != "NumberOfFrames"}
    return replace(item, origin=np.zeros(3), direction=np.eye(3), spacing=(*edges, 1.0), stated=kept)


def _claims_to_be_an_image(file: Path) -> bool:
    """Whether the file's meta header says "image": an unreadable report or plan may be skipped, a slice may not."""
    return kinds.stored_class(file) in _IMAGE_CLASSES


def _stored_class(file: Path) -> str:
    return "" if file.name == "DICOMDIR" or file.name.startswith(".") else kinds.stored_class(file)


def _one_series(path: Path, slices: list[SliceHeader], series: str | None) -> list[SliceHeader]:
    groups: dict[str, list[SliceHeader]] = {}
    for item in slices:
        groups.setdefault(item.series, []).append(item)
    names = ", ".join(
        f"{uid or '(no UID)'} ({len(items)} files{', ' + items[0].description if items[0].description else ''})"
        for uid, items in sorted(groups.items())
    )
    if series is not None:
        if series not in groups:
            raise UserError(path, expected=f"DICOM series {series}", found=names)
        return groups[series]
    if len(groups) > 1:
        raise UserError(
            path, expected="one DICOM series", found=f"{len(groups)}: {names}", remedy="give each its own folder"
        )
    return next(iter(groups.values()))


def _check_same_frame(path: Path, slices: Sequence[SliceHeader]) -> None:
    first = slices[0]
    for item in slices:
        if item.size != first.size or not np.allclose(item.spacing[:2], first.spacing[:2], rtol=1e-4):
            raise UserError(
                path,
                expected="slices of one size",
                found=(
                    f"{first.size[:2]} at {first.spacing[:2]} mm in {first.path.name} and {item.size[:2]} at "
                    f"{item.spacing[:2]} mm in {item.path.name}"
                ),
                remedy="take localizers and other images out of the folder",
            )
        if not np.allclose(item.direction, first.direction, atol=1e-3):
            raise UserError(
                path,
                expected="slices of one direction",
                found=f"{first.path.name} and {item.path.name} turned against each other",
                remedy="take localizers and reformats out of the folder",
            )
