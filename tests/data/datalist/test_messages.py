"""Every way a data list can be wrong, and the words that say so."""

from __future__ import annotations

import json
import re

import pytest

from monai_cl.data.datalist.json_files import read_json
from monai_cl.data.datalist.loading import check_data_list, load_data_list
from monai_cl.errors import UserError
from monai_cl.shipped import list_file

LABELS = {"0": "background", "1": "liver"}
ITEM = {"image": "a.nii.gz", "label": "b.nii.gz"}
GOOD = {"name": "small", "labels": LABELS, "training": [ITEM]}


def training(*items, **changes) -> dict:
    return GOOD | {"training": list(items)} | changes


def labels(**named) -> dict:
    return GOOD | {"labels": {key.strip("_"): value for key, value in named.items()}}


def message(tmp_path, content) -> str:
    path = tmp_path / "list.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(UserError) as error:
        load_data_list(path)
    assert str(path) in str(error.value)
    return str(error.value)


NOT_JSON = {
    "empty": (b" \n", "expected JSON, found an empty file"),
    "line comment": (b'{\n  // liver\n  "name": "a"}', "line 2, column 3: a comment, and JSON has no comments"),
    "block comment": (b'{"name": /* x */ "a"}', "line 1, column 10: a comment, and JSON has no comments"),
    "hash comment": (b'# mine\n{"name": "a"}', "line 1, column 1: a comment"),
    "trailing comma in object": (b'{"name": "a",\n}', "a comma before the closing bracket; remove the comma"),
    "trailing comma in list": (b'{"training": [1,\n]}', "a comma before the closing bracket; remove the comma"),
    "single quotes": (b"{'name': 'a'}", "line 1, column 2: a single quote; JSON strings need double quotes"),
    "backslash": (rb'{"image": "C:\data"}', "write paths with forward slashes"),
    "two lists": (b"{}\n{}", "line 2, column 1: more text after the end of the list"),
    "half a file": (b'{"name": "a", "training": [', "the file ends in the middle"),
    "web page": (b"<!DOCTYPE html>", "is this a web page"),
    "missing colon": (b'{"name" "a"}', "line 1, column 9: expecting ':' delimiter"),
    "latin-1": ('{"name": "a",\n"source": "Zürich"}'.encode("latin-1"), r"the byte 0xfc in line 2, which is not; save"),
    "utf-16": ('{"name": "a"}'.encode("utf-16"), "expected UTF-8 text, found UTF-16; save it again as UTF-8"),
    "gzip": (b"\x1f\x8b\x08\x00", "found a gzip file; is this an image"),
    "key twice": (b'{"name": "a", "name": "b"}', 'the key "name" appears twice'),
    "NaN": (b'{"name": NaN}', "not JSON: NaN is not a JSON number"),
    "deep": (b"[" * 100_000, "nested too deeply"),
}


@pytest.mark.parametrize(("content", "expected"), NOT_JSON.values(), ids=NOT_JSON)
def test_what_is_not_json_is_said_with_its_place(tmp_path, content, expected):
    assert expected in message(tmp_path, content)


