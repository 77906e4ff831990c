"""Lists that take their targets from a table."""

from __future__ import annotations

import json

import pytest

from monai_cl.data import load_data_list
from monai_cl.data.datalist.edit import with_folds
from monai_cl.data.datalist.patient_labels import check_class_sizes, with_grade
from monai_cl.data.records.grade import OWN_CLASSES, Grade
from monai_cl.errors import UserError

TABLE = "id;stage\nP1;0 - none\nP2;3 - much\nP3;[Unknown]\n"
SPEC = {"table": "stages.csv", "patient": "id", "value": "stage", "mapping": {"0": 0, "3": 1}}


def write(folder, *, spec=SPEC, table=TABLE, patients=("P1", "P2", "P3", "P4"), **changes):
    if table is not None:
        (folder / "stages.csv").write_text(table, encoding="utf-8")
    items = [{"image": f"{patient}.nii.gz", "patient": patient} for patient in patients]
    path = folder / "list.json"
    path.write_text(json.dumps({"name": "small", "patient_labels": spec, "training": items} | changes))
    return path


def test_items_get_the_target_of_their_patient(tmp_path):
    items = load_data_list(write(tmp_path)).items()
    assert [item.get("target") for item in items] == [0, 1, None, None]


def test_all_scans_of_a_patient_and_all_splits_get_it(tmp_path):
    items = [{"image": f"{i}.nii.gz", "patient": "P2"} for i in range(2)]
    data_list = load_data_list(write(tmp_path, training=items, test=[{"image": "t.nii.gz", "patient": "P1"}]))
    assert [item["target"] for item in data_list.items()] == [1, 1]
    assert data_list.items("test")[0]["target"] == 0


def test_table_lies_beside_the_list_wherever_the_data_are(tmp_path):
    data_list = load_data_list(write(tmp_path), data_root=tmp_path / "elsewhere")
    assert data_list.items()[1]["target"] == 1


def test_digest_changes_with_the_table(tmp_path):
    before = load_data_list(write(tmp_path)).sha256
    after = load_data_list(write(tmp_path, table=TABLE.replace("P4;", "P5;") + "P4;3\n")).sha256
    assert before != after


def test_written_list_has_the_targets_in_its_items(tmp_path):
    document = with_folds(load_data_list(write(tmp_path)), folds=2)
    assert "patient_labels" not in document
    assert [item.get("target") for item in document["training"]] == [0, 1, None, None]


def test_target_of_an_item_may_not_contradict_the_table(tmp_path):
    items = [{"image": "a.nii.gz", "patient": "P1", "target": 1}]
    with pytest.raises(UserError, match=r"patient P1: .*a.nii.gz: expected 0 as in table .*stages.csv, found 1"):
        load_data_list(write(tmp_path, training=items))


def test_two_scans_of_a_patient_with_two_targets_are_named(tmp_path):
    items = [{"image": f"{i}.nii.gz", "patient": "P9", "target": i} for i in range(2)]
    (tmp_path / "list.json").write_text(json.dumps({"name": "small", "training": items}))
    with pytest.raises(UserError, match=r'training\[1\].target: 1.nii.gz: expected target 0 for patient "P9".*found 1'):
        load_data_list(tmp_path / "list.json")


def test_a_table_of_other_patients_is_refused(tmp_path):
    with pytest.raises(
        UserError, match=r"expected the patients of the list \(X1\), found none of them, but P1, P2, P3"
    ):
        load_data_list(write(tmp_path, patients=("X1",)))


def test_complaints_name_the_list_and_the_place(tmp_path):
    with pytest.raises(UserError, match=r"list.json: patient_labels: stages.csv: .* no such file"):
        load_data_list(write(tmp_path, table=None))
    with pytest.raises(UserError, match=r"patient_labels: .*did you mean 'stage'"):
        load_data_list(write(tmp_path, spec=SPEC | {"value": "stages"}))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"table": "stages.csv", "value": "stage"}, 'patient_labels: expected the key "patient"'),
        (SPEC | {"values": "x"}, r'patient_labels: .*did you mean "value"'),
        (SPEC | {"mapping": {"0": -1}}, "mapping.0: expected an integer of at least 0"),
        (SPEC | {"skip_rows": "2"}, "skip_rows: expected an integer"),
    ],
)
def test_shape_is_checked(tmp_path, spec, message):
    with pytest.raises(UserError, match=message):
        load_data_list(write(tmp_path, spec=spec))


