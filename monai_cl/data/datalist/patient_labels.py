"""Patient labels of a data list: taken from a table, with enough patients of every class for the folds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from monai_cl.data.datalist.folds import fewer_folds
from monai_cl.data.datalist.tables import TableLabels, read_label_table
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
