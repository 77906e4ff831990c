"""Patient labels of a data list: from a table or from a grade, with enough patients of every class for the folds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from monai_cl.data.datalist.folds import fewer_folds
from monai_cl.data.datalist.items import item_field
from monai_cl.data.datalist.model import DataList, DataSet
from monai_cl.data.datalist.tables import TableLabels, read_label_table
from monai_cl.data.records.grade import OWN_CLASSES, Grade
from monai_cl.errors import UserError


def table_of(spec: Mapping[str, Any], folder: Path) -> TableLabels:
    """Read the table of a list's ``patient_labels``; its path starts from the folder of the list."""
    options = {key: spec[key] for key in ("mapping", "skip_rows") if key in spec}
    return read_label_table(folder / spec["table"], patient=spec["patient"], value=spec["value"], **options)


def add_targets(items: Iterable[MutableMapping[str, Any]], labels: TableLabels) -> int:
    """Give every item the ``target`` of its patient, where the table has one; returns how many patients got none.

    Raises:
        UserError: an item's own target is another one, or the table has none of the patients.
    """
    items = list(items)
    patients = {item["patient"] for item in items}
    if items and not patients & labels.cells.keys():
        raise UserError(
            f"table {labels.path}",
            expected=f"the patients of the list ({_some(patients)})",
            found=f"none of them, but {_some(labels.cells)}",
            remedy='give the items the table\'s names under "patient"',
        )
    for item in items:
        target = labels.targets.get(item["patient"])
        if target is None:
            continue
        if item.setdefault("target", target) != target:
            raise UserError(
                f"patient {item['patient']}: {item['image']}",
                expected=f"{target} as in table {labels.path}",
                found=f"{item['target']}",
                remedy="correct one of them",
            )
    return len(patients - labels.targets.keys())


def with_grade(data_list: DataList, grade: Grade) -> DataList:
    """The list with the class that a grade gives as each item's ``target``, and the grade itself under ``grade``.

    Items without the grade have no ``target``.

    Args:
        data_list: the list, which stays as it is.
        grade: a field of the items or of their ``meta``, and which of its values are positive.

    Raises:
        UserError: no item with the field, a value that is not a number, a patient whose scans are of two classes.
    """
    if grade == OWN_CLASSES:
        return data_list
    datasets = tuple(_graded(dataset, grade) for dataset in data_list.datasets)
    if not any("target" in item for dataset in datasets for _, _, item in dataset.entries()):
        raise _without_field(data_list, grade.field)
    return replace(data_list, datasets=datasets, grade=grade)


def _graded(dataset: DataSet, grade: Grade) -> DataSet:
    splits: dict[str, list[dict[str, Any]]] = {split: [] for split in dataset.splits}
    first_of: dict[str, tuple[int, Any, str]] = {}
    for split, place, item in dataset.entries():
        value = item_field(item, grade.field)
        try:
            target = grade.class_of(value)
        except ValueError as error:
            raise UserError(
                f"{dataset.list_file}: {place}: {dataset.relative(item['image'])}",
                expected=f"a number as its {grade.field}, or null where it is not known",
                found=str(error),
                remedy="correct it, or name the value from which on a patient is positive by positive_from"
                if "not a class" in str(error)
                else "write the grade as a number",
            ) from error
        bare = {key: entry for key, entry in item.items() if key != "target"}
        splits[split].append(bare if target is None else {**bare, "target": target, "grade": value})
        if target is None:
            continue
        first, first_value, first_place = first_of.setdefault(item["patient"], (target, value, place))
        if target != first:
            raise UserError(
                f"{dataset.list_file}: {place}: {dataset.relative(item['image'])}",
                expected=f"the class of patient {item['patient']} as at {first_place}, by {grade.field} {first_value}",
                found=f"another one, by {grade.field} {value}",
                remedy="give the scans of a patient one grade",
            )
    return replace(dataset, splits={split: tuple(items) for split, items in splits.items()})


def _without_field(data_list: DataList, field: str) -> UserError:
    items = [item for dataset in data_list.datasets for _, _, item in dataset.entries()]
    named = {key for item in items for key, value in (item.get("meta") or {}).items() if type(value) in (int, float)}
    named |= {"target"} & {key for item in items for key in item}
    near = get_close_matches(field, sorted(named), n=1)
    has = ", ".join(sorted(named)[:12]) or "none"
    return UserError(
        data_list.path,
        expected=f"items with a {field}, beside their image or in their meta",
        found=f"none among {len(items)} items; numbers that they have: {has}",
        remedy=f"did you mean --target_field {near[0]}?" if near else "name one of these, or add it to the items' meta",
    )


def check_class_sizes(targets: Mapping[str, int | None], *, folds: int, where: str | Path) -> None:
    """Refuse a class with fewer patients than folds: some fold would have none of it, and no AUC.

    Args:
        targets: patient -> class, None is not counted.
        folds: number of folds.
        where: the data list, for the message.

    Raises:
        UserError: names the class, its patients and the list; or there are not two classes.
    """
    members: dict[int, list[str]] = {}
    for patient, target in targets.items():
        if target is not None:
            members.setdefault(target, []).append(patient)
    if len(members) < 2:
        found = f"class {next(iter(members))} only" if members else "none"
        raise UserError(
            where,
            expected="patients of at least two classes",
            found=f"{found} ({len(targets)} patients)",
            remedy="add patients of another one",
        )
    for target, patients in sorted(members.items()):
        if len(patients) < folds:
            raise UserError(
                where,
                expected=f"at least {folds} patients of every class, one per fold",
                found=f"{len(patients)} of class {target} ({_some(patients)})",
                remedy=fewer_folds(len(patients)),
            )


def _some(names: Iterable[str], most: int = 4) -> str:
    names = sorted(map(str, names))
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
