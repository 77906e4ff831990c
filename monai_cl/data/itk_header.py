"""What ITK does not look at in NRRD and MetaImage files: foreign data files, absent geometry, damaged streams."""

from __future__ import annotations

import os
import re
import zlib
from pathlib import Path

from isal import isal_zlib

from monai_cl.errors import UserError

_LONGEST_HEADER = 1 << 20
_SPACINGS = ("space directions", "spacings", "elementspacing", "elementsize")


def check_itk_file(path: Path, *, voxels: bool = True) -> None:
    """Look at the text header of a .nrrd, .nhdr, .mha or .mhd file, and at its compressed voxels.

    ITK (5.4) opens whatever data file a header names, takes a spacing of 1 mm where none is said, and gives the
    garbage in the buffer where a MetaImage does not decompress.

    Args:
        path: an existing file.
        voxels: decompress a MetaImage to check its sum (NRRD's gzip is checked by ITK).

    Raises:
        UserError: a data file that is absent or lies outside the header's folder, no spacing, a damaged stream.
    """
    with path.open("rb") as stream:
        raw = stream.read(_LONGEST_HEADER)
    nrrd = raw.startswith(b"NRRD")
    fields, files, length = _nrrd(raw) if nrrd else _meta_image(raw)
    for name in files:
        _check_data_file(path, name)
    if not any(key in fields for key in _SPACINGS) or "nan" in fields.get("spacings", ""):
        raise UserError(f"{path}: expected a voxel spacing in the header, found none; export it with its geometry")
    if voxels and not nrrd and fields.get("compresseddata", "").lower() == "true" and len(files) <= 1:
        _check_stream(path, path.parent / files[0] if files else path, 0 if files else length)


def _nrrd(raw: bytes) -> tuple[dict[str, str], list[str], int]:
    head, _, rest = raw.replace(b"\r\n", b"\n").partition(b"\n\n")
    fields: dict[str, str] = {}
    files: list[str] = []
    lines = head.decode("latin-1").split("\n")
    for number, line in enumerate(lines):
        key, separator, value = line.partition(": ")
        if not separator or line.startswith("#"):
            continue
        fields[key.lower()] = value.strip().lower()
        if key.lower() in ("data file", "datafile"):
            listed = value.split()[:1] == ["LIST"]
            files += [name.strip() for name in lines[number + 1 :] if name.strip()] if listed else [value.strip()]
    return fields, files, len(head) + 2 if rest else len(raw)


def _meta_image(raw: bytes) -> tuple[dict[str, str], list[str], int]:
    fields: dict[str, str] = {}
    position = 0
    for line in raw.split(b"\n"):
        position += len(line) + 1
        key, separator, value = (part.strip() for part in line.decode("latin-1").partition("="))
        if not separator:
            break
        fields[key.lower()] = value.lower()
        if key.lower() == "elementdatafile":
            if value.upper() == "LOCAL":
                return fields, [], position
            if value.split()[:1] == ["LIST"]:
                rest = raw[position:].decode("latin-1").splitlines()
                return fields, [name.strip() for name in rest if name.strip()], position
            return fields, [value], position
    return fields, [], position


def _check_data_file(path: Path, name: str) -> None:
    """``name`` may be a pattern such as ``slice%03d.raw 1 20 1``."""
    pattern = "%" in name
    file = name.split()[0] if pattern else name
    folder = os.path.realpath(path.parent)
    found = os.path.realpath(path.parent / file)
    inside = not re.match(r"[/\\~]|[A-Za-z]:", file) and os.path.commonpath([folder, found]) == folder
    if not inside or not (pattern or os.path.isfile(found)):
        what = "no such file" if inside else "which lies outside its folder"
        raise UserError(f"{path}: expected its voxels beside it, found {name}, {what}; copy it beside the header")


def _check_stream(path: Path, file: Path, start: int) -> None:
    try:
        isal_zlib.decompress(file.read_bytes()[start:])
    except (isal_zlib.error, zlib.error, EOFError, ValueError) as error:
        raise UserError(
            f"{path}: expected a readable image, found a damaged or truncated stream of voxels ({error}); export or "
            "copy it again"
        ) from error
