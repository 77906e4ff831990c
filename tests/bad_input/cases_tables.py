"""Patients and their classes: from lists, tables and features, divided into folds."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from monai_cl.data import load_data_list, write_features
from tests.bad_input.case import Case
from tests.bad_input.world import Maker, World, document
from tests.engines.probe.feature_cohorts import feature_cohort

_row = partial(Case, "tables")

FROM_TABLE = ("datalist from_table",)


def table(content: str | bytes) -> Maker:
    """``stages.csv`` beside the list; the items lose their own targets."""

    def make(world: World) -> None:
        raw = content.encode() if isinstance(content, str) else content
        (world.root / "stages.csv").write_bytes(raw)
        for entry in world.document["training"]:
            entry.pop("target", None)

    return make


def _in_list(content: str, **spec) -> Maker:
    """The same, named by the list's ``patient_labels``."""

    def make(world: World) -> None:
        table(content)(world)
        document(patient_labels={"table": "stages.csv", "patient": "id", "value": "stage", **spec})(world)

    return make


def features(**changes) -> Maker:
    """``features.npz`` of made-up patients, with arrays replaced."""

    def make(world: World) -> None:
        made = feature_cohort(patients=12, slices=2)
        given = {key: value(made) for key, value in changes.items()}
        write_features(world.root / "features.npz", replace(made, **given))

    return make


def _raw_features(**arrays) -> Maker:
    """Arrays that `write_features` would refuse."""

    def make(world: World) -> None:
        made = feature_cohort(patients=12, slices=2)
        whole = {"features": made.features, "patient": made.patient, "label": made.label}
        np.savez(
            world.root / "features.npz", **{key: arrays[key](made) if key in arrays else whole[key] for key in whole}
        )

    return make


def _folds(content: str) -> Maker:
    def make(world: World) -> None:
        features()(world)
        (world.root / "folds.json").write_text(content)

    return make


def _nan(made) -> np.ndarray:
    array = made.features.copy()
    array[3, 0] = np.nan
    return array


def _check_targets(world: World) -> None:
    items = load_data_list(world.out / "stages.json", data_root=world.root).items()
    assert {item["patient"]: item["target"] for item in items} == {"good": 0, "fine": 1}


def _without_folds(then: Maker) -> Maker:
    def make(world: World) -> None:
        world.folds = 0
        then(world)

    return make


def _split_few(world: World) -> None:
    world.document["training"] = world.document["training"][:2]


GOOD = "id,stage\ngood,0\nfine,1\nbad,1\n"

TABLES = [
    _row(
        "a table without the named column",
        FROM_TABLE,
        table("id,grade\ngood,0\nfine,1\n"),
        ("stages.csv", "expected a column 'stage'", "found id, grade"),
    ),
    _row(
        "a table without the column that the list names",
        ("datalist validate", "prepare"),
        _in_list(GOOD, value="stagge"),
        ("stages.csv", "expected a column 'stagge'", "did you mean 'stage'?"),
    ),
    _row(
        "a patient with two classes in the table",
        FROM_TABLE,
        table("id,stage\ngood,0\nfine,1\ngood,1\n"),
        ("stages.csv", "patient good: expected one label, found 0 in line 2 and 1 in line 4", "correct the table"),
    ),
    _row(
        "a class with fewer patients than folds",
        FROM_TABLE,
        table(GOOD),
        ("stages.csv", "found 1 of class 0 (good)", "add patients"),
    ),
    _row(
        "patients of one class only",
        FROM_TABLE,
        table("id,stage\ngood,1\nfine,1\nbad,1\n"),
        ("stages.csv", "at least two classes", "found class 1 only"),
    ),
    _row(
        "a value of which nobody knows the class",
        FROM_TABLE,
        table("id,stage\ngood,F0\nfine,1\nbad,1\n"),
        ("stages.csv", "'F0'", "mapping"),
    ),
    _row(
        "a row with a cell too many",
        FROM_TABLE,
        table("id,stage\ngood,0,x\nfine,1\n"),
        ("stages.csv", "line 2: expected 2 cells", "double quotes"),
    ),
    _row(
        "an empty cell for the patient",
        FROM_TABLE,
        table("id,stage\n,0\nfine,1\n"),
        ("stages.csv", "line 2: expected a patient in column 'id'", "an empty cell"),
    ),
    _row(
        "a table of other patients",
        FROM_TABLE,
        table("id,stage\nx,0\ny,1\n"),
        ("stages.csv", "expected the patients of the list", "give the items the table's names"),
    ),
    _row(
        "an empty table",
        FROM_TABLE,
        table(""),
        ("stages.csv", "a header line and rows", "found an empty file"),
    ),
    _row(
        "a table in Latin-1",
        FROM_TABLE,
        table("id,stage\nMüller,0\n".encode("latin-1")),
        ("stages.csv", "expected UTF-8 text", "export it as UTF-8 CSV"),
    ),
    _row(
        "a table outside the folder of its list",
        ("datalist validate", "prepare"),
        _in_list(GOOD, table="../stages.csv"),
        ("patient_labels.table", "a table in or below the folder of the list", "--allow_outside True"),
    ),
    _row(
        "more folds than patients",
        ("datalist split",),
        _split_few,
        ("list.json", "at least as many patients as folds (3)", "found 2 patients", "use 2 folds, or add patients"),
    ),
    _row(
        "features of a class with fewer patients than folds",
        ("probe",),
        features(label=lambda made: np.where(made.patient == "p000", 1, 0)),
        ("features.npz", "class 1: expected at least 2 patients", "found 1 (p000)", "add patients"),
    ),
    _row(
        "features of one class only",
        ("probe",),
        features(label=lambda made: made.label * 0),
        ("features.npz", "patients of two classes", "add patients of another one"),
    ),
    _row(
        "features of a patient with two classes",
        ("probe",),
        features(label=lambda made: np.where(np.arange(24) == 1, 1 - made.label, made.label)),
        ("features.npz", "patient p000: expected one label on all slices", "correct the data list"),
    ),
    _row(
        "features with NaN",
        ("probe",),
        _raw_features(features=_nan),
        ("features.npz", "patient p001", "expected finite features", "did the encoder diverge?"),
    ),
    _row(
        "features that are all one value",
        ("probe",),
        features(features=lambda made: made.features * 0),
        ("features", "expected some that differ between slices", "has the encoder collapsed?"),
    ),
    _row(
        "features of another length than their patients",
        ("probe",),
        _raw_features(patient=lambda made: made.patient[:-1]),
        ("features.npz", "expected 24 values", "found 23"),
    ),
    _row(
        "folds with a patient in two of them",
        ("probe --folds",),
        _folds('{"schema": 1, "folds": [["p000", "p001"], ["p001"]]}'),
        ("folds.json", "patient p001: expected one fold", "found 0 and 1"),
    ),
    _row(
        "folds that leave a patient out",
        ("probe --folds",),
        _folds('{"schema": 1, "folds": [["p000"], ["p001"]]}'),
        ("folds.json", "folds that cover every patient", "found none for patients p002"),
    ),
    _row(
        "folds cut in the middle",
        ("probe --folds",),
        _folds('{"schema": 1, "fol'),
        ("folds.json", "expected folds as JSON", "found something else"),
    ),
    _row(
        "unknown classes among known ones",
        ("datalist from_table",),
        _without_folds(table("id,stage\ngood,0\nfine,1\nbad,[Not Available]\n")),
        repair="left out of the list, and counted",
        check=_check_targets,
    ),
]
