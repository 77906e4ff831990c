"""Folders of DICOM series, also without .dcm names: what `datalist create` lists, what it refuses, and the remedies."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import MRImageStorage

from monai_cl.data import load_data_list, read_volume
from monai_cl.data.datalist.create import create_data_list
from monai_cl.data.datalist.folders.additions import add_scans
from monai_cl.data.datalist.items import item_modality
from monai_cl.data.datalist.validation import validate_data_list
from monai_cl.errors import UserError
from tests.bad_input.doors import command
from tests.data.dicom.test_kinds import write_object
from tests.data.volume_files import ct_array, write_dicom, write_nifti


def series(folder: Path, *, seed: int = 0, endings: bool = False, modality: str = "CT", patient: str = "") -> Path:
    """Slices as an archive exports them, without .dcm."""
    array = ct_array(seed=seed)
    write_dicom(folder, array, np.arange(array.shape[2]) * 2.0, uid=f"1.2.{seed + 3}", patient=patient)
    for number, path in enumerate(sorted(folder.glob("*.dcm"))):
        if modality == "MR":
            content = pydicom.dcmread(path)
            content.Modality, content.SOPClassUID = modality, MRImageStorage
            content.file_meta.MediaStorageSOPClassUID = MRImageStorage
            content.save_as(path)
        path.rename(folder / f"CT.1.2.840.{number}{'.dcm' if endings else ''}")
    return folder


def listed(path: Path, root: Path | None = None) -> dict[str, dict]:
    """The items of a list that was written, by the image's path below its root; the files are valid."""
    assert validate_data_list(path, data_root=root) == []
    content = load_data_list(path, data_root=root)
    return {content.only_dataset.relative(item["image"]): item for item in content.items()}


@pytest.mark.parametrize("endings", [False, True])
@pytest.mark.parametrize("place", ["cwd", "beside", "inside", "default", "dot"])
def test_a_series_is_a_list_of_one_scan_wherever_the_list_is_written(tmp_path, monkeypatch, endings, place):
    folder = series(tmp_path / "data" / "CT one", endings=endings)
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(folder if place == "dot" else tmp_path / "cwd")
    output = {"cwd": "dic.json", "beside": "../data/dic.json", "inside": "../data/CT one/dic.json"}.get(place)
    words = ["." if place == "dot" else "../data/CT one", *(["--output", output] if output else [])]
    outcome = command("datalist", "create", *words)
    assert outcome.error is None, outcome.error
    assert "1 scans, 0 with labels" in outcome.shown
    path = Path(output) if output else tmp_path / "data" / "data_list.json"
    outside = place in ("cwd", "inside")
    assert ("use it with data_root=" in outcome.shown) == outside
    root = Path(outcome.shown.split("data_root=")[1].splitlines()[0]) if outside else None
    (item,) = listed(path, root).values()
    assert os.path.samefile(item["image"], folder)
    assert item_modality(item) == "CT"
    assert "label" not in item
    np.testing.assert_array_equal(read_volume(item["image"]).array, read_volume(folder).array)


def test_series_are_found_at_any_depth_with_patient_and_modality_of_their_headers(tmp_path):
    for number, (place, patient, modality) in enumerate(
        [
            ("A/1/CT", "P1", "CT"),
            ("A/1/T1", "P1", "MR"),
            ("A/2/CT", "P1", "CT"),
            ("B", "P2", "CT"),
            ("C/deep/er/still", "", "CT"),
        ]
    ):
        series(tmp_path / place, seed=number, patient=patient, modality=modality)
    write_object(tmp_path / "A" / "1" / "report" / "sr", "88.33")
    (tmp_path / "A" / "notes.txt").write_text("words")
    (tmp_path / ".hidden").mkdir()
    outcome = command("datalist", "create", tmp_path)
    assert outcome.error is None, outcome.error
    assert "5 scans, 0 with labels" in outcome.shown
    items = listed(tmp_path / "data_list.json")
    assert list(items) == ["A/1/CT", "A/1/T1", "A/2/CT", "B", "C/deep/er/still"]
    assert [item_modality(item) for item in items.values()] == ["CT", "MR", "CT", "CT", "CT"]
    assert [item["patient"] for item in items.values()] == ["P1", "P1", "P1", "P2", "C_deep_er_still"]
    assert len({item["id"] for item in items.values()}) == 5
    raw = json.loads((tmp_path / "data_list.json").read_text())
    assert raw["modality"] == "CT"
    assert ["modality" in item for item in raw["training"]] == [False, True, False, False, False]


def test_what_the_user_says_of_patient_and_modality_goes_first(tmp_path):
    for number, place in enumerate(("P01_a", "P01_b")):
        series(tmp_path / place, seed=number, patient=f"X{number}", modality="MR")
    found = create_data_list(tmp_path, patient=r"(P\d+)", modality="T1").document
    assert found["modality"] == "T1"
    assert found["training"] == [{"image": "P01_a", "patient": "P01"}, {"image": "P01_b", "patient": "P01"}]
    named = create_data_list(tmp_path, images="{patient}_{case}").document["training"]
    assert [item["patient"] for item in named] == ["P01", "P01"]
    by_pattern = create_data_list(tmp_path, images="{case}").document["training"]
    assert [item["patient"] for item in by_pattern] == ["X0", "X1"]


