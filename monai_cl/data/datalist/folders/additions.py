"""New scans for a list that exists: what it says of the others stays as it is, folds and ids too."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_cl.data.datalist.create import FoundList, create_data_list
from monai_cl.data.datalist.folders.description import IGNORE
from monai_cl.data.datalist.folds import extend_folds
from monai_cl.data.datalist.items import default_ids
from monai_cl.data.datalist.json_files import read_json
from monai_cl.data.datalist.loading import DataList, DataSet
from monai_cl.data.datalist.model import SPLITS
from monai_cl.data.datalist.reader import with_known_splits
from monai_cl.data.io.label_values import UNDECLARED
from monai_cl.errors import UserError


@dataclass(frozen=True)
class Extended:
    """A list with new scans.

    Attributes:
        document: the whole list.
        found: what was found of new scans.
        added: split -> items, as they are in the document.
    """

    document: dict[str, Any]
    found: FoundList
    added: dict[str, list[dict[str, Any]]]


def add_scans(
    data_list: DataList,
    *,
    dataset: str | None = None,
    images: str | None = None,
    labels: str | None = None,
    patient: str | None = None,
    seed: int = 0,
    read_voxels: bool = True,
    progress: bool = False,
) -> Extended:
    """The list with the scans below its root that it does not have yet.

    In a list with folds, a new scan of a known patient gets that patient's fold, a new patient the smallest fold.

    Args:
        data_list: the list.
        dataset: name of the data set that the scans belong to, in a list of several.
        images: pattern of the new images, as of :func:`create_data_list`.
        labels: pattern of their labels; values mean what the list says.
        patient: regular expression for the patient in an image's path.
        seed: decides between folds of one size.
        read_voxels: look into the new label files.
        progress: show a progress bar while label files are read.

    Raises:
        UserError: no new scan, a data set that another file describes, a label with values that the list does not name.
    """
    target = data_list.only_dataset if dataset is None else data_list.dataset(dataset)
    if Path(target.list_file) != data_list.path:
        raise UserError(
            f"data list {data_list.path}",
            found=f"data set {target.name} is in another file, {target.list_file}",
            remedy="add the scans to that list",
        )
    found = create_data_list(
        target.root,
        images=images,
        labels=labels,
        organs=_organs(target) or None,
        patient=patient,
        without={posixpath.normpath(target.relative(item["image"])) for _, _, item in target.entries()},
        read_voxels=read_voxels,
        progress=progress,
    )
    new = {split: [dict(item) for item in found.document.get(split, ())] for split in SPLITS}
    if not any(new.values()):
        raise UserError(
            target.root,
            expected=f"scans that data list {data_list.path} does not have",
            found=f"none among the images {found.images}",
            remedy="name the new files with --images and --labels",
        )
    _check_values(target, found)
    document = with_known_splits(read_json(data_list.path))
    part = _part(document, target.place)
    _keep_ids(target, part, new)
    _give_folds(target, new["training"], seed)
    for split, count in (("training", "numTraining"), ("validation", None), ("test", "numTest")):
        if new[split]:
            part[split] = [*part.get(split, ()), *new[split]]
        if count in part:
            part[count] = len(part[split])
    return Extended(document, found, new)


def _organs(dataset: DataSet) -> dict[int, str]:
    """File value -> organ, as the list has them."""
    values = dataset.label_map or {label: label for label in dataset.labels}
    organs = {value: dataset.labels[label] for value, label in values.items() if label}
    return organs | ({} if dataset.ignore is None or not organs else {dataset.ignore: IGNORE})


def _check_values(dataset: DataSet, found: FoundList) -> None:
    """Values without a name are background where the list has a label map, and a mistake elsewhere."""
    if dataset.label_map is None and found.foreign:
        raise UserError(
            found.labels,
            expected=f"values that the list names ({', '.join(map(str, dataset.labels))})",
            found=", ".join(map(str, found.foreign)),
            remedy=UNDECLARED,
        )


def _part(document: dict[str, Any], place: str) -> dict[str, Any]:
    """The data set at a place such as ``datasets[1]``; the document itself for ``""``."""
    index = re.search(r"\[([0-9]+)\]", place)
    return document if index is None else document["datasets"][int(index[1])]


def _keep_ids(dataset: DataSet, part: dict[str, Any], new: dict[str, list[dict[str, Any]]]) -> None:
    """Write the ids of new items, and those of listed ones that would change beside the new file names."""
    listed = {
        (split, i): {"image": raw} if isinstance(raw, str) else raw
        for split in SPLITS
        for i, raw in enumerate(part.get(split, ()))
    }
    former = {(split, i): item["id"] for split in SPLITS for i, item in enumerate(dataset.splits[split])}
    fresh = {("new", number): item for number, item in enumerate(item for split in SPLITS for item in new[split])}
    ids = default_ids(listed | fresh)
    for (split, i), own in former.items():
        if ids[split, i] != own:
            part[split][i] = listed[split, i] | {"id": own}
    taken = set(former.values())
    for key, item in fresh.items():
        names = (ids[key], *(f"{ids[key]}_{n}" for n in range(2, len(ids) + 2)))
        item["id"] = next(name for name in names if name not in taken)
        taken.add(item["id"])


def _give_folds(dataset: DataSet, items: list[dict[str, Any]], seed: int) -> None:
    listed = dataset.splits["training"]
    kept = {item["patient"]: item["fold"] for item in listed if item["fold"] is not None}
    if not kept or not items:
        return
    patients = [*(item["patient"] for item in listed), *(item.get("patient", item["id"]) for item in items)]
    folds = extend_folds(patients, kept=kept, seed=seed)
    for item, fold in zip(items, folds[len(listed) :], strict=True):
        item["fold"] = fold
