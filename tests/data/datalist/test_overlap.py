"""Scans that another list holds too: by content in any format, by patient, and what cannot be compared."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from monai_cl.data.datalist.loading import load_data_list
from monai_cl.data.datalist.overlap import scan_identity
from monai_cl.data.datalist.validation import validate_data_list
from monai_cl.data.io.fingerprint import scan_fingerprint
from monai_cl.data.io.reading import read_volume
from tests.data.volume_files import affine_of, ct_array, write_dicom_on, write_itk, write_nifti

SHAPE = (16, 14, 8)


def array(seed: int) -> np.ndarray:
    return (ct_array(SHAPE, seed) // 2 * 2).astype(np.int16)


def write(path: Path, seed: int, codes: str = "RAS") -> Path:
    """A scan in the format of the name; of one seed the same scan, with axes stored along ``codes``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels, affine = array(seed), affine_of("RAS")
    if codes == "LPS":
        corner = affine @ [voxels.shape[0] - 1, voxels.shape[1] - 1, 0, 1]
        voxels, affine = voxels[::-1, ::-1], affine_of("LPS", origin=corner[:3])
    voxels = np.ascontiguousarray(voxels)
    if path.suffix == "":
        return write_dicom_on(path, voxels, affine)
    return (write_itk if path.suffix in (".nrrd", ".mha") else write_nifti)(path, voxels, affine)


def write_list(path: Path, *items: dict, name: str | None = None, **splits: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"name": name or path.parent.name, "training": list(items), **splits}))
    return path


@pytest.fixture
def target(tmp_path) -> Path:
    """Three scans of three patients; the last one's patient is not stated."""
    folder = tmp_path / "target"
    for number in range(3):
        write(folder / f"{number}.nii.gz", number)
    return write_list(
        folder / "target.json",
        {"image": "0.nii.gz", "patient": "Anna"},
        {"image": "1.nii.gz", "patient": "Bert"},
        {"image": "2.nii.gz"},
    )


def other(tmp_path: Path, *items: dict, name: str = "pretraining") -> Path:
    return write_list(tmp_path / "other" / "pretraining.json", *items, name=name)


def kinds(problems) -> list[tuple[str, str]]:
    return [(problem.kind, problem.where) for problem in problems]


@pytest.mark.parametrize("copy", ["again.nii", "again.nrrd", "again.mha", "series"])
@pytest.mark.parametrize("codes", ["RAS", "LPS"])
def test_the_same_scan_is_found_in_any_format_and_axis_order(tmp_path, target, copy, codes):
    write(tmp_path / "other" / copy, 1, codes)
    write(tmp_path / "other" / "new.nii.gz", 9)
    against = other(tmp_path, {"image": "new.nii.gz"}, {"image": copy, "patient": "another name"})
    problems = validate_data_list(target, against=[against])
    assert kinds(problems) == [("same scan", "training[1].image")]
    text = str(problems[0])
    assert all(part in text for part in ("1.nii.gz", str(against), f"training[1] ({copy})", "take it out"))


def test_another_scan_of_a_patient_is_found(tmp_path, target):
    write(tmp_path / "other" / "later.nii.gz", 9)
    against = other(tmp_path, {"image": "later.nii.gz", "patient": "Bert"})
    (problem,) = validate_data_list(target, against=[against])
    assert kinds([problem]) == [("same patient", "training[1].image")]
    assert 'patient "Bert"' in problem.found
    assert "training[0] (later.nii.gz)" in problem.found


def test_lists_that_share_nothing_have_no_problem(tmp_path, target):
    write(tmp_path / "other" / "2.nii.gz", 9)  # a name that the target has too
    assert validate_data_list(target, against=[other(tmp_path, {"image": "2.nii.gz"})]) == []


def test_an_id_that_stands_in_for_the_patient_counts_within_its_data_set(tmp_path, target):
    write(tmp_path / "other" / "2.nii.gz", 9)
    against = other(tmp_path, {"image": "2.nii.gz"}, name="target")
    assert kinds(validate_data_list(target, against=[against])) == [("same patient", "training[2].image")]


def test_scans_of_another_shape_are_not_read(tmp_path, target, monkeypatch):
    small = tmp_path / "other" / "small.nii.gz"
    small.parent.mkdir()
    write_nifti(small, ct_array((8, 8, 8)), affine_of("RAS"))
    raw = small.read_bytes()
    small.write_bytes(raw[:-4] + b"oops")  # its voxels are damaged, its header is not
    assert validate_data_list(target, against=[other(tmp_path, {"image": "small.nii.gz"})]) == []


def test_a_scan_that_cannot_be_compared_is_reported(tmp_path, target):
    against = other(tmp_path, {"image": "gone.nii.gz"})
    (problem,) = validate_data_list(target, against=[against])
    assert problem.kind == "not compared"
    assert problem.list == str(against)
    assert "gone.nii.gz" in str(problem)
    assert "--against_root" in str(problem)


def test_paths_of_the_other_list_start_from_its_own_root(tmp_path, target):
    write(tmp_path / "data" / "again.nii", 0)
    against = other(tmp_path, {"image": "again.nii"})
    problems = validate_data_list(target, against=[against], against_root=tmp_path / "data")
    assert kinds(problems) == [("same scan", "training[0].image")]


def test_every_part_of_both_lists_is_compared(tmp_path):
    for number in range(3):
        write(tmp_path / "a" / f"{number}.nii.gz", number)
        write(tmp_path / "b" / f"{number}.mha", number)
    splits = [
        {"validation": [{"image": f"1{ending}"}], "test": [{"image": f"2{ending}"}]} for ending in (".nii.gz", ".mha")
    ]
    first = write_list(tmp_path / "a" / "list.json", {"image": "0.nii.gz"}, **splits[0])
    second = write_list(tmp_path / "b" / "list.json", {"image": "0.mha"}, **splits[1])
    found = validate_data_list(first, against=[second], read_voxels=False)
    assert kinds(found) == [("same scan", f"{split}[0].image") for split in ("training", "validation", "test")]
    assert kinds(validate_data_list(first, against=[second], workers=2)) == kinds(found)


def test_weights_are_compared_by_what_they_record(tmp_path, target):
    data_list = load_data_list(target)
    item = data_list.items()[0]
    trained = [scan_identity(data_list.only_dataset, item, scan_fingerprint(read_volume(item["image"])))]
    (problem,) = validate_data_list(target, against_weights={"encoder.pt": trained})
    assert problem.kind == "same scan"
    assert "encoder.pt" in problem.expected


def test_a_scan_twice_in_one_list_is_found_in_another_format_too(tmp_path):
    write(tmp_path / "one" / "a.nii.gz", 0)
    write(tmp_path / "one" / "b.nrrd", 0, "LPS")
    path = write_list(tmp_path / "one" / "list.json", {"image": "a.nii.gz"}, test=[{"image": "b.nrrd"}])
    (problem,) = validate_data_list(path)
    assert (problem.kind, problem.where) == ("duplicate content", "test[0].image")
    assert "training[0].image (a.nii.gz)" in problem.found
