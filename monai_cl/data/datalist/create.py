"""A data list from a folder: image and label files paired by the part of their names that a pattern leaves open."""

from __future__ import annotations

import os
import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_cl.data.datalist.folders.class_folders import LAYOUT, PATTERN, class_folders
from monai_cl.data.datalist.folders.description import OrganNames, described_values, description_of, names_of
from monai_cl.data.datalist.folders.pairing import choose_layout, pair_files
from monai_cl.data.datalist.folders.patterns import modality_of, paths_below
from monai_cl.data.datalist.folders.published import PublishedLayout
from monai_cl.data.datalist.folders.series import describe_series, is_series
from monai_cl.data.datalist.folders.splits import add_folds, as_described, set_aside
from monai_cl.data.datalist.folders.values import used_labels
from monai_cl.data.datalist.items import default_ids
from monai_cl.data.datalist.model import SPLITS
from monai_cl.data.io.formats import FILE_ENDINGS, format_named, is_picture
from monai_cl.data.io.modality import header_modality
from monai_cl.errors import UserError


@dataclass(frozen=True)
class FoundList:
    """What :func:`create_data_list` found.

    Attributes:
        document: the list.
        images, labels: the patterns that were used.
        unlabelled: image files without a label file; they are listed without ``label``.
        orphans: label files without an image; they are not listed.
        left_out: label files without any of the organs; their scans are listed without ``label``.
        foreign: values of label files that ``organs`` does not name.
        named: False where no organ names were known and made-up ones are used.
    """

    document: dict[str, Any]
    images: str
    labels: str | None
    unlabelled: tuple[str, ...] = ()
    orphans: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    foreign: tuple[int, ...] = ()
    named: bool = True


def create_data_list(
    folder: str | Path,
    *,
    name: str | None = None,
    images: str | None = None,
    labels: str | None = None,
    organs: Mapping[Any, Any] | None = None,
    patient: str | None = None,
    validation: float = 0.0,
    splits: str | Path | None = None,
    without: Container[str] = (),
    read_voxels: bool = True,
    progress: bool = False,
    layout: str | None = None,
    modality: str | None = None,
) -> FoundList:
    """Look through a folder and pair images with labels.

    Folders called ``imagesTs`` and ``imagesVa`` beside ``imagesTr``, and the ``test``, ``testing`` and ``validation``
    of a ``dataset.json``, become the splits of the list.

    Args:
        folder: the root that paths are relative to; or a single scan, a file or the folder of a DICOM series: then
            the root is the folder that it lies in.
        name: name of the data set; default: the name of the folder.
        images: pattern such as ``"imagesTr/img{case}.nii.gz"``. ``{case}`` is the part shared with the label file,
            ``{patient}`` a part that names the patient, ``*`` anything within one name. It may match folders (DICOM).
            Without any of these it is the one file of that name. Default: the known layout that matches most files.
        labels: pattern of the label files, with ``{case}`` (or ``{patient}``) as in ``images``.
        organs: value in the label files -> organ name; values that are not named become background. Default: the
            ``labels`` of a ``dataset.json`` in the folder; else the values that occur in the label files, under the
            names ``label 1``, ``label 2``, ...
        patient: regular expression searched in the image's path; its first group, or the whole match, is the patient.
            Default: ``{patient}`` of a pattern, else of DICOM series the PatientID of their headers.
        validation: part of the patients with labels, in [0, 1), whose scans become the split ``validation``.
        splits: nnU-Net's ``splits_final.json``, whose validation parts become the folds.
        without: images to pass over, relative to the folder.
        read_voxels: False takes the names on trust and does not look into label files, unless no names are known.
        progress: show a progress bar while label files are read.
        layout: a published data set of `PUBLISHED`, whose patterns, organs and modality are used, and whose phases are
            read; or ``mednist``: 2D images in a folder for each class, which is their target. Default: none of them.
        modality: of the scans, such as ``"MR"``; default: what the layout, the first scan's DICOM header or the names
            say, CT for other volumes.

    Raises:
        UserError: no folder, nothing matches, two images for one case, a pattern or an expression that is wrong, a
            label value without a name, no organ in any label file, PNG or JPEG whose modality is not named.
    """
    folder, images = list_root(folder, images)
    expression = _patient_expression(patient)
    _check_part(validation)
    paths = paths_below(folder)
    if labels is not None and images is None:
        raise UserError(f"labels={labels!r} needs a pattern for images too, e.g. images='imagesTr/{{case}}.nii.gz'")
    if layout == LAYOUT:
        return _class_folders(folder, paths, name=name, modality=modality, without=without, validation=validation)
    description = description_of(folder)
    named = choose_layout(folder, paths, description, images=images, labels=labels, layout=layout)
    published = named.published
    if published is not None and organs is None:
        organs = published.organs
    pairs = pair_files(folder, paths, named, patient=expression, without=without)
    document = pairs.document
    as_described(document, description, {path for path in paths if path not in without})
    items = [item for split in SPLITS for item in document[split]]
    unlabelled = tuple(item["image"] for item in document["training"] if named.labels and "label" not in item)

    names = _names(folder, organs, description)
    used = used_labels(
        folder,
        [item["label"] for item in items if "label" in item],
        names,
        partial=organs is not None,
        known=described_values(description)[0],
        read_voxels=read_voxels,
        progress=progress,
    )
    _complete(items, folder, used.left_out, published)
    if splits is not None:
        add_folds(document["training"], pairs.cases, splits)
    if validation:
        set_aside(document, validation)
    modality = modality or (published.modality if published else None)
    own = None
    if modality is None:
        first = [folder / item["image"] for item in items[:1]]
        modality = own = _modality(named.channels, named.images, first)
    describe_series(folder, items, modality=own)
    head = {"name": name or folder.name or "data", "modality": modality, **used.document}
    kept = {split: document[split] for split in SPLITS if document[split] or split == "training"}
    return FoundList(
        head | kept,
        named.images,
        named.labels,
        unlabelled,
        tuple(pairs.orphans),
        used.left_out,
        used.foreign,
        named=names is not None or not used.files,
    )


