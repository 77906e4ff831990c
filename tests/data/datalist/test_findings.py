"""Modality and labels of items: by the data set or by the item, findings with names, null for what is not known."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from monai_cl.data import load_data_list, validate_data_list
from monai_cl.data.datalist.edit import document_of
from monai_cl.data.datalist.items import item_modality

HEAD = {"image": "h.nii.gz", "target": 1, "findings": {"epidural": 0, "subdural": 1, "old": None}}
HEAD |= {"slice_findings": [0, 0, 1, None]}
NAMES = ["subdural", "epidural", "old"]


def write(folder: Path, *items: dict, affine: np.ndarray | None = None, **document) -> Path:
    for item in items:
        array = np.random.default_rng(0).integers(-1000, 1000, (5, 6, 4)).astype(np.int16)
        array.flat[0] = len(item["image"])  # no two alike
        nib.save(
            nib.Nifti1Image(array, np.diag([2.0, 2.0, 3.0, 1.0]) if affine is None else affine), folder / item["image"]
        )
    path = folder / "list.json"
    path.write_text(json.dumps({"name": "small", "training": list(items)} | document), encoding="utf-8")
    return path


def complaints(path: Path) -> list[str]:
    return [str(problem) for problem in validate_data_list(path)]


def test_known_findings_are_kept_and_null_is_not_known(tmp_path):
    unknown = {"image": "other.nii.gz", "target": None, "findings": None, "slice_findings": [None] * 4}
    path = write(tmp_path, HEAD, unknown, finding_names=NAMES)
    assert complaints(path) == []
    data_list = load_data_list(path)
    first, second = data_list.items()
    assert first["findings"] == {"epidural": 0, "subdural": 1}
    assert first["slice_findings"] == [0, 0, 1, None]
    assert not {"target", "findings", "slice_findings"} & set(second)
    assert data_list.finding_names == tuple(NAMES)


def test_the_modality_of_an_item_comes_before_that_of_its_data_set(tmp_path):
    items = [{"image": "a.nii.gz"}, {"image": "bb.nii.gz", "modality": "us"}, {"image": "ccc.nii.gz", "modality": "CT"}]
    data_list = load_data_list(write(tmp_path, *items, modality="MR"))
    assert [item_modality(item) for item in data_list.items()] == ["MR", "US", "CT"]
    # as `split` and `subset` write it
    (tmp_path / "again.json").write_text(json.dumps(document_of(data_list)), encoding="utf-8")
    again = load_data_list(tmp_path / "again.json").items()
    assert [item_modality(item) for item in again] == ["MR", "US", "CT"]
    assert "modality" not in document_of(data_list)["training"][0]


@pytest.mark.parametrize(
    ("stated", "word"), [(None, "CT"), ("CT", "CT"), ({"0": "MRI"}, "MRI"), ({"0": "CT", "1": "PT"}, "PT"), ({}, "CT")]
)
def test_the_modality_of_a_data_set_is_one_word(tmp_path, stated, word):
    path = write(tmp_path, {"image": "a.nii.gz"}, **({} if stated is None else {"modality": stated}))
    assert load_data_list(path).only_dataset.modality == word


def test_only_ct_must_be_in_hounsfield_units(tmp_path):
    path = write(tmp_path, {"image": "a.nii.gz", "modality": "XR"}, {"image": "bb.nii.gz"})
    for name in ("a", "bb"):
        scan = nib.load(tmp_path / f"{name}.nii.gz")
        nib.save(
            nib.Nifti1Image(np.abs(scan.get_fdata()).astype(np.int16) + len(name), scan.affine),
            tmp_path / f"{name}.nii.gz",
        )
    (only,) = complaints(path)
    assert "training[1].image: bb.nii.gz: expected Hounsfield units" in only


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"findings": {"stroke": 1}}, 'expected one of the findings subdural, epidural, old, found "stroke"'),
        ({"findings": {"old": 2}}, "training[0].findings.old: h.nii.gz: expected 0, 1 or null, found 2"),
        ({"slice_findings": [0, "1", 0, 0]}, '[0].slice_findings[1]: h.nii.gz: expected 0, 1 or null, found "1"'),
        ({"slice_findings": [0, 1]}, "slice_findings of 4 values, one for each slice across the body, found 2"),
        ({"modality": ""}, "training[0].modality: h.nii.gz: expected a text that is not empty"),
    ],
)
def test_what_does_not_fit_is_a_complaint(tmp_path, change, complaint):
    (only,) = complaints(write(tmp_path, HEAD | change, finding_names=NAMES))
    assert complaint in only


def test_findings_need_their_names(tmp_path):
    (only,) = complaints(write(tmp_path, HEAD))
    assert 'the key "finding_names"' in only
    (only,) = complaints(write(tmp_path, HEAD, finding_names=[*NAMES, "old"]))
    assert 'expected every finding once, found "old" twice' in only


def test_slices_are_counted_across_the_body_whatever_the_order_of_the_axes(tmp_path):
    sagittal = np.array([[0, 0, 2.0, 0], [2, 0, 0, 0], [0, 3, 0, 0], [0, 0, 0, 1]])
    (only,) = complaints(write(tmp_path, HEAD, finding_names=NAMES, affine=sagittal))
    assert "slice_findings of 6 values" in only
    (tmp_path / "again").mkdir()
    assert complaints(write(tmp_path / "again", HEAD, finding_names=NAMES, affine=np.diag([2.0, 2.0, -3.0, 1.0]))) == []