def test_labels_are_paired_with_series_by_patterns(tmp_path):
    series(tmp_path / "scan1", patient="P7")
    label = write_nifti(tmp_path / "seg1.nii.gz", np.ones(ct_array().shape, np.uint8))
    found = create_data_list(tmp_path, images="scan{case}", labels="seg{case}.nii.gz", organs={1: "liver"}).document
    assert found["training"] == [{"image": "scan1", "label": label.name, "patient": "P7"}]


def test_a_new_series_is_added_with_the_fold_of_its_patient(tmp_path):
    for number, patient in enumerate(("P1", "P1", "P2")):
        series(tmp_path / f"s{number}", seed=number, patient=patient)
    path = tmp_path / "list.json"
    document = create_data_list(tmp_path).document
    for item in document["training"]:
        item["fold"] = int(item["patient"] == "P2")
    path.write_text(json.dumps(document))
    series(tmp_path / "s3", seed=3, patient="P1")
    (new,) = add_scans(load_data_list(path)).added["training"]
    assert (new["image"], new["patient"], new["fold"]) == ("s3", "P1", 0)


def test_two_series_in_one_folder_are_refused(tmp_path):
    folder = series(tmp_path / "flat")
    for path in series(tmp_path / "other", seed=1).iterdir():
        path.rename(folder / f"MR.{path.name}")
    (tmp_path / "other").rmdir()
    with pytest.raises(UserError, match=r"flat: expected one DICOM series, found several; give each its own folder"):
        create_data_list(tmp_path)


# --- what is refused, and whether the remedy works as it stands


def remedied(error: UserError, folder: Path) -> list[str]:
    """The images of the list that the command of a remedy makes."""
    words = shlex.split(re.search(r"(--images .*?)(?: \(|$)", str(error))[1])
    outcome = command("datalist", "create", folder, *words)
    assert outcome.error is None, outcome.error
    content = json.loads((folder / "data_list.json").read_text())
    return [item["image"] for item in content["training"]]


@pytest.mark.parametrize("place", ["", "my scans", "a/b"])
def test_volumes_without_labels_are_listed_by_the_pattern_that_is_advised(tmp_path, place):
    for name in ("x.nii.gz", "y.nii.gz"):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        write_nifti(tmp_path / place / name, ct_array())
    with pytest.raises(UserError, match="expected one of the known layouts") as caught:
        create_data_list(tmp_path)
    assert [Path(image).name for image in remedied(caught.value, tmp_path)] == ["x.nii.gz", "y.nii.gz"]


def test_series_beside_volumes_are_listed_by_the_pattern_that_is_advised(tmp_path):
    series(tmp_path / "a" / "scan", patient="P1")
    write_nifti(tmp_path / "a" / "labels.nii.gz", np.ones(ct_array().shape, np.uint8))
    with pytest.raises(UserError, match=r"found both: a/scan and a/labels\.nii\.gz") as caught:
        create_data_list(tmp_path)
    assert remedied(caught.value, tmp_path) == ["a/scan"]


def test_slices_beside_other_scans_are_refused_with_how_to_list_them(tmp_path):
    folder = series(tmp_path / "scan here")
    write_nifti(folder / "result.nii.gz", ct_array())
    with pytest.raises(UserError, match=r"DICOM slices beside result\.nii\.gz; list the slices alone") as caught:
        create_data_list(folder)
    words = shlex.split(re.search(r"python -m monai_cl (.*)$", str(caught.value))[1])
    assert command(*words).error is None
    assert list(listed(tmp_path / "data_list.json")) == ["scan here"]


def test_pictures_below_are_listed_by_the_pattern_that_is_advised(tmp_path):
    from PIL import Image

    (tmp_path / "hands").mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "hands" / name)
    with pytest.raises(UserError, match="for others: ") as caught:
        create_data_list(tmp_path)
    assert remedied(caught.value, tmp_path) == ["hands/a.png", "hands/b.png"]


def test_a_folder_without_scans_says_what_would_be_one(tmp_path):
    (tmp_path / "a.txt").write_text("words")
    write_object(tmp_path / "plan" / "o", "481.3")
    outcome = command("datalist", "create", tmp_path)
    assert "passed over an RT structure set (o)" in outcome.shown
    assert "found none among a.txt, plan/o" in outcome.error
    assert "name the folder that holds them" in outcome.error


@pytest.mark.real_data
def test_a_series_of_an_archive_is_a_list(real_data, tmp_path):
    folder = real_data / "dicom" / "totalseg_upper_abdomen"
    outcome = command("datalist", "create", folder, "--output", tmp_path / "dic.json")
    assert outcome.error is None, outcome.error
    (item,) = listed(tmp_path / "dic.json", folder.parent).values()
    assert Path(item["image"]) == folder