WRONG = {
    "a list": ([], "expected an object {...}, found []"),
    "a number": (3, "expected an object {...}, found 3"),
    "nothing": ({}, 'expected the key "name", found an empty object'),
    "no training": ({"name": "a", "labels": LABELS}, 'expected the key "training", found only the keys name, labels'),
    "no labels": ({"name": "a", "training": [ITEM]}, 'expected the key "labels": items have labels'),
    "no image": (training({"label": "b.nii.gz"}), 'training[0]: expected the key "image", found only the keys label'),
    "no items": (training(), "expected at least one item, found none"),
    "empty name": (GOOD | {"name": " "}, 'name: expected a text that is not empty, found " "'),
    "typo": (GOOD | {"trainning": []}, 'found "trainning"; did you mean "training"?'),
    "typo in item": (training(ITEM | {"lable": "x"}), 'found "lable"; did you mean "label"?'),
    "unknown key": (GOOD | {"zzz": 1}, 'found "zzz"; remove it'),
    "unknown key in item": (training(ITEM | {"phase": "portal"}), 'found "phase"; remove it, or keep it under "meta"'),
    "fold in quotes": (
        training(ITEM | {"fold": "1"}),
        'training[0].fold: a.nii.gz: expected an integer, found "1"; leave',
    ),
    "fold true": (training(ITEM | {"fold": True}), "training[0].fold: a.nii.gz: expected an integer, found true"),
    "fold half": (training(ITEM | {"fold": 0.5}), "expected an integer, found 0.5"),
    "fold below 0": (training(ITEM | {"fold": -1}), "expected an integer of at least 0, found -1"),
    "patient a number": (
        training(ITEM | {"patient": 7}),
        "training[0].patient: a.nii.gz: expected a string, found 7; put",
    ),
    "two channels": (training({"image": ["a", "b"]}), "expected a string, found a list of 2; one image file per item"),
    "bare path": (training("a.nii.gz"), 'training[0]: a.nii.gz: expected an object {...}, found "a.nii.gz"; write'),
    "empty path": (training({"image": ""}), 'training[0].image: expected a text that is not empty, found ""'),
    "id with slash": (
        training(ITEM | {"id": "a/b"}),
        'training[0].id: a.nii.gz: expected a name without slashes, found "a/b"',
    ),
    "training an object": (GOOD | {"training": {"image": "a"}}, "training: expected a list [...], found an object"),
    "labels a list": (GOOD | {"labels": ["liver"]}, "labels: expected an object {...}, found a list of 1; write"),
    "label id a word": (
        labels(_0_="background", liver="1"),
        'label ids that are integers in quotes, 0 or more, found "liver"',
    ),
    "label id 1.0": (GOOD | {"labels": LABELS | {"2.0": "x"}}, 'integers in quotes, 0 or more, found "2.0"'),
    "label id -1": (GOOD | {"labels": LABELS | {"-1": "x"}}, 'integers in quotes, 0 or more, found "-1"'),
    "label id 01": (GOOD | {"labels": LABELS | {"01": "x"}}, 'integers in quotes, 0 or more, found "01"'),
    "no background": (labels(_1_="liver"), 'labels: expected an entry "0": "background", found the ids 1'),
    "background an organ": (labels(_0_="liver"), 'labels.0: expected "background", found "liver"; 0 is the background'),
    "nnU-Net's labels": (GOOD | {"labels": {"background": 0, "liver": 1}}, "this is name -> id (as nnU-Net writes it)"),
    "organ a number": (labels(_0_="background", _1_=5), "labels.1: expected a string, found 5"),
    "organ twice": (GOOD | {"labels": LABELS | {"2": "Liver"}}, 'found "Liver" for the ids 1 and 2; to merge them'),
    "label id too large": (GOOD | {"labels": LABELS | {"40000": "x"}}, "expected ids of at most 32767, found 40000"),
    "map to undeclared id": (
        GOOD | {"label_map": {"5": 9}},
        "label_map.5: expected one of the ids of labels (0, 1), found 9",
    ),
    "map from a word": (GOOD | {"label_map": {"x": 1}}, 'integers in quotes, 0 or more, found "x"'),
    "absolute path": (training({"image": "/d/a.nii.gz"}), "training[0].image: /d/a.nii.gz: expected a relative path"),
    "windows path": (training({"image": "C:/a.nii.gz"}), "found the absolute path 'C:/a.nii.gz'; write the path from"),
    "home path": (training({"image": "~/a.nii.gz"}), "found the absolute path '~/a.nii.gz'"),
    "path out of root": (
        training({"image": "x/../../a.nii.gz"}),
        "found 'x/../../a.nii.gz', which leaves it through '..'",
    ),
    "label out of root": (
        training({"image": "a", "label": "../b"}),
        "training[0].label: ../b: expected a relative path",
    ),
    "backslashes": (training({"image": r"x\a.nii.gz"}), "with backslashes"),
    "zero byte": (
        training({"image": "a\0b"}),
        "expected a possible file name, found 'a\\x00b' with a zero byte",
    ),
    "a lone surrogate": (training({"image": "a\ud800"}), r"expected text, found a lone surrogate, \ud800; write it"),
    "a lone surrogate in a name": (GOOD | {"name": "a\udfffb"}, r"a lone surrogate, \udfff"),
    "a lone surrogate after a whole one": (GOOD | {"name": "\U0001f600\ude00"}, r"a lone surrogate, \ude00"),
    "root out of data root": (GOOD | {"root": "../x"}, "root: expected a sub-folder of the data root, found '../x'"),
    "item twice": (
        training(ITEM, ITEM),
        "training[1].image: a.nii.gz: expected every image once, found the one of training[0]",
    ),
    "item twice, other spelling": (training(ITEM, {"image": "./x/../a.nii.gz"}), "found the one of training[0] again"),
    "item in training and test": (training(ITEM, test=[ITEM]), "test[0].image: a.nii.gz: expected every image once"),
    "id twice": (
        training(ITEM, {"image": "c", "id": "a"}),
        'training[1].id: c: expected every id once, found "a" of training[0]',
    ),
    "image is label": (
        training({"image": "a.nii", "label": "./a.nii"}),
        "expected an image and its label map, found the same file",
    ),
    "fold in some items": (
        training(ITEM | {"fold": 1}, {"image": "c"}),
        "training[1]: c: expected a fold in every training item or in none, found none here (1 of 2 items have none)",
    ),
    "patient in two folds": (
        training(ITEM | {"fold": 1, "patient": "P"}, {"image": "c", "fold": 0, "patient": "P"}),
        'training[1]: c: expected patient "P" in fold 1 only, as at training[0], found the patient in fold 0 too',
    ),
    "patient in training and test": (
        training(ITEM | {"patient": "P"}, test=[{"image": "c", "patient": "P"}]),
        'test[0]: c: expected patient "P" in training only, as at training[0], found the patient in test too',
    ),
    "number of items": (GOOD | {"numTraining": 9}, "numTraining: expected 1, the number of training items, found 9"),
    "unknown target": (
        training(ITEM | {"target": 3}, targets={"0": "F0-F2", "1": "F3-F4"}),
        "training[0].target: a.nii.gz: expected one of the targets 0, 1, found 3",
    ),
    "datasets empty": ({"name": "a", "datasets": []}, "datasets: expected at least one entry, found none"),
    "datasets and training": ({"name": "a", "datasets": [GOOD], "training": []}, 'found "training"'),
    "wrong in a data set": (
        {"name": "a", "datasets": [GOOD, training({"image": 3})]},
        "datasets[1].training[0].image: expected a string, found 3",
    ),
    "data-set name twice": (
        {"name": "a", "datasets": [GOOD, GOOD | {"root": "x"}]},
        'datasets[1].name: expected another name, found "small" for datasets[0] too',
    ),
    "image in two data sets": (
        {"name": "a", "datasets": [GOOD, GOOD | {"name": "other"}]},
        "expected every image in one data set only, found the image of datasets[0].training[0] of data set small again",
    ),
    "included list missing": (
        {"name": "a", "datasets": [{"list": "lisst.json"}]},
        "datasets[0].list: lisst.json: expected a readable data list, found data list",
    ),
    "included list outside": (
        {"name": "a", "datasets": [{"list": "../b.json"}]},
        "expected a list in or below the folder",
    ),
    "includes itself": (
        {"name": "a", "datasets": [{"list": "list.json"}]},
        "datasets[0].list: expected lists that do not include one another, found the circle list.json -> list.json",
    ),
    "include with another key": ({"name": "a", "datasets": [{"list": "b.json", "rot": "x"}]}, 'did you mean "root"?'),
}


