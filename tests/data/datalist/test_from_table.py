"""Lists made from a label table and the scans there are; the shipped TCGA-LIHC list."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from monai_cl.data import list_from_list, load_data_list
from monai_cl.data.datalist.from_table import PRESETS
from monai_cl.data.datalist.json_files import write_json
from monai_cl.errors import UserError

LISTS = Path(__file__).parents[3] / "data_lists"


def table(folder: Path, classes: dict[str, str]) -> Path:
    path = folder / "stages.csv"
    path.write_text("\n".join(["id,stage", *(f"{name},{cell}" for name, cell in classes.items())]), encoding="utf-8")
    return path


def scans(*names: str) -> dict:
    return {"name": "mine", "training": [{"image": f"{name}.nii.gz", "patient": name} for name in names]}


def test_list_has_folds_and_counts(tmp_path):
    classes = {f"P{i}": str(i % 2) for i in range(20)} | {"P20": "NA", "P21": "1"}
    document = scans(*(f"P{i}" for i in range(21)))
    made = list_from_list(
        table(tmp_path, classes), document, patient="id", value="stage", targets={"0": "no", "1": "yes"}
    )
    assert made.without_class == ("P20",)
    assert made.without_scan == ("P21",)
    write_json(tmp_path / "list.json", made.document)
    items = load_data_list(tmp_path / "list.json").items()
    assert len(items) == 20
    assert Counter((item["fold"], item["target"]) for item in items) == {(f, t): 2 for f in range(5) for t in (0, 1)}
    assert items[0]["patient"] == "P0"


def test_a_class_with_fewer_patients_than_folds_is_refused(tmp_path):
    classes = {f"P{i}": "0" for i in range(9)} | {"Q1": "1"}
    options = dict(patient="id", value="stage")
    with pytest.raises(UserError, match=r"stages.csv: expected at least 5 .* found 1 of class 1 \(Q1\); add patients"):
        list_from_list(table(tmp_path, classes), scans(*classes), **options)
    made = list_from_list(table(tmp_path, classes), scans(*classes), folds=None, **options)
    assert len(made.document["training"]) == 10


def test_scans_of_another_list_keep_what_they_have(tmp_path):
    document = {
        "name": "mine",
        "labels": {"0": "background", "1": "liver"},
        "root": "ct",
        "training": [{"image": f"{i}.nii.gz", "label": f"{i}_liver.nii.gz", "patient": f"P{i}"} for i in range(5)],
    }
    classes = {f"P{i}": str(i % 2) for i in range(4)}
    made = list_from_list(table(tmp_path, classes), document, patient="id", value="stage", folds=2)
    assert made.document["labels"] == document["labels"]
    assert made.document["root"] == "ct"
    assert [item["target"] for item in made.document["training"]] == [0, 1, 0, 1]
    assert made.document["training"][3]["label"] == "3_liver.nii.gz"
    assert made.without_class == ("P4",)


def test_items_without_a_patient_are_refused(tmp_path):
    document = {"name": "mine", "training": [{"image": "a.nii.gz"}]}
    with pytest.raises(UserError, match=r'mine: expected a "patient" in every training item, found none in a.nii.gz'):
        list_from_list(table(tmp_path, {"P1": "0"}), document, patient="id", value="stage")


def test_shipped_tcga_list_has_the_patients_of_the_paper():
    items = load_data_list(LISTS / "tcga_lihc.json").items()
    assert Counter(item["target"] for item in items) == {0: 34, 1: 15}
    assert len({item["patient"] for item in items}) == 49
    for item in items:
        score = item["meta"]["ishak"].split(" - ")[0]
        assert PRESETS["tcga_lihc"].mapping[score] == item["target"]
    for target, each in ((0, {6, 7}), (1, {3})):
        assert set(Counter(i["fold"] for i in items if i["target"] == target).values()) == each


def test_columns_of_a_table_go_into_the_meta_of_the_items(tmp_path):
    path = tmp_path / "grades.csv"
    path.write_text("id,fibrosis,kpa,site\nP0,0,2.5,A\nP1,4,NA,B\nP2,,3,A\nP1,4,12,B\nP9,1,1,C\nP3,NA,,\n")
    document = scans("P0", "P1", "P2", "P3", "P4")
    document["training"][0]["meta"] = {"site": "A", "scanner": 2}
    made = list_from_list(path, document, patient="id", fields=["fibrosis", "kpa", "site"])
    assert [item.get("meta") for item in made.document["training"]] == [
        {"site": "A", "scanner": 2, "fibrosis": 0, "kpa": 2.5},
        {"fibrosis": 4, "kpa": 12.0, "site": "B"},
        {"kpa": 3.0, "site": "A"},
    ]
    assert (made.without_scan, made.without_class) == (("P9",), ("P3", "P4"))
    assert not any({"target", "fold"} & item.keys() for item in made.document["training"])
    assert document["training"][1].keys() == {"image", "patient"}
    both = list_from_list(path, scans("P0", "P1"), patient="id", value="fibrosis", fields=["kpa"], folds=None)
    assert [(item["target"], item["meta"]["kpa"]) for item in both.document["training"]] == [(0, 2.5), (4, 12.0)]


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ("P0,1\nP0,2\n", {"fields": ["stage"]}, "patient P0: expected one stage, found 1 in line 2 and 2 in line 3"),
        ("P0,1\n", {"fields": ["stages"]}, "expected a column 'stages'.*did you mean 'stage'"),
        (",1\n", {"fields": ["stage"]}, "line 2: expected a patient in column 'id'"),
        ("P8,1\n", {"fields": ["stage"]}, "expected scans of patients with a stage, found none; its column id must"),
        ("P0,1\n", {}, "expected a value or fields"),
    ],
)
def test_fields_that_do_not_fit_are_refused(tmp_path, rows, options, message):
    (tmp_path / "grades.csv").write_text("id,stage\n" + rows)
    with pytest.raises(UserError, match=message):
        list_from_list(tmp_path / "grades.csv", scans("P0"), patient="id", **options)


def test_a_field_that_contradicts_the_list_is_refused(tmp_path):
    document = {"name": "mine", "training": [{"image": "a.nii.gz", "patient": "P0", "meta": {"stage": 3}}]}
    with pytest.raises(UserError, match=r"patient P0: a\.nii\.gz: expected stage 1 as in table .*found 3 in its meta"):
        list_from_list(table(tmp_path, {"P0": "1"}), document, patient="id", fields=["stage"])
