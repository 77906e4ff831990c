"""DICOM SEG to a label map: every frame is put where its own position says it lies, whatever program wrote it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from monai_cl.data.dicom.source import SourceSeries, open_source, require_highdicom
from monai_cl.errors import UserError

# a frame may lie this many voxels from a slice of the series
_TOLERANCE = 0.1
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_dicom_seg(
    path: str | os.PathLike, *, source: str | os.PathLike, series: str | None = None, series_part: str | None = None
) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """The label map of a DICOM SEG on the grid of the series it was drawn on.

    Args:
        path: a binary SEG whose segments do not overlap.
        source: folder of that series.
        series: Series Instance UID, where the folder holds several.
        series_part: the acquisition, where the series has several (see :func:`read_dicom_series`).

    Returns:
        labels (X, Y, Z), integers, axes as :func:`read_dicom_series` orders them; affine (4, 4), voxel → RAS mm; names
        by label id.

    Raises:
        UserError: highdicom is not installed, not a binary SEG, segments that overlap, another frame of reference or
            grid.
    """
    source_series = open_source(source, series=series, series_part=series_part)
    labels, names = seg_labels(Path(path), source_series)
    return labels, source_series.affine, names


def seg_labels(path: Path, source: SourceSeries) -> tuple[np.ndarray, dict[int, str]]:
    """:func:`read_dicom_seg` with a series that has been opened."""
    seg = _open(path)
    frame_of_reference = str(source.headers[0].FrameOfReferenceUID)
    if str(seg.get("FrameOfReferenceUID")) != frame_of_reference:
        raise UserError(
            path,
            expected=f"the frame of reference {frame_of_reference} of {source.path}",
            found=f"{seg.get('FrameOfReferenceUID')}",
            remedy="it belongs to another scan",
        )
    if (seg.Columns, seg.Rows) != source.shape[:2]:
        raise UserError(path, expected=f"frames of {source.shape[:2]} pixels", found=(seg.Columns, seg.Rows))
    names = {number: str(seg.get_segment_description(number).segment_label) for number in seg.segment_numbers}
    labels = np.zeros(source.shape, np.uint8 if max(names) < 256 else np.uint16)
    to_voxel = np.linalg.inv(_RAS_TO_LPS @ source.affine)
    for index, frame in enumerate(seg.PerFrameFunctionalGroupsSequence):
        z = _slice_of(path, to_voxel, seg, frame, index)
        if not 0 <= z < source.shape[2]:
            raise UserError(path, expected=f"frames on the slices of {source.path}", found=f"frame {index + 1} outside")
        number = int(_group(seg, frame, "SegmentIdentificationSequence").ReferencedSegmentNumber)
        here = seg.get_stored_frame(index + 1).T > 0
        taken = labels[..., z][here]
        if (taken > 0).any():
            raise UserError(
                path,
                expected="segments that do not overlap",
                found=f"{names[int(taken.max())]} and {names[number]} in one voxel of frame {index + 1}",
            )
        labels[..., z][here] = number
    return labels, names


def _open(path: Path) -> Any:
    hd = require_highdicom()
    try:
        seg = hd.seg.segread(path)
    except Exception as error:  # pydicom and highdicom raise half a dozen kinds
        raise UserError(path, expected="a DICOM SEG", found=f"another kind of file ({error})") from error
    if seg.SegmentationType != "BINARY":
        raise UserError(path, expected="binary segments", found=f"{seg.SegmentationType} ones")
    return seg


def _slice_of(path: Path, to_voxel: np.ndarray, seg: Any, frame: Any, index: int) -> int:
    """The z on which a frame lies; raises UserError where its pixels do not fall on voxels."""
    turn = _group(seg, frame, "PlaneOrientationSequence").ImageOrientationPatient
    row, column = np.array(turn, dtype=float).reshape(2, 3)
    down, right = map(float, _group(seg, frame, "PixelMeasuresSequence").PixelSpacing)
    origin = np.array([*_group(seg, frame, "PlanePositionSequence").ImagePositionPatient, 1.0], dtype=float)
    corner = (to_voxel @ origin)[:3]
    steps = to_voxel[:3, :3] @ np.stack([row * right, column * down], axis=1) - np.eye(3)[:, :2]
    # the far corners of the frame, where a wrong direction or spacing shows most
    drift = np.abs(steps * [seg.Columns, seg.Rows]).max()
    offset = np.abs(corner - [0, 0, np.rint(corner[2])]).max()
    if max(drift, offset) > _TOLERANCE:
        raise UserError(
            path,
            expected="frames on the grid of the series",
            found=f"frame {index + 1} up to {max(drift, offset):.1f} voxels away",
        )
    return int(np.rint(corner[2]))


def _group(seg: Any, frame: Any, name: str) -> Any:
    """The value for this frame, or for all frames together."""
    return (frame.get(name) or seg.SharedFunctionalGroupsSequence[0][name].value)[0]
