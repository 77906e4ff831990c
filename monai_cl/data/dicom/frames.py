"""Where the frames of a multi-frame DICOM image (enhanced CT) lie; read by pydicom (extra ``dicom``)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from monai_cl.data.dicom.parts import FRAME_KEYWORDS, choose_part
from monai_cl.data.dicom.stated import axes, check_hounsfield, is_ct, pixel_edges, slice_depth
from monai_cl.errors import UserError

if TYPE_CHECKING:
    from pydicom import Dataset


@dataclass(frozen=True)
class Frames:
    """The frames in the order they are stored.

    Attributes:
        origins: (n, 3), LPS mm.
        direction: (3, 3), columns are the image axes and their normal in LPS.
        spacing: mm along the columns' and the rows' axis, and of a single frame its depth.
        numbers: (n,), the frames' places in the file, from 0; fewer than it has where one acquisition was chosen.
    """

    origins: np.ndarray
    direction: np.ndarray
    spacing: tuple[float, ...]
    numbers: np.ndarray

    @property
    def positions(self) -> np.ndarray:
        """(n,), mm along the normal."""
        return self.origins @ self.direction[:, 2]

    @property
    def order(self) -> np.ndarray:
        """(n,), which of these frames comes next along the normal."""
        return np.argsort(self.positions, kind="stable")


def require_pydicom(path: Path) -> None:
    """Raise UserError where pydicom, which reads multi-frame files such as ``path``, is not installed."""
    try:
        import pydicom  # noqa: F401 (`read_header` needs it)
    except ImportError as error:
        raise UserError(
            path,
            expected="single slices",
            found="a multi-frame file, for which pydicom is needed",
            remedy='pip install "monai-cl[dicom]"',
        ) from error


def read_header(path: Path) -> Dataset:
    """Everything but the pixels; also of a file without preamble, which GDCM takes too.

    Raises:
        UserError: pydicom cannot read it.
    """
    import pydicom

    with readable(path):
        return pydicom.dcmread(path, stop_before_pixels=True, force=True)


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what pydicom raises, half a dozen kinds and some of them only when a value is looked at, into UserError."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            path, expected="a readable DICOM header", cause=error, remedy="export the series again"
        ) from error


def frames_of(header: Dataset, path: Path, *, series_part: str | None = None) -> Frames:
    """Geometry of a file's frames.

    Args:
        header: of the file.
        path: of the file.
        series_part: the acquisition to take where the file has several (see :func:`choose_part`).

    Raises:
        UserError: a value that pydicom cannot read, frames without a position, of different direction, spacing or
            rescaling, CT without rescaling, several acquisitions.
    """
    with readable(path):
        return _frames_of(header, path, series_part)


def _frames_of(header: Dataset, path: Path, series_part: str | None) -> Frames:
    shared = (header.get("SharedFunctionalGroupsSequence") or [{}])[0]
    frames = header.get("PerFrameFunctionalGroupsSequence") or []

    def group(frame: Any, name: str) -> Any:
        sequence = frame.get(name) or shared.get(name)
        return sequence[0] if sequence else {}

    origins = [group(frame, "PlanePositionSequence").get("ImagePositionPatient") for frame in frames]
    turns = [group(frame, "PlaneOrientationSequence").get("ImageOrientationPatient") for frame in frames]
    sizes = [group(frame, "PixelMeasuresSequence").get("PixelSpacing") for frame in frames]
    if not frames or any(value is None for value in (*origins, *turns, *sizes)):
        raise UserError(
            path,
            expected="frames with position, orientation and spacing",
            found="a multi-frame file without them",
            remedy="export the series as single slices",
        )
    if (count := int(header.get("NumberOfFrames") or 1)) != len(frames):
        raise UserError(
            path,
            expected=f"{count} frames as NumberOfFrames says",
            found=f"positions of {len(frames)}",
            remedy="copy or export the file again",
        )
    _same(path, "direction", turns, tolerance=1e-3)
    _same(path, "pixel spacing", sizes, tolerance=1e-3)
    rescaling = [group(frame, "PixelValueTransformationSequence") for frame in frames]
    names = ("RescaleSlope", "RescaleIntercept", "RescaleType")
    stated = [{name: _text(item[name].value) for name in names if name in item} for item in rescaling]
    if is_ct(str(header.get("Modality") or ""), str(header.get("SOPClassUID") or "")):
        for found in stated:
            check_hounsfield(path, found)
    slopes = [[float(item.get("RescaleSlope", 1)), float(item.get("RescaleIntercept", 0))] for item in stated]
    _same(path, "rescale slope and intercept", slopes, tolerance=0.0)
    direction = axes(path, [float(value) for value in turns[0]])
    edges: tuple[float, ...] = pixel_edges(path, [float(value) for value in sizes[0]])
    places = np.array(origins, dtype=float)
    tags = [_tags(frame, shared) for frame in frames]
    numbers = choose_part(path, tags, places @ direction[:, 2], series_part, what="frames")
    if len(numbers) == 1:
        measures = group(frames[numbers[0]], "PixelMeasuresSequence")
        depths = {"SliceThickness": _text(measures.get("SliceThickness"))}
        edges = (*edges, slice_depth(path, depths))
    return Frames(places[numbers], direction, edges, numbers)


def _tags(frame: Any, shared: Any) -> dict[str, str]:
    """What may tell acquisitions apart in the functional groups of a frame and in those that all share."""
    values: dict[str, str] = {}
    for groups in (shared, frame):
        items = [element.value[0] for element in groups or () if element.VR == "SQ" and element.value]
        values |= {name: _text(item[name].value) for item in items for name in FRAME_KEYWORDS if name in item}
    return values


def _text(value: Any) -> str:
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        return "" if value is None else str(value)
    return "\\".join(map(str, value))


def _same(path: Path, what: str, values: Sequence[Any], *, tolerance: float) -> None:
    array = np.array(values, dtype=float)
    other = np.flatnonzero((np.abs(array - array[0]) > tolerance).any(axis=1))
    if other.size:
        raise UserError(
            path,
            expected=f"frames of one {what}",
            found=f"{array[0].tolist()} in frame 1 and {array[other[0]].tolist()} in frame {other[0] + 1}",
            remedy="export the series as single slices",
        )