@pytest.mark.parametrize(("document", "expected"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_with_its_place(tmp_path, document, expected):
    found = message(tmp_path, document)
    assert expected in found
    assert re.search(r"expected .+, found .+", found)


def test_all_problems_are_reported_at_once(tmp_path):
    document = {
        "name": 3,
        "labels": {"0": "background", "1": "liver"},
        "label_map": {"4": 7},
        "root": "../x",
        "training": [{"image": "/a"}, {"image": 3}, {"image": "c", "fold": "0"}, {"image": "d"}, {"image": "d"}],
        "tests": [],
    }
    text = message(tmp_path, document)
    assert "has 8 problems" in text
    places = (
        "name",
        "label_map.4",
        "root",
        "training[0].image",
        "training[1].image",
        "training[2].fold",
        "training[4]",
    )
    for place in places:
        assert f"list.json: {place}" in text


def test_complaints_of_included_lists_name_that_file(tmp_path):
    (tmp_path / "inner.json").write_text(json.dumps(training({"image": "/a"})))
    assert "inner.json: training[0].image: /a: expected" in message(
        tmp_path, {"name": "a", "datasets": [{"list": "inner.json"}]}
    )


def test_circle_through_another_list_is_found(tmp_path):
    (tmp_path / "b.json").write_text(json.dumps({"name": "b", "datasets": [{"list": "list.json"}]}))
    text = message(tmp_path, {"name": "a", "datasets": [{"list": "b.json"}, GOOD]})
    assert "found the circle list.json -> b.json -> list.json" in text


def test_long_lists_of_complaints_are_cut(tmp_path):
    text = message(tmp_path, training(*({"image": f"/{i}"} for i in range(70))))
    assert "has 70 problems" in text
    assert "and 20 more" in text
    assert len(text.splitlines()) == 52


def test_missing_file_names_its_neighbour(tmp_path):
    (tmp_path / "btcv.json").write_text("{}")
    with pytest.raises(UserError, match=r"btvc\.json: no such file; did you mean .*btcv\.json\?"):
        load_data_list(tmp_path / "btvc.json")
    with pytest.raises(UserError, match=r"no such file; correct the path: the folder .*nowhere does not exist either"):
        load_data_list(tmp_path / "nowhere" / "a.json")
    with pytest.raises(
        UserError, match=r"correct the path: .* has btcv\.json, or make a list with `.* datalist create`"
    ):
        load_data_list(tmp_path / "cohort.json")
    with pytest.raises(UserError, match=r"correct the path: .* has btcv\.json$"):
        read_json(tmp_path / "cohort.json", what="splits")
    with pytest.raises(UserError, match="expected a JSON file, found a folder"):
        load_data_list(tmp_path)


@pytest.mark.parametrize("word", ["msd_spleen", "msd_spleen.json", "nowhere/msd_spleen.json"])
def test_a_missing_file_of_a_shipped_lists_name_points_there(tmp_path, word):
    with pytest.raises(UserError) as caught:
        load_data_list(tmp_path / word)
    command = str(caught.value.remedy).split("`")[1]
    assert command == "python -m monai_cl datalist path msd_spleen"
    assert list_file(command.split()[-1]).is_file()


@pytest.mark.parametrize(
    ("one", "other", "parts"),
    [
        ({"fold": 0}, {"fold": 1}, ("fold 0", "fold 1")),
        ({"fold": 0}, {}, ("fold 0", "training")),
        ({}, None, ("training", "test")),
        ({"fold": 1}, {"fold": 1}, None),
        ({}, {}, None),
    ],
)
@pytest.mark.parametrize("patient", ["P 0042", "p  0042 "])
def test_a_patient_of_two_data_sets_is_in_one_part(tmp_path, one, other, parts, patient):
    sets = {"a": [("P 0042", one)], "b": [(patient, other)]}
    for name, ((who, more),) in sets.items():
        split, item = ("test", {}) if more is None else ("training", more)
        item = {"image": f"{name}.nii.gz", "patient": who} | item
        (tmp_path / f"{name}.json").write_text(json.dumps({"name": name, split: [item]}))
    (tmp_path / "both.json").write_text(json.dumps({"name": "both", "datasets": [{"list": f"{n}.json"} for n in sets]}))
    data_list, problems = check_data_list(tmp_path / "both.json")
    if parts is None:
        assert data_list is not None
        assert problems == []
        return
    (problem,) = [one for one in problems if one.kind == "patient in two parts"]
    assert f"in {parts[0]} only, as at " in problem.expected
    assert problem.expected.endswith(" of a")
    assert problem.found == f"the patient in {parts[1]} too"


def test_serial_numbers_of_two_data_sets_are_two_patients(tmp_path):
    for name, fold in (("a", 0), ("b", 1)):
        item = {"image": f"{name}.nii.gz", "patient": "7", "fold": fold}
        (tmp_path / f"{name}.json").write_text(json.dumps({"name": name, "training": [item]}))
    (tmp_path / "both.json").write_text(
        json.dumps({"name": "both", "datasets": [{"list": "a.json"}, {"list": "b.json"}]})
    )
    assert check_data_list(tmp_path / "both.json")[1] == []


def test_what_can_be_read_is_kept_beside_the_complaints(tmp_path):
    path = tmp_path / "list.json"
    path.write_text(json.dumps(training({"image": 3}, {"image": "b.nii.gz"})))
    data_list, problems = check_data_list(path)
    assert [problem.kind for problem in problems] == ["wrong type"]
    assert data_list is not None
    assert [item["id"] for item in data_list.items()] == ["b"]
    assert data_list.datasets[0].places["training"] == ("training[1]",)
