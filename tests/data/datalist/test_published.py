"""Lists of published data sets from their folders: patients, phases, modality, values; and what is missing."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from monai_cl.data import load_data_list
from monai_cl.data.datalist.create import create_data_list
from monai_cl.data.datalist.json_files import write_json
from monai_cl.errors import UserError


def scan(path: Path, *values: int) -> None:
    """A file whose voxels have these values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.arange(64, dtype=np.int16).reshape(4, 4, 4) if not values else np.resize(values, (4, 4, 4))
    nib.save(nib.Nifti1Image(array.astype(np.int16), np.eye(4)), path)


def acdc(folder: Path, place: str = "training") -> Path:
    for patient, end in (("patient001", 12), ("patient002", 9)):
        for frame in (1, end):
            file = folder / place / patient / f"{patient}_frame{frame:02d}.nii.gz"
            scan(file)
            scan(file.with_name(f"{patient}_frame{frame:02d}_gt.nii.gz"), 0, 1, 2, 3)
        scan(folder / place / patient / f"{patient}_4d.nii.gz")
        (folder / place / patient / "Info.cfg").write_text(f"ED: 1\nES: {end}\nGroup: DCM\nNbFrame: 30\n")
    return folder


@pytest.mark.parametrize("place", ["", "training", "database/training"])
def test_acdc_has_two_phases_of_a_patient(tmp_path, place):
    folder = acdc(tmp_path / "a", place)
    document = create_data_list(folder, layout="acdc").document
    assert document["modality"] == "MR"
    assert document["labels"] == {"0": "background", "1": "right ventricle", "2": "myocardium", "3": "left ventricle"}
    found = [(item["patient"], item["meta"]["phase"]) for item in document["training"]]
    assert found == [("patient001", "ED"), ("patient001", "ES"), ("patient002", "ED"), ("patient002", "ES")]
    assert all(item["label"] == item["image"].replace(".nii.gz", "_gt.nii.gz") for item in document["training"])
    write_json(folder / "list.json", document)
    assert load_data_list(folder / "list.json").only_dataset.modality == "MR"


def test_a_frame_without_a_name_has_no_phase_and_a_patient_without_information_is_refused(tmp_path):
    folder = acdc(tmp_path)
    info = folder / "training" / "patient002" / "Info.cfg"
    info.write_text("ED: 1\nES: 30\n")
    items = create_data_list(folder, layout="acdc").document["training"]
    assert [item.get("meta", {}).get("phase") for item in items] == ["ED", "ES", "ED", None]
    info.unlink()
    with pytest.raises(UserError, match=r"patient002/Info.cfg: expected the frames of ED and ES.*found no such file"):
        create_data_list(folder, layout="acdc")


def test_promise12_pairs_cases_with_their_segmentations(tmp_path):
    for number in (0, 10):
        scan(tmp_path / "TrainingData_Part1" / f"Case{number:02d}.nii.gz")
        scan(tmp_path / "TrainingData_Part1" / f"Case{number:02d}_segmentation.nii.gz", 0, 1)
    document = create_data_list(tmp_path, layout="promise12").document
    assert [Path(item["image"]).name for item in document["training"]] == ["Case00.nii.gz", "Case10.nii.gz"]
    assert all("_segmentation" in item["label"] for item in document["training"])
    assert (document["modality"], document["labels"]) == ("MR", {"0": "background", "1": "prostate"})


def test_mmwhs_has_four_classes_and_its_other_structures_are_background(tmp_path):
    scan(tmp_path / "ct_train" / "ct_train_1001_image.nii.gz")
    scan(tmp_path / "ct_train" / "ct_train_1001_label.nii.gz", 0, 205, 420, 500, 550, 600, 820, 850)
    document = create_data_list(tmp_path, layout="mmwhs").document
    assert document["modality"] == "CT"
    assert list(document["labels"].values()) == [
        "background",
        "myocardium",
        "left atrium",
        "left ventricle",
        "ascending aorta",
    ]
    kept = {int(value) for value, label in document["label_map"].items() if label}
    assert kept == {205, 420, 500, 820}


def test_what_does_not_fit_is_named(tmp_path):
    scan(tmp_path / "something.nii.gz")
    with pytest.raises(UserError, match=r"expected files as acdc has them, .* found something.nii.gz"):
        create_data_list(tmp_path, layout="acdc")
    with pytest.raises(UserError, match="layout: expected one of acdc, promise12, mmwhs, mednist, found 'brats'"):
        create_data_list(tmp_path, layout="brats")
    with pytest.raises(UserError, match="give --layout, or --images and --labels"):
        create_data_list(tmp_path, layout="acdc", images="{case}.nii.gz")