def list_root(folder: str | Path, images: str | None) -> tuple[Path, str | None]:
    """The folder that paths start from, and the pattern of a single scan where that is what was named.

    Args:
        folder: of a data set, or a single scan.
        images: pattern of the images, or None.

    Raises:
        UserError: nothing there, or a single scan whose name would be a pattern.
    """
    path = Path(os.path.abspath(Path(folder).expanduser()))
    single = path.is_file() and format_named(path.name) is not None
    single |= path.is_dir() and images is None and _is_one_series(path)
    if single and images is None:
        if set("{}*") & set(path.name):
            raise UserError(path, expected="a name without {, } and *", found="one", remedy="rename it")
        return path.parent, path.name
    if not path.is_dir():
        raise UserError(path, expected="the folder of the data set", found="nothing there or a file")
    return path, images


def _check_part(validation: object) -> None:
    if isinstance(validation, bool) or not isinstance(validation, int | float) or not 0 <= validation < 1:
        raise UserError("validation", expected="a part of the patients in [0, 1), e.g. 0.2", found=f"{validation!r}")


def _is_one_series(folder: Path) -> bool:
    """Whether a folder holds DICOM images itself, and no other scan in it or below it."""
    return is_series(folder) and not any(
        path.lower().endswith(FILE_ENDINGS) or ((folder / path).is_dir() and is_series(folder / path))
        for path in paths_below(folder)
    )


def _patient_expression(patient: str | None) -> re.Pattern | None:
    try:
        return None if patient is None else re.compile(str(patient))
    except re.error as error:
        raise UserError(f"patient must be a regular expression, got {patient!r} ({error})") from None


def _class_folders(
    folder: Path,
    paths: list[str],
    *,
    name: str | None,
    modality: str | None,
    without: Container[str],
    validation: float,
) -> FoundList:
    document = {"validation": [], **class_folders(folder, paths, modality=modality, without=without)}
    _add_ids(document["training"])
    if validation:
        set_aside(document, validation)
    if not document["validation"]:
        del document["validation"]
    return FoundList({"name": name or folder.name or "data", **document}, PATTERN, None)


def _modality(channels: Mapping[str, str], images: str, first: Sequence[Path]) -> str:
    if is_picture(images):
        expected = "the modality of PNG and JPEG"
        raise UserError("modality", expected=expected, found="none", remedy="name it, such as --modality XR")
    if len(channels) == 1 and "0" in channels:
        return channels["0"]
    return "".join(map(header_modality, first)) or modality_of(images)


def _names(folder: Path, organs: Mapping[Any, Any] | None, description: Mapping[str, Any]) -> OrganNames | None:
    """The names given, else those of ``dataset.json``; its word ``ignore`` is reserved in both cases."""
    where = str(folder / "dataset.json")
    if organs is None:
        return names_of(description["labels"], where) if "labels" in description else None
    given = names_of(organs, "organs")
    ignore = given.ignore if given.ignore is not None else described_values(description)[1]
    return OrganNames({value: organ for value, organ in given.organs.items() if value != ignore}, ignore)


def _complete(
    items: list[dict[str, Any]], folder: Path, left_out: Container[str], published: PublishedLayout | None
) -> None:
    """Take labels without an organ out of the items; write what a published layout says of them, and ids."""
    for item in items:
        if item.get("label") in left_out:
            del item["label"]
        if published is not None:
            published.describe(folder, item)
    _add_ids(items)


def _add_ids(items: list[dict[str, Any]]) -> None:
    """Write ids where those that a list would give by itself repeat, as of a/b.nii.gz and a_b.nii.gz."""
    ids = default_ids(dict(enumerate(items)))
    if len(set(ids.values())) == len(ids):
        return
    taken: set[str] = set()
    for index, item in enumerate(items):
        item["id"] = next(
            name for name in (ids[index], *(f"{ids[index]}_{n}" for n in range(2, len(ids) + 2))) if name not in taken
        )
        taken.add(item["id"])