def test_a_class_with_fewer_patients_than_folds_is_named():
    targets = {f"P{i}": 0 for i in range(9)} | {"Q1": 1, "Q2": 1, "R": None}
    check_class_sizes(targets, folds=2, where="x.json")
    with pytest.raises(UserError, match=r"x.json: expected at least 5 patients .* found 2 of class 1 \(Q1, Q2\)"):
        check_class_sizes(targets, folds=5, where="x.json")
    with pytest.raises(UserError, match="at least two classes, found class 0 only"):
        check_class_sizes({"a": 0, "b": 0}, folds=2, where="x.json")
    with pytest.raises(UserError, match="at least two classes, found none"):
        check_class_sizes({"a": None}, folds=2, where="x.json")


def graded(folder, *values, **changes):
    """A list of one scan a patient with a fibrosis in its meta; None has none."""
    metas = [{"site": "A"} | ({} if value is None else {"fibrosis": value}) for value in values]
    items = [{"image": f"{i}.nii.gz", "patient": f"P{i}", "target": 1, "meta": meta} for i, meta in enumerate(metas)]
    path = folder / "list.json"
    path.write_text(json.dumps({"name": "small", "targets": {"0": "no", "1": "yes"}, "training": items} | changes))
    return load_data_list(path)


def test_a_grade_gives_the_items_their_class_and_leaves_the_list_as_it_is(tmp_path):
    content = graded(tmp_path, 0, 2, 3, "4", None, test=[{"image": "t.nii.gz", "meta": {"fibrosis": 1}}])
    found = with_grade(content, Grade("fibrosis", 3))
    assert [item.get("target") for item in found.items()] == [0, 0, 1, 1, None]
    assert [item.get("grade") for item in found.items()] == [0, 2, 3, "4", None]
    assert found.items("test")[0]["target"] == 0
    assert (found.classes, found.cohort) == ({"0": "fibrosis < 3", "1": "fibrosis >= 3"}, "small, fibrosis >= 3")
    assert [item["target"] for item in content.items()] == [1] * 5
    assert (content.classes, content.cohort) == ({"0": "no", "1": "yes"}, "small")
    assert with_grade(content, OWN_CLASSES) is content
    assert found.sha256 == content.sha256


def test_the_targets_of_a_list_can_be_divided_too(tmp_path):
    items = [{"image": f"{stage}.nii.gz", "target": stage} for stage in range(5)]
    content = graded(tmp_path, targets={str(stage): f"F{stage}" for stage in range(5)}, training=items)
    found = with_grade(content, Grade("target", 3))
    assert [item["target"] for item in found.items()] == [0, 0, 0, 1, 1]
    assert found.classes == {"0": "F0, F1, F2", "1": "F3, F4"}


@pytest.mark.parametrize(
    ("values", "grade", "message"),
    [
        ((0, 3), Grade("fibroses", 3), r"list\.json: expected items with a fibroses.* found none among 2 items.*"
         r"fibrosis, target.*did you mean --target_field fibrosis\?"),
        ((0, 3), Grade("steatosis", 3), r"numbers that they have: fibrosis, target.*name one of these"),
        ((0, "F3", "F4"), Grade("fibrosis", 3), r"training\[1\]: 1\.nii\.gz: expected a number as its fibrosis.*found "
         r"'F3' is not a number.*write the grade as a number"),
        ((0, 2.5), Grade("fibrosis"), r"training\[1\].*found 2\.5 is not a class.*positive_from"),
        ((0, 3), Grade("image"), r"training\[0\].*a number as its image, .* is not a number"),
    ],
)  # fmt: skip
def test_a_grade_that_no_item_has_or_that_is_no_number_is_refused(tmp_path, values, grade, message):
    with pytest.raises(UserError, match=message):
        with_grade(graded(tmp_path, *values), grade)


def test_scans_of_a_patient_may_differ_in_the_grade_but_not_in_the_class(tmp_path):
    items = [{"image": f"{i}.nii.gz", "patient": "P", "meta": {"fibrosis": value}} for i, value in enumerate((3, 4))]
    content = graded(tmp_path, training=items)
    assert [item["target"] for item in with_grade(content, Grade("fibrosis", 3)).items()] == [1, 1]
    with pytest.raises(
        UserError, match=r"training\[1\]: 1\.nii\.gz: expected the class of patient P as at training\[0\]"
    ):
        with_grade(content, Grade("fibrosis", 4))
