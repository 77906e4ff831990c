"""DICOM objects that are not images of a scan: known by their SOP class, named by kind, passed over or refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable
from pathlib import Path

_ENDING = ".dcm"
_STORAGE = "1.2.840.10008.5.1.4.1.1."
# by the beginning of the class, the longest first
_KINDS = {
    "481.1": "an RT image",
    "481.2": "an RT dose",
    "481.3": "an RT structure set",
    "481": "an RT plan or record",
    "88.59": "a key object selection",
    "88": "a structured report",
    "66.4": "DICOM SEG",
    "66.5": "a surface segmentation",
    "66": "a registration or raw data",
    "67": "a value mapping",
    "68": "a surface scan or mesh",
    "11": "a presentation state",
    "7": "a secondary capture",
    "9": "a waveform",
    "104": "an encapsulated document",
    "77": "a photograph or video",
}
SECONDARY_CAPTURE, SEGMENTATION = _KINDS["7"], _KINDS["66.4"]


def other_kind(sop_class: str) -> str | None:
    """The kind of object that a SOP class UID stands for, such as "a structured report"; None for images of scans.

    Args:
        sop_class: as the header states it, or "".
    """
    tail = sop_class.removeprefix(_STORAGE)
    if tail == sop_class:
        return None
    return next((kind for start, kind in _KINDS.items() if tail == start or tail.startswith(f"{start}.")), None)


def stored_class(file: Path) -> str:
    """The SOP class UID in the file's meta header, or "" where it has none; nothing else of the file is read."""
    with file.open("rb") as handle:
        start = handle.read(1024)
    if start[128:132] != b"DICM":
        return ""
    at = start.find(b"\x02\x00\x02\x00UI")  # (0002,0002) Media Storage SOP Class UID, explicit little endian
    if at < 0:
        return ""
    length = int.from_bytes(start[at + 6 : at + 8], "little")
    return start[at + 8 : at + 8 + length].rstrip(b"\0 ").decode("ascii", "replace")


def is_dicom(file: Path) -> bool:
    """Whether a file is DICOM by its content, whatever its name: archives export slices without ``.dcm``."""
    if file.suffix.lower() == _ENDING:  # old files have no preamble
        return True
    with file.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def look_for_images(folder: Path, *, without: Container[str] = ()) -> tuple[bool, list[tuple[Path, str]]]:
    """Whether a folder itself holds DICOM images; where not, the other DICOM objects in it with their kinds.

    Args:
        folder: of files; those below it do not count.
        without: names to pass over.
    """
    others: list[tuple[Path, str]] = []
    for file in sorted(folder.iterdir()):
        if file.name.startswith(".") or file.name == "DICOMDIR" or file.name in without or not file.is_file():
            continue
        if not is_dicom(file):
            continue
        kind = other_kind(stored_class(file))
        if kind in (None, SECONDARY_CAPTURE):  # a capture may have a place like a slice: reading it will tell
            return True, []
        others.append((file, kind))
    return False, others


def is_segmentation(path: Path) -> bool:
    """Whether a path is that of a DICOM SEG, by its meta header."""
    return path.is_file() and other_kind(stored_class(path)) == SEGMENTATION


def listed_kinds(kinds: Iterable[tuple[Path, str]]) -> str:
    """What there is of which kind, such as "DICOM SEG (a.dcm), a structured report (b.dcm and 2 more)".

    Args:
        kinds: files with their kinds.
    """
    files: dict[str, str] = {}
    found = list(kinds)
    for file, kind in found:
        files.setdefault(kind, file.name)
    counts = Counter(kind for _, kind in found)
    more = {kind: f" and {count - 1} more" if count > 1 else "" for kind, count in counts.items()}
    return ", ".join(f"{kind} ({name}{more[kind]})" for kind, name in files.items())
