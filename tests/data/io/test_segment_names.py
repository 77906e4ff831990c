"""3D Slicer names the segments in a .seg.nrrd: a list that calls their values otherwise is told of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monai_cl.data import VolumeStore, load_data_list, prepare, validate_data_list
from monai_cl.data.io.segment_names import segment_fault, segment_names
from monai_cl.errors import UserError
from tests.data.volume_files import affine_of, ct_array, label_array, write_itk, write_segmentation

AFFINE = affine_of("LPS")
SEGMENTS = label_array(values=(1, 2))
LABELS = {0: "background", 1: "liver", 2: "bone"}


def listed(folder: Path, names: dict[int, str], labels=LABELS, label_map=None) -> Path:
    write_itk(folder / "ct.nrrd", ct_array(), affine_of("LPS"))
    write_segmentation(folder / "ct.seg.nrrd", SEGMENTS, AFFINE, names)
    document = {
        "name": "slicer",
        "labels": {str(label): name for label, name in labels.items()},
        "training": [{"image": "ct.nrrd", "label": "ct.seg.nrrd"}],
        **({"label_map": {str(value): label for value, label in label_map.items()}} if label_map else {}),
    }
    path = folder / "list.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_names_are_read_with_their_values(tmp_path):
    path = write_segmentation(tmp_path / "a.seg.nrrd", SEGMENTS, AFFINE, {2: "linke Niere: größer", 7: "liver"})
    assert segment_names(path) == {2: "linke Niere: größer", 7: "liver"}
    assert segment_names(write_itk(tmp_path / "b.nrrd", label_array(), affine_of("RAS"))) == {}
    assert segment_names(write_itk(tmp_path / "b.mha", label_array(), affine_of("RAS"))) == {}


def test_validate_and_prepare_name_both_statements(tmp_path):
    path = listed(tmp_path, {1: "bone", 2: "liver"})
    expected = (
        "expected segments named as the list names their values (1 liver, 2 bone), found the names 1 bone, 2 liver"
    )
    for read_voxels in (True, False):
        (problem,) = validate_data_list(path, read_voxels=read_voxels)
        assert problem.kind == "segment names"
        assert expected in str(problem)
    with pytest.raises(UserError, match="found the names 1 bone, 2 liver in the file; correct"):
        prepare(load_data_list(path).items(), tmp_path / "store", progress=False)


def test_a_list_that_changes_its_names_meets_the_complaint_though_all_is_prepared(tmp_path):
    path = listed(tmp_path, {1: "Liver", 2: "bones"})
    prepare(load_data_list(path).items(), tmp_path / "store", progress=False)
    path.write_text(path.read_text().replace('"liver"', '"x"').replace('"bone"', '"liver"').replace('"x"', '"bone"'))
    with pytest.raises(UserError, match=r"ct\.seg\.nrrd: expected segments named as the list"):
        VolumeStore.open(tmp_path / "store").add(load_data_list(path).items()[0])


def test_a_label_map_that_says_which_value_is_which_organ_is_believed(tmp_path):
    path = listed(tmp_path, {1: "bone", 2: "liver"}, label_map={1: 2, 2: 1})
    assert validate_data_list(path) == []
    assert prepare(load_data_list(path).items(), tmp_path / "store", progress=False).keys


@pytest.mark.parametrize(
    ("name", "organ"),
    [
        *(("LIVER", "liver"), ("left kidney", "kidney_left"), ("Left Kidney", "kidney"), ("kidneys", "kidney")),
        *(("Segment_3", "liver"), ("label 1", "liver"), ("liver", "liver (manual)")),
    ],
)
def test_other_spellings_are_not_contradiction(tmp_path, name, organ):
    path = write_segmentation(tmp_path / "a.seg.nrrd", SEGMENTS, AFFINE, {1: name})
    assert segment_fault(path, {0: "background", 1: organ, 2: "spleen"}, None) is None


@pytest.mark.parametrize(
    ("name", "label_map"),
    [
        ("tumor", None),  # the list has that name for another id
        ("heart", None),  # and none like this
        ("tumor", {2: 2}),  # left out, though the list wants it
    ],
)
def test_another_organ_is_a_contradiction(tmp_path, name, label_map):
    path = write_segmentation(tmp_path / "a.seg.nrrd", SEGMENTS, AFFINE, {1: name})
    labels = {0: "background", 1: "liver tumor", 2: "tumor"}
    assert f"1 {name}" in segment_fault(path, labels, label_map)[1]


def test_values_that_the_list_leaves_out_may_have_any_name(tmp_path):
    path = write_segmentation(tmp_path / "a.seg.nrrd", SEGMENTS, AFFINE, {1: "liver", 5: "table", 9: "vessel"})
    assert segment_fault(path, LABELS, None) is None
    assert segment_fault(path, LABELS, {1: 1}) is None
