"""The cohort on disk: complete or absent, reproducible, and readable through its own lists."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from monai_cl.cli.synthetic import phantom_command
from monai_cl.data.datalist.loading import load_data_list
from monai_cl.data.phantom.abdomen import cohort as phantom_cohort
from monai_cl.data.phantom.abdomen.case import phantom_case
from monai_cl.data.phantom.abdomen.cohort import write_cohort
from monai_cl.data.phantom.abdomen.kinds import KINDS, PRETRAINING
from monai_cl.errors import UserError

QUICK = dict(spacing=9.0, progress=False)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("phantom") / "cohort"
    write_cohort(folder, cases=3, seed=7, **QUICK)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_files_are_the_cases_in_memory(cohort):
    case = phantom_case(7, 1, kind="liver", spacing=9.0, orientation=None)
    image = nib.load(cohort / "synthetic_liver/images/liver_0001.nii.gz")
    label = nib.load(cohort / "synthetic_liver/labels/liver_0001.nii.gz")
    assert image.get_data_dtype() == np.int16
    np.testing.assert_array_equal(np.asarray(image.dataobj), case.image)
    np.testing.assert_array_equal(np.asarray(label.dataobj), case.label)
    np.testing.assert_allclose(image.affine, case.affine, atol=1e-3)
    np.testing.assert_allclose(image.get_qform(), case.affine, atol=1e-2)
    assert b"synthetic" in image.header["descrip"].tobytes()


def test_lists_name_files_that_are_there(cohort):
    for name in ("pretraining.json", "target.json", "spleen.json"):
        data_list = load_data_list(cohort / name)
        for data_set in data_list.datasets:
            items = data_list.items(dataset=data_set.name)
            assert len(items) == 3
            assert sorted(item["fold"] for item in items) == [0, 1, 2]
            assert len({item["patient"] for item in items}) == 3
            for item in items:
                assert Path(item["image"]).is_file()
                found = set(np.unique(np.asarray(nib.load(item["label"]).dataobj)))
                assert found <= set(data_set.labels)


def test_the_kidneys_are_those_of_the_target_set_as_one_organ(cohort):
    kidneys, target = (load_data_list(cohort / name) for name in ("kidneys.json", "target.json"))
    assert kidneys.labels == {0: "background", 1: "kidney"}
    assert [item["image"] for item in kidneys.items()] == [item["image"] for item in target.items()]
    for item, same in zip(kidneys.items(), target.items(), strict=True):
        voxels = nib.load(item["label"]).get_fdata()
        organs = [value for value, organ in target.labels.items() if organ in ("left kidney", "right kidney")]
        assert np.isin(voxels, organs).any()
        assert {value: new for value, new in item["label_map"].items() if new} == dict.fromkeys(organs, 1)
        assert item["label"] == same["label"]


def test_lists_say_that_they_are_synthetic(cohort):
    for name in ("pretraining.json", "target.json", "spleen.json"):
        content = json.loads((cohort / name).read_text(encoding="utf-8"))
        assert content["source"] == "synthetic, monai_cl phantom seed 7"
        assert content["name"].startswith("synthetic_")


def test_pretraining_list_has_the_partly_annotated_sets(cohort):
    names = [d.name for d in load_data_list(cohort / "pretraining.json").datasets]
    assert names == [KINDS[kind].folder for kind in PRETRAINING]
    labels = [set(d.labels.values()) for d in load_data_list(cohort / "pretraining.json").datasets]
    assert not any("spleen" in names for names in labels)


def test_a_case_does_not_depend_on_how_many_are_written_or_by_whom(cohort, tmp_path):
    write_cohort(tmp_path / "one", cases=1, seed=7, workers=2, **QUICK)
    many = contents(cohort)
    for name, content in contents(tmp_path / "one").items():
        if name.endswith(".nii.gz"):
            assert content == many[name], name


def test_more_than_five_cases_make_five_folds():
    lists = phantom_cohort._data_lists(7, 0)
    assert [item["fold"] for item in lists["target"]["training"]] == [0, 1, 2, 3, 4, 0, 1]


def test_a_folder_with_files_is_refused_and_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"expected a new or empty folder, found files"):
        write_cohort(tmp_path, cases=1, **QUICK)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_overwrite_replaces_the_cohort_and_nothing_else(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    stale = tmp_path / "synthetic_liver" / "images" / "liver_0009.nii.gz"
    stale.parent.mkdir(parents=True)
    stale.write_text("old")
    lists = write_cohort(tmp_path, cases=1, overwrite=True, **QUICK)
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "mine"
    assert not stale.exists()
    assert all(path.is_file() for path in lists.values())


def test_the_folder_may_be_the_current_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_cohort(".", cases=1, **QUICK)
    assert sorted(p.name for p in tmp_path.glob("*.json")) == [
        f"{name}.json" for name in ("kidneys", "pretraining", "spleen", "target")
    ]
    assert [p.name for p in tmp_path.parent.iterdir() if p.name.startswith(f".{tmp_path.name}.")] == []


def test_a_failure_leaves_no_folder_behind(tmp_path, monkeypatch):
    real = phantom_cohort._write_case

    def fail_at_kidney(root, kind, *rest):
        if kind == "kidney":
            raise OSError("disk full")
        real(root, kind, *rest)

    monkeypatch.setattr(phantom_cohort, "_write_case", fail_at_kidney)
    with pytest.raises(OSError, match="disk full"):
        write_cohort(tmp_path / "cohort", cases=1, **QUICK)
    assert list(tmp_path.iterdir()) == []


def test_the_command_prints_the_lists(tmp_path, capsys):
    phantom_command(str(tmp_path / "cohort"), cases=1, spacing=10.0)
    printed = capsys.readouterr().out
    for name in ("pretraining.json", "target.json", "spleen.json"):
        assert name in printed


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (dict(cases=0), "cases must be >= 1, got 0"),
        (dict(cases=2.5), "cases must be an integer, got 2.5"),
        (dict(spacing="fine"), "spacing must be a number of mm, got 'fine'"),
        (dict(seed=-2), "seed must be >= 0, got -2"),
        (dict(spacing=0.1), "spacing must be between 0.5 and 12 mm, got 0.1"),
        (dict(workers=0), "workers must be >= 1, got 0"),
    ],
)
def test_bad_options_are_named(tmp_path, options, match):
    with pytest.raises(UserError, match=match):
        write_cohort(tmp_path / "cohort", progress=False, **options)


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "cohort").write_text("a file")
    with pytest.raises(UserError, match="expected a folder"):
        write_cohort(tmp_path / "cohort", **QUICK)
