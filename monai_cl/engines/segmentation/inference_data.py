"""The volumes of an inference: found in a folder, checked before the first is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from monai.data.utils import create_file_basename

from monai_cl.data.dicom.source import open_source
from monai_cl.data.io.formats import DICOM, FILE_ENDINGS
from monai_cl.errors import UserError


def inference_items(
    volumes: str | Sequence[str], *, postfix: str = "seg", dicom_seg: bool = False, series_part: str | None = None
) -> list[dict[str, str]]:
    """Items of existing volumes whose results `SaveImaged` will not write over each other.

    Args:
        volumes: files or DICOM series folders; one may be given without a list.
        postfix: of the results' names.
        dicom_seg: a DICOM SEG is written for each, which refers to its series.
        series_part: the acquisition that is taken of each series.

    Raises:
        UserError: no volume, one that is missing, or two with one name for their results; with ``dicom_seg`` one that
            is not a DICOM series, before the first is segmented.
    """
    paths = [volumes] if isinstance(volumes, str) else [str(volume) for volume in volumes]
    if not paths:
        raise UserError("datalist", expected="volumes", found="none", remedy="pass --datalist \"['volume.nii.gz']\"")
    named: dict[str, str] = {}
    for path in paths:
        if not Path(path).exists():
            raise UserError(path, found="no such volume", remedy="correct --datalist")
        name = Path(create_file_basename(postfix, path, "", makedirs=False)).name
        if name in named:
            raise UserError(
                path,
                found=f"its result would be called {name}, as that of {named[name]}",
                remedy="rename one, or run them apart with an output_dir each",
            )
        named[name] = path
    if dicom_seg:
        _require_series(paths, series_part)
    return [{"image": path} for path in paths]


def volumes_in(folder: str | Path) -> list[str]:
    """CT volumes of a folder: NIfTI, NRRD and MetaImage files in it, sub-folders with DICOM slices, or its own slices.

    A file counts as a DICOM slice by its content, whatever its name: archives export slices without ``.dcm``.

    Args:
        folder: folder with volumes or series; it is not searched deeper than its sub-folders.

    Raises:
        UserError: when there is none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(
            folder, found="no such folder", remedy="pass --dataset_dir FOLDER or --datalist \"['volume.nii.gz']\""
        )
    there = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    found = [path for path in there if path.is_file() and path.name.lower().endswith(FILE_ENDINGS)]
    found += [path for path in there if path.is_dir() and _holds_dicom(path)]
    if not found and _holds_dicom(folder):
        found = [folder]
    if not found:
        raise UserError(folder, expected=f"volumes ({', '.join(FILE_ENDINGS)}) or DICOM series folders", found="none")
    return [str(path) for path in found]


def _require_series(paths: Sequence[str], series_part: str | None) -> None:
    for path in paths:
        if path.lower().endswith(FILE_ENDINGS):
            raise UserError(
                path, expected="a DICOM series, which dicom_seg refers to", remedy="run it without dicom_seg"
            )
        open_source(path, series_part=series_part, keep=True)


def _holds_dicom(folder: Path) -> bool:
    files = (path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return any(_is_dicom(path) for path in files if path.name != "DICOMDIR")


def _is_dicom(path: Path) -> bool:
    if path.suffix.lower() == DICOM.endings[0]:  # old files have no preamble
        return True
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"
