"""The names that a segmentation (.seg.nrrd of 3D Slicer, DICOM SEG) gives its values, against those of a data list."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_cl.data.dicom.frames import read_header, require_pydicom
from monai_cl.data.dicom.kinds import is_segmentation
from monai_cl.data.io.formats import DICOM, NRRD, format_named
from monai_cl.errors import UserError

_LONGEST_HEADER = 1 << 20
_FIELD = re.compile(r"Segment(\d+)_(Name|LabelValue):=(.*)")
# what viewers call a segment that nobody named
_UNNAMED = {"segment", "label", "segmentation"}


def segment_names(path: str | os.PathLike) -> dict[int, str]:
    """Value -> name, as an NRRD file or a DICOM SEG says it; empty for other files and where nothing is said."""
    path = Path(path)
    if format_named(path.name) is DICOM and is_segmentation(path):
        require_pydicom(path)
        segments = read_header(path).get("SegmentSequence") or ()
        return {int(segment.SegmentNumber): str(segment.get("SegmentLabel") or "") for segment in segments}
    if format_named(path.name) is not NRRD or not path.is_file():
        return {}
    with path.open("rb") as stream:
        header = re.split(rb"(?:\r\n?|\n){2}", stream.read(_LONGEST_HEADER), maxsplit=1)[0]
    fields: dict[str, dict[str, str]] = {}
    for line in header.decode("utf-8", "replace").splitlines():
        if match := _FIELD.fullmatch(line):
            fields.setdefault(match[1], {})[match[2]] = match[3].strip()
    return {
        int(segment["LabelValue"]): segment["Name"]
        for segment in fields.values()
        if segment.get("Name") and re.fullmatch("[0-9]{1,9}", segment.get("LabelValue", ""))
    }


def segment_fault(
    path: str | os.PathLike, labels: Mapping[int, str], label_map: Mapping[int, int] | None
) -> tuple[str, str, str] | None:
    """What contradicts the list in the names of a file's segments.

    Case, order of words, punctuation and a plural do not count, nor words that one of both names has more (``Left
    Kidney``, ``kidney``), unless the list has that very name for another id.

    Args:
        path: of the label.
        labels: id -> name, of the list.
        label_map: file value -> id, others 0; None: values are ids.

    Returns:
        expected, found and remedy; None where nothing contradicts.
    """
    listed = {label: _words(name) for label, name in labels.items()}
    wrong: dict[int, tuple[str, str]] = {}
    for value, name in segment_names(path).items():
        label = value if label_map is None else label_map.get(value, 0)
        words = _words(name)
        others = {other for other, theirs in listed.items() if other not in (0, label) and theirs == words}
        if words and label in listed and (others or (label and not _alike(words, listed[label]))):
            wrong[value] = labels[label], name
    if not wrong:
        return None
    expected, found = (", ".join(f"{value} {names[side]}" for value, names in sorted(wrong.items())) for side in (0, 1))
    return (
        f"segments named as the list names their values ({expected})",
        f"the names {found} in the file",
        'correct "labels", say under "label_map" which value is which organ (those it leaves out become '
        "background), or rename the segments",
    )


def check_segment_names(item: Mapping[str, Any]) -> None:
    """Refuse a label whose segments have other names than the data list gives them.

    Args:
        item: of a data list; one without ``label_names`` may call them anything.

    Raises:
        UserError: names the file and both names.
    """
    if not item.get("label") or not item.get("label_names"):
        return
    fault = segment_fault(item["label"], item["label_names"], item.get("label_map"))
    if fault is not None:
        expected, found, remedy = fault
        raise UserError(item["label"], expected=expected, found=found, remedy=remedy)


def _words(name: str) -> frozenset[str]:
    """Words in small letters without a plural's s; none for a segment that nobody named."""
    words = [word for word in re.split(r"[\W_]+", name.casefold()) if word]
    if {word for word in words if not word.isdecimal()} <= _UNNAMED:
        return frozenset()
    return frozenset(word.removesuffix("s") for word in words)


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    return one <= other or other <= one
