"""The spleen's synthetic cohort with some of its scans as MR, and runs on it."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.data.volume_files import as_mr

SPLEEN = "spleen_unetr_segmentation"

MR_CASES = ("spleen_0001", "spleen_0003", "spleen_0004")


def write_list(path: Path, cohort: Path, cases: dict[str, str | None]) -> Path:
    """A list of the spleen's cases, each with a modality; validated on fold 1."""
    items = []
    for case, modality in cases.items():
        folder = "mr" if modality == "MR" else "images"
        item = {"image": f"synthetic_spleen/{folder}/{case}.nii.gz", "label": f"synthetic_spleen/labels/{case}.nii.gz"}
        items.append({**item, "fold": int(case == "spleen_0001"), **({"modality": modality} if modality else {})})
    labels = {"0": "background", "1": "spleen"}
    path.write_text(json.dumps({"name": path.stem, "labels": labels, "training": items}), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def mr_list(cohort) -> Path:
    """Three scans of the spleen's data set as MR, whose units differ from scan to scan."""
    folder = cohort / "synthetic_spleen" / "mr"
    folder.mkdir()
    for number, case in enumerate(MR_CASES):
        ct = nib.load(cohort / "synthetic_spleen" / "images" / f"{case}.nii.gz")
        voxels = as_mr(np.asanyarray(ct.dataobj), gain=[4.0, 300.0, 9000.0][number])
        nib.save(nib.Nifti1Image(voxels.astype(np.float32), ct.affine), folder / f"{case}.nii.gz")
    return write_list(cohort / "mr.json", cohort, dict.fromkeys(MR_CASES, "MR"))


@pytest.fixture(scope="session")
def both_list(cohort, mr_list) -> Path:
    """A list of two MR and two CT; the validation scan is an MR."""
    cases = {"spleen_0001": "MR", "spleen_0002": None, "spleen_0003": "MR", "spleen_0000": None}
    return write_list(cohort / "both.json", cohort, cases)


@pytest.fixture(scope="session")
def mr_spleen(train, mr_list, tmp_path_factory) -> Path:
    """A fine-tuning on MR alone, by z-score."""
    folder = tmp_path_factory.mktemp("mr") / "spleen"
    options = {"data_list": str(mr_list), "fold": 1, "learning_rate": 0.003, "intensity": "zscore"}
    train(SPLEEN, folder, **options).check()
    return folder


@pytest.fixture(scope="session")
def both_spleen(train, both_list, tmp_path_factory) -> Path:
    """A fine-tuning on CT and MR together."""
    folder = tmp_path_factory.mktemp("both") / "spleen"
    train(SPLEEN, folder, data_list=str(both_list), fold=1, learning_rate=0.003).check()
    return folder
