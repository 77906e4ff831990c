"""The volumes of an inference: found in a folder, checked before the first is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from monai_cl.data.dicom.kinds import listed_kinds, look_for_images
from monai_cl.data.dicom.slice_headers import single_images
from monai_cl.data.dicom.source import open_source
from monai_cl.data.io.formats import FILE_ENDINGS, is_picture
from monai_cl.data.io.result_records import own_results
from monai_cl.engines.segmentation.result_files import ResultFiles
from monai_cl.errors import UserError, echo


def inference_items(
    volumes: str | Sequence[str],
    *,
    postfix: str = "seg",
    dicom_seg: bool = False,
    series_part: str | None = None,
    results: ResultFiles | None = None,
) -> list[dict[str, str]]:
    """Items of existing volumes, whose results may be written; one that is given twice is one item.

    Args:
        volumes: files or DICOM series folders; one may be given without a list.
        postfix: not used; for configs of earlier versions.
        dicom_seg: a DICOM SEG is written for each, which refers to its series.
        series_part: the acquisition that is taken of each series.
        results: the files that are to be written; None: nothing is known of them.

    Raises:
        UserError: before the first is segmented: no volume, or one that is missing; with ``dicom_seg`` one that is not
            a DICOM series; with ``results`` what may not be replaced.
    """
    paths = existing_volumes(volumes)
    if results is not None:
        results.start(paths)
    if dicom_seg:
        _require_series(paths, series_part)
    return [{"image": path} for path in paths]


def existing_volumes(volumes: str | Sequence[str]) -> list[str]:
    """The paths of a ``datalist``, each once.

    Raises:
        UserError: no volume, or one that is missing.
    """
    paths = list(dict.fromkeys([volumes] if isinstance(volumes, str) else map(str, volumes)))
    if not paths:
        raise UserError("datalist", expected="volumes", found="none", remedy="pass --datalist \"['volume.nii.gz']\"")
    if missing := next((path for path in paths if not Path(path).exists()), None):
        raise UserError(missing, found="no such volume", remedy="correct --datalist")
    return paths


def volumes_in(folder: str | Path) -> list[str]:
    """CT volumes of a folder: NIfTI, NRRD and MetaImage files in it, sub-folders with DICOM slices, or its own slices.

    What an inference has written there is not a scan: the records beside the results name them, and they are passed
    over, which is said.

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
    files = [path for path in there if path.is_file() and path.name.lower().endswith(FILE_ENDINGS)]
    own = own_results(folder)
    passed = [path.name for path in files if path.name in own]
    volumes = [path for path in files if path.name not in own]
    volumes += [path for path in there if path.is_dir() and _holds_dicom(path)]
    if _holds_dicom(folder):
        if volumes:
            echo(f"{folder}: passed over the DICOM images beside the volumes; give them a folder of their own")
        volumes = volumes or [folder]
    if passed:
        echo(f"{folder}: passed over {len(passed)} results of earlier runs: {', '.join(passed)}")
    if not volumes:
        raise UserError(folder, expected=f"volumes ({', '.join(FILE_ENDINGS)}) or DICOM series folders", found="none")
    return [str(path) for path in volumes]


def scans_in(folder: str | Path) -> list[str]:
    """The volumes of a folder; where it has none, its pictures (PNG, JPEG), or single DICOM images such as X-rays.

    Pictures beside volumes may be drawings of them: they are left out, which is said.

    Args:
        folder: see `volumes_in`.

    Raises:
        UserError: when there is neither.
    """
    folder = Path(folder)
    own = own_results(folder) if folder.is_dir() else frozenset()
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    pictures = [
        str(path)
        for path in there
        if is_picture(path.name) and path.name not in own and not path.name.startswith(".") and path.is_file()
    ]
    try:
        volumes = volumes_in(folder)
    except UserError:
        if pictures:
            return pictures
        raise
    if volumes == [str(folder)] and (images := single_images(folder)):
        volumes = [str(path) for path in images]
    if pictures:
        echo(f"{folder}: {len(pictures)} pictures beside volumes are left out; name them to have them taken as well")
    return volumes


def _require_series(paths: Sequence[str], series_part: str | None) -> None:
    for path in paths:
        if path.lower().endswith(FILE_ENDINGS):
            raise UserError(
                path, expected="a DICOM series, which dicom_seg refers to", remedy="run it without dicom_seg"
            )
        open_source(path, series_part=series_part, keep=True)


def _holds_dicom(folder: Path) -> bool:
    found, others = look_for_images(folder, without=own_results(folder))
    if others:
        echo(f"{folder}: passed over {listed_kinds(others)}")
    return found
