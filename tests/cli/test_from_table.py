"""``datalist from_table`` as a user runs it."""

from __future__ import annotations

import json

import pytest

from monai_cl.cli.from_table import datalist_from_table_command
from monai_cl.data import load_data_list
from monai_cl.errors import UserError


@pytest.fixture
def folder(tmp_path):
    rows = "".join(f"P{i},F{i % 5}\n" for i in range(20))
    (tmp_path / "stages.csv").write_text("id,stage\n" + rows + "P99,[Unknown]\n", encoding="utf-8")
    items = [{"image": f"{i}.nii.gz", "patient": f"P{i}"} for i in (*range(15), 99)]
    (tmp_path / "scans.json").write_text(json.dumps({"name": "scans", "training": items}))
    return tmp_path


def run(folder, output="out.json", **options):
    defaults = dict(scans=folder / "scans.json", patient="id", value="stage", folds=3)
    mapping = '{"F0": 0, "F1": 0, "F2": 0, "F3": 1, "F4": 1}'
    datalist_from_table_command(folder / "stages.csv", folder / output, **(defaults | {"mapping": mapping} | options))


def test_list_is_written_and_counts_are_reported(folder, capsys):
    run(folder, targets={"0": "F0-F2", "1": "F3-F4"})
    out = capsys.readouterr().out
    assert "21 patients (class 0: 12, class 1: 8, [Unknown]: 1)" in out
    assert "with a class but without a scan: 5 patients" in out
    assert "with a scan but without a class, left out: 1 patients" in out
    assert "15 scans, class 0: 9, class 1: 6" in out
    assert "data_root" not in out
    assert {item["fold"] for item in load_data_list(folder / "out.json").items()} == {0, 1, 2}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"training": ["0.nii.gz"]}, r"training\[0\].*expected an object"),
        ({"training": [{"image": "0.nii.gz"}]}, 'expected a "patient" in every training item, found none in 0.nii.gz'),
        ({"training": 5}, "training: expected a list"),
        ({"training": [5]}, r"training\[0\]"),
        ({"training": [{"patient": "P1"}]}, r"training\[0\].*image"),
        ([1], "expected an object"),
        ({"name": None}, 'expected the key "name"'),
        (
            {"datasets": [{"name": n, "training": [{"image": f"{n}.nii"}]} for n in "ab"]},
            "expected one data set, found 2",
        ),
    ],
)
def test_scans_that_are_not_such_a_list_are_refused(folder, content, message):
    if isinstance(content, dict):
        named = {"name": "odd", "training": [{"image": "x.nii"}]} if "datasets" not in content else {"name": "odd"}
        content = {key: value for key, value in (named | content).items() if value is not None}
    (folder / "odd.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UserError, match=message):
        run(folder, scans=folder / "odd.json")
    assert not (folder / "out.json").exists()


def test_scans_of_a_list_in_another_one_are_taken(folder):
    items = json.loads((folder / "scans.json").read_text(encoding="utf-8"))["training"]
    wrapped = {"name": "mine", "root": "ct", "datasets": [{"name": "scans", "training": items}]}
    (folder / "wrapped.json").write_text(json.dumps(wrapped), encoding="utf-8")
    run(folder, scans=folder / "wrapped.json", output="two.json")
    assert load_data_list(folder / "two.json").items()[0]["image"] == str(folder / "ct" / "0.nii.gz")


def test_cells_of_a_table_cannot_move_the_terminals_cursor(folder, capsys):
    with (folder / "stages.csv").open("a", encoding="utf-8") as table:
        table.write("P98,\x1b[2Junknown\n")
    run(folder, mapping={"F0": 0, "F1": 0, "F2": 0, "F3": 1, "F4": 1, "\x1b[2Junknown": None})
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert r"\x1b[2Junknown: 1" in out


def test_an_existing_list_is_kept(folder):
    run(folder)
    with pytest.raises(UserError, match="exists already and is kept"):
        run(folder)
    run(folder, overwrite=True, folds=0)
    assert {item["fold"] for item in load_data_list(folder / "out.json").items()} == {None}


def test_a_list_in_another_folder_needs_a_data_root(folder, capsys):
    run(folder, output="sub/out.json")
    assert "pass that folder as data_root" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "lihc"}, "preset must be one of tcga_lihc, got 'lihc'"),
        ({"patient": None}, "expected --patient, the column"),
        ({"mapping": "F0=0"}, "mapping: expected JSON"),
        ({"mapping": "[1]"}, "mapping: expected JSON"),
        ({"value": "stages"}, "did you mean 'stage'"),
        ({"scans": "none.json"}, "no such file"),
    ],
)
def test_what_does_not_fit_is_explained(folder, options, message):
    with pytest.raises(UserError, match=message):
        run(folder, **options)


def test_preset_stands_for_columns_and_mapping(folder):
    text = "bcr_patient_barcode\tishak_fibrosis_score\nx\ty\nz\tw\n"
    text += "".join(f"P{i}\t{(0, 6)[i % 2]} - some words\n" for i in range(15))
    (folder / "stages.csv").write_text(text, encoding="utf-8")
    run(folder, preset="tcga_lihc", patient=None, value=None, mapping=None)
    document = json.loads((folder / "out.json").read_text(encoding="utf-8"))
    assert document["targets"] == {"0": "Ishak 0-4", "1": "Ishak 5-6"}
    assert [item["target"] for item in document["training"]] == [0, 1] * 7 + [0]


def test_columns_become_fields_of_the_items_without_classes(folder, capsys):
    (folder / "stages.csv").write_text("id,fibrosis,kpa\nP0,3,9.5\nP1,,2\nP99,0,NA\n")
    run(folder, value=None, fields="fibrosis, kpa", mapping=None)
    out = capsys.readouterr().out
    assert "with a scan but without a fibrosis or kpa, left out: 13 patients" in out
    assert "3 scans, fibrosis of 2, kpa of 2" in out
    items = load_data_list(folder / "out.json").items()
    assert [item["meta"] for item in items] == [{"fibrosis": 3, "kpa": 9.5}, {"kpa": 2.0}, {"fibrosis": 0}]
    with pytest.raises(UserError, match=r"--value, the column with the classes, --fields, or a --preset"):
        run(folder, value=None, output="other.json")
