"""DICOM series in a folder, known by the content of their files; and a folder that no layout fits, in words."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from monai_cl.data.dicom.kinds import listed_kinds, look_for_images
from monai_cl.data.io.formats import FILE_ENDINGS, is_picture, strip_ending
from monai_cl.data.io.modality import header_modality
from monai_cl.data.io.result_records import own_results
from monai_cl.errors import UserError, echo


def is_series(folder: Path) -> bool:
    """Whether a folder holds DICOM images itself.

    Args:
        folder: that exists.
    """
    return look_for_images(folder, without=own_results(folder))[0]


def series_in(folder: Path, paths: Sequence[str]) -> list[str]:
    """The folders below one that hold DICOM images, where these are the scans: there is no volume in a file.

    Args:
        folder: of the data set.
        paths: what lies below it.

    Raises:
        UserError: what no layout fits, with how to name the files that there are.
    """
    found = []
    for path in paths:
        images, others = look_for_images(folder / path) if (folder / path).is_dir() else (False, [])
        found += [path] * images
        if others:
            echo(f"{folder / path}: passed over {listed_kinds(others)}")
    volumes = [path for path in paths if path.lower().endswith(FILE_ENDINGS) and (folder / path).is_file()]
    if (found or volumes) and is_series(folder):
        name = shlex.quote(folder.name)
        raise UserError(
            folder,
            expected="one DICOM series, or a folder of scans",
            found=f"DICOM slices beside {[*volumes, *found][0]}",
            remedy=f"list the slices alone: python -m monai_cl datalist create {shlex.quote(str(folder.parent))} "
            f"--images {name}",
        )
    if found and volumes:
        raise UserError(
            folder,
            expected="DICOM series, or one of the known layouts of volumes",
            found=f"both: {found[0]} and {volumes[0]}",
            remedy=f"name the scans: --images {shlex.quote(found[0])} (and their label maps with --labels)",
        )
    if found:
        return found
    pictures = [path for path in paths if is_picture(path)]
    some = ", ".join([path for path in paths if not (folder / path).is_dir()][:3]) or "no file"
    if volumes:
        raise UserError(
            folder,
            expected="one of the known layouts (Decathlon, nnU-Net, BIDS, BTCV, KiTS, ...)",
            found=some,
            remedy=f"name the scans: --images {_pattern(volumes[0])} (and their label maps with --labels)",
        )
    if pictures:
        raise UserError(
            folder,
            expected="one of the known layouts of volumes",
            found=some,
            remedy="for images in a folder of each class: --layout mednist --modality XR; for others: --images "
            f"{_pattern(pictures[0])} --modality XR",
        )
    raise UserError(
        folder,
        expected=f"scans: {', '.join(FILE_ENDINGS)}, DICOM series, or images",
        found=f"none among {some}",
        remedy="name the folder that holds them",
    )


def describe_series(folder: Path, items: Iterable[dict[str, Any]], *, modality: str | None) -> None:
    """Write what the headers of DICOM series state into their items: ``patient``, where it is not known, ``modality``.

    Args:
        folder: of the data set.
        items: those of its list; the ones whose image is a folder.
        modality: of the list, which items have that are of another one; None: nothing is said of it.

    Raises:
        UserError: slices of several series in one folder, a damaged one.
    """
    for item in items:
        path = folder / item["image"]
        if not path.is_dir():
            continue
        from monai_cl.data.dicom.slice_headers import series_patient  # other formats do without SimpleITK

        if (patient := series_patient(path)) and "patient" not in item:
            item["patient"] = patient
        if modality is not None and (stated := header_modality(path)) not in ("", modality):
            item["modality"] = stated


def _pattern(path: str) -> str:
    """A pattern of the files beside one, for a shell."""
    name = Path(path).name
    return shlex.quote((Path(path).parent / f"{{case}}{name.removeprefix(strip_ending(name))}").as_posix())
