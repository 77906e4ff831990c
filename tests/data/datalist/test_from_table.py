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
