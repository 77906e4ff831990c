"""The text headers of NRRD and MetaImage files: which files hold the voxels, and whether a geometry is given."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path

from monai_cl.errors import UserError
from monai_cl.files import check_name

_LONGEST_HEADER = 1 << 20
_SPACINGS = ("space directions", "spacings", "elementspacing", "elementsize")


def check_nrrd(path: Path) -> dict[str, str]:
    """Look at the text header of a .nrrd or .nhdr file; returns its fields, in small letters.

    ITK (5.4) opens whatever data file a header names, and assumes a spacing of 1 mm where none is given.

    Raises:
        UserError: a data file that is absent or lies outside the header's folder, no spacing, a header longer than a
            MiB.
    """
    check_name(path)
    fields, files = _nrrd(path, _front(path))
    _check(path, fields, files)
    return fields


def meta_image_header(path: Path) -> tuple[dict[str, str], list[str], int]:
    """The header of a .mha or .mhd file: fields in small letters, its data files, and where it ends.

    Raises:
        UserError: as `check_nrrd`; or several data files.
    """
    fields, files, end = _meta_image(_front(path))
    _check(path, fields, files)
    if len(files) > 1 or any("%" in name for name in files):
        raise UserError(path, expected="its voxels in one file", found="several", remedy="convert it to .nii.gz")
    return fields, files, end


def _front(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_LONGEST_HEADER)


def _check(path: Path, fields: dict[str, str], files: list[str]) -> None:
    for name in files:
        _check_data_file(path, name)
    if not any(key in fields for key in _SPACINGS) or "nan" in fields.get("spacings", ""):
        raise UserError(
            path, expected="a voxel spacing in the header", found="none", remedy="export it with its geometry"
        )


def _nrrd(path: Path, raw: bytes) -> tuple[dict[str, str], list[str]]:
    lines = [line.decode("latin-1") for line in re.split(rb"\r\n?|\n", raw)]  # as ITK ends a line
    is_whole = len(raw) < _LONGEST_HEADER
    if not is_whole:
        lines.pop()  # it may be half a line
    ends = "" in lines
    fields: dict[str, str] = {}
    files: list[str] = []
    for number, line in enumerate(lines[: lines.index("")] if ends else lines):
        key, separator, value = line.partition(": ")
        if not separator or line.startswith("#"):
            continue
        fields[key.lower()] = value.strip().lower()
        if key.lower() in ("data file", "datafile"):
            if value.strip().startswith("LIST"):  # "LIST2" is one too
                files += [name.strip() for name in lines[number + 1 :] if name.strip()]
                ends = is_whole
            else:
                files.append(value.strip())
    if not ends and not is_whole:
        raise UserError(
            path,
            expected="a readable image",
            found=f"a header longer than {_LONGEST_HEADER} bytes",
            remedy="convert it to .nii.gz",
        )
    return fields, files


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
    shown = name if len(name) <= 80 else name[:77] + "..."
    try:
        fitting = glob.glob(re.sub(r"%[^du]*[du]", "*", glob.escape(file)), root_dir=path.parent) if pattern else []
        inside = all(_lies_beside(path, data_file) for data_file in (file, *fitting))
        is_file = bool(pattern or os.stat(path.parent / file))
    except FileNotFoundError:
        is_file = False
    except (OSError, ValueError) as error:  # not a possible file name
        raise UserError(
            path, expected="a readable image", found=f"the data file {shown}", remedy="export it again"
        ) from error
    if not inside or not is_file:
        what = "no such file" if inside else "which lies outside its folder"
        raise UserError(
            path, expected="its voxels beside it", found=f"{shown}, {what}", remedy="copy it beside the header"
        )


def _lies_beside(path: Path, file: str) -> bool:
    folder, real_file = os.path.realpath(path.parent), os.path.realpath(path.parent / file)
    return not re.match(r"[/\\~]|[A-Za-z]:", file) and os.path.commonpath([folder, real_file]) == folder
