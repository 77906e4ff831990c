"""New lists from old ones: with folds, or reduced to one run of a cross-validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_cl.data.datalist.folds import extend_folds, fold_items, split_folds
from monai_cl.data.datalist.items import item_modality, reading_options
from monai_cl.data.datalist.loading import DataList
from monai_cl.data.datalist.model import SPLITS, DataSet
from monai_cl.errors import UserError
from monai_cl.jobs import shown


def with_folds(
    data_list: DataList,
    *,
    folds: int | None = None,
    seed: int = 0,
    stratify: str | None = None,
    replace: bool = False,
    keep: DataList | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """The list as a document in which every training item has a fold; a patient's items share theirs.

    Args:
        data_list: each of its data sets is divided separately; included lists are written out.
        folds: number of folds; None: 5, or as many as ``keep`` has.
        seed: another seed gives another division.
        stratify: ``"target"`` (the items' own targets), ``"classes"`` (the set of organs in the label file, which is
            read), or None.
        replace: give new folds to a list that has some.
        keep: list whose patients stay in their folds, perhaps the same; others fill the smallest folds, see
            :func:`extend_folds`.
        progress: show a progress bar while label files are read.

    Raises:
        UserError: the list has folds already, fewer patients than folds, nothing to stratify by, or no folds to keep.
    """
    if stratify not in (None, "target", "classes"):
        raise UserError(f"stratify must be 'target', 'classes' or nothing, got {stratify!r}")
    changed = {}
    for dataset in data_list.datasets:
        items = dataset.splits["training"]
        if keep is None and not replace and any(item["fold"] is not None for item in items):
            raise UserError(
                f"data list {data_list.path}",
                found=f"data set {dataset.name} has folds already, perhaps published ones",
                remedy="pass --keep to add scans to them, or --replace_folds to make others",
            )
        strata = None if stratify is None else _strata(dataset, items, stratify, progress=progress)
        try:
            patients = [item["patient"] for item in items]
            if keep is None:
                assigned = split_folds(patients, folds=5 if folds is None else folds, seed=seed, strata=strata)
            else:
                kept = folds_of(keep, dataset.name)
                assigned = extend_folds(patients, kept=kept, folds=folds, seed=seed, strata=strata)
        except UserError as error:
            raise UserError(f"data list {data_list.path}: data set {dataset.name}: {error}") from None
        changed[dataset.name] = {"training": [item | {"fold": fold} for item, fold in zip(items, assigned)]}
    return document_of(data_list, changed)


def folds_of(data_list: DataList, name: str) -> dict[str, int]:
    """Patient -> fold in a list's data set of this name, or in its only one.

    Args:
        data_list: the list.
        name: of the data set.
    """
    dataset = data_list.datasets[0] if len(data_list.datasets) == 1 else data_list.dataset(name)
    return {item["patient"]: item["fold"] for item in dataset.splits["training"] if item["fold"] is not None}


def one_fold(data_list: DataList, *, fold: int | None, label_fraction: float, seed: int = 0) -> dict[str, Any]:
    """The list of one run: ``training`` is the nested fraction of the other folds, ``validation`` is fold ``fold``.

    Loaded with ``fold=None`` it gives just the items that :func:`monai_cl.data.fold_items` gives for these arguments.
    """
    training = fold_items(data_list, fold=fold, label_fraction=label_fraction, seed=seed)
    validation = (
        fold_items(data_list, fold=fold, split="validation") if fold is not None else data_list.items("validation")
    )
    changed = {}
    for dataset in data_list.datasets:
        changed[dataset.name] = {
            split: [item | {"fold": None} for item in items if item["dataset"] == dataset.name]
            for split, items in (("training", training), ("validation", validation))
        }
    part = "the list's own split" if fold is None else f"fold {fold}"
    document = document_of(data_list, changed)
    note = f"{label_fraction:.0%} of the training scans of {part} of {data_list.path.name}, seed {seed}."
    keys = {key: value for key, value in document.items() if key not in ("description", "datasets", *SPLITS)}
    return keys | {"description": note} | {key: document[key] for key in ("datasets", *SPLITS) if key in document}


def document_of(
    data_list: DataList, changed: Mapping[str, Mapping[str, Sequence[dict]]] | None = None
) -> dict[str, Any]:
    """A data list as one JSON document without inclusions.

    Args:
        data_list: the list.
        changed: data-set name -> split -> items that replace its own.

    Every item is written with its id, and with its patient where the list states one, so that neither changes when
    items are left out.
    """
    changed = changed or {}
    parts = [_dataset_document(dataset, changed.get(dataset.name, {})) for dataset in data_list.datasets]
    if len(parts) == 1 and parts[0]["name"] == data_list.name:
        return parts[0]
    return {"name": data_list.name, "datasets": parts}


def _dataset_document(dataset: DataSet, changed: Mapping[str, Sequence[dict]]) -> dict[str, Any]:
    # the items have their targets already, and the table's path would not hold in another folder
    dropped = ("$schema", "name", "root", "numTraining", "numTest", "patient_labels", *SPLITS)
    document: dict[str, Any] = {"name": dataset.name}
    document |= {key: value for key, value in dataset.document.items() if key not in dropped}
    if dataset.sub_root:
        document["root"] = dataset.sub_root
    for split in SPLITS:
        items = changed.get(split, dataset.splits[split])
        if items or split == "training":
            document[split] = [_plain_item(dataset, item) for item in items]
    return document


def _plain_item(dataset: DataSet, item: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = {"image": _posix(dataset, item["image"])}
    if "label" in item:
        plain["label"] = _posix(dataset, item["label"])
    if item["fold"] is not None:
        plain["fold"] = item["fold"]
    # the id as a patient's, unless the list says so, would be taken for one that other lists know too
    if item["patient"] != item["id"] or item["patient"] in dataset.stated_patients:
        plain["patient"] = item["patient"]
    plain["id"] = item["id"]
    if item_modality(item) != dataset.modality:
        plain["modality"] = item_modality(item)
    carried = ("target", "findings", "slice_findings", "meta", "series_part", "uneven_slices")
    return plain | {key: item[key] for key in carried if key in item}


def _posix(dataset: DataSet, file: str) -> str:
    relative = dataset.relative(file)
    return file if relative.startswith("..") else Path(relative).as_posix()


def _strata(dataset: DataSet, items: Sequence[dict], stratify: str, *, progress: bool) -> list[Any]:
    if stratify == "target":
        without = [item["id"] for item in items if "target" not in item]
        if without:
            raise UserError(
                f"data set {dataset.name}", expected="a target in every item", found=f"none in {without[0]}"
            )
        return [item["target"] for item in items]
    from monai_cl.data.io.label_reading import read_label_file
    from monai_cl.data.io.label_values import label_values, present_labels

    present = []
    for item in shown(items, f"labels of {dataset.name}" if progress else None):
        try:
            values = {}
            if "label" in item:
                label = read_label_file(item["label"], image=item["image"], **reading_options(item))
                values = label_values(label.array)
        except UserError:
            raise
        except ValueError as error:
            raise UserError(item["label"], expected="label ids", found=error) from None
        present.append(tuple(sorted(present_labels(values, dataset.label_map, dataset.ignore))))
    return present
