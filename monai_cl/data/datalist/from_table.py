"""A data list from a table: the scans of another list, with the classes or the grades of their patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_cl.data.datalist.folds import split_folds
from monai_cl.data.datalist.patient_labels import add_targets, check_class_sizes
from monai_cl.data.datalist.tables import TableLabels, read_columns, read_label_table
from monai_cl.errors import UserError


@dataclass(frozen=True)
class TablePreset:
    """The columns of a known table and what their values mean."""

    patient: str
    value: str
    mapping: Mapping[str, int | None]
    targets: Mapping[str, str]
    skip_rows: int = 0


PRESETS = {
    # Ishak groups 0-2 against 3-4 of the WSP paper: 0 | 1,2 | 3,4 against 5 | 6
    "tcga_lihc": TablePreset(
        patient="bcr_patient_barcode",
        value="ishak_fibrosis_score",
        mapping={"0": 0, "1,2": 0, "3,4": 0, "5": 1, "6": 1},
        targets={"0": "Ishak 0-4", "1": "Ishak 5-6"},
        skip_rows=2,
    ),
}


@dataclass(frozen=True)
class TableList:
    """A list and how it was made.

    Attributes:
        document: the list.
        labels: the classes of the table; None where none were asked for.
        without_scan: patients with a class (or any of the fields) but without a scan.
        without_class: patients with a scan but without a class (or any of the fields); left out.
    """

    document: dict[str, Any]
    labels: TableLabels | None
    without_scan: tuple[str, ...]
    without_class: tuple[str, ...]


def list_from_list(
    table: str | Path,
    document: Mapping[str, Any],
    *,
    patient: str,
    value: str | None = None,
    fields: Sequence[str] = (),
    mapping: Mapping[Any, int | None] | None = None,
    skip_rows: int = 0,
    name: str | None = None,
    targets: Mapping[str, str] | None = None,
    folds: int | None = 5,
    seed: int = 0,
) -> TableList:
    """The scans of another list with what a table says of their patients.

    Scans of patients without a class are left out; without ``value``, those of patients without any of the fields.

    Args:
        table: the text file with the classes, see :func:`monai_cl.data.read_label_table`.
        document: a data list of one data set that has been checked (:attr:`monai_cl.data.DataSet.document`); every
            training item names its ``patient``.
        patient: name of the table's column of patient ids.
        value: name of the table's column from which the class is taken; None: the items get no ``target``.
        fields: names of columns that the items get in their ``meta``, such as grades that a classifier may learn.
        mapping: value -> class, None for a class that is not known; without a mapping the values are the classes, see
            :func:`monai_cl.data.read_label_table`.
        skip_rows: rows below the table's header that do not belong to patients.
        name: of the data set; default: the document's.
        targets: class -> its name.
        folds: number of folds, stratified by class; None, or no ``value``, for none.
        seed: of the folds.

    Raises:
        UserError: the table cannot be read, an item without a patient, no patient with a class has a scan, a class has
            fewer patients than folds, an item whose ``meta`` contradicts the table, neither ``value`` nor ``fields``.
    """
    if value is None and not fields:
        raise UserError("from_table", expected="a value or fields, columns of the table", found="neither")
    labels = None
    if value is not None:
        labels = read_label_table(table, patient=patient, value=value, mapping=mapping, skip_rows=skip_rows)
    known = read_columns(table, patient=patient, columns=fields, skip_rows=skip_rows) if fields else {}
    items = [dict(item) for item in document.get("training", ())]
    nameless = next((item for item in items if "patient" not in item), None)
    if nameless is not None or not items:
        found = f"none in {nameless.get('image')}" if nameless else "no item"
        raise UserError(document.get("name"), expected='a "patient" in every training item', found=found)
    replaced = ("training", "numTraining", *(["patient_labels"] if labels is not None else []))
    kept = {key: entry for key, entry in document.items() if key not in replaced}
    kept |= {"name": name or document.get("name") or Path(table).stem}
    if labels is not None:
        add_targets(items, labels)
    items = [_with_fields(item, known.get(item["patient"], {}), table) for item in items]
    named = {name for name, values in known.items() if values} if labels is None else set(labels.targets)
    used = [item for item in items if (item["patient"] in named if labels is None else "target" in item)]
    if not used:
        raise UserError(
            f"table {table}",
            expected=f"scans of patients with a {'class' if labels else ' or '.join(fields)}",
            found="none",
            remedy=labels.summary() if labels else f"its column {patient} must name them as the list does",
        )
    if folds is not None and labels is not None:
        check_class_sizes({item["patient"]: item["target"] for item in used}, folds=folds, where=f"table {table}")
        strata = [item["target"] for item in used]
        assigned = split_folds([item["patient"] for item in used], folds=folds, seed=seed, strata=strata)
        used = [item | {"fold": fold} for item, fold in zip(used, assigned)]
    if targets:
        kept |= {"targets": {str(key): str(text) for key, text in targets.items()}}
    scanned = {item["patient"] for item in items}
    return TableList(
        document={**kept, "training": used},
        labels=labels,
        without_scan=tuple(sorted(named - scanned)),
        without_class=tuple(sorted(scanned - named)),
    )


def _with_fields(item: dict[str, Any], values: Mapping[str, Any], table: str | Path) -> dict[str, Any]:
    """The item with values in its ``meta``, which must not have others there."""
    meta = dict(item.get("meta") or {})
    for name, value in values.items():
        if meta.setdefault(name, value) != value:
            raise UserError(
                f"patient {item['patient']}: {item['image']}",
                expected=f"{name} {value} as in table {table}",
                found=f"{meta[name]} in its meta",
                remedy="correct one of them",
            )
    return {**item, "meta": meta} if values else item
