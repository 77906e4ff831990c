"""The cine cohort on disk: a valid list of MR with phases, and a store that takes it."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from monai_cl.data import Preparation, load_data_list, prepare, validate_data_list, write_cine_cohort
from monai_cl.errors import UserError


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cine") / "cohort"
    return write_cine_cohort(folder, patients=2, validation=1, test=1, size=32, progress=False)["cine"]


def test_the_list_is_valid_and_names_patients_and_phases(cohort):
    assert validate_data_list(cohort) == []
    document = load_data_list(cohort)
    assert document.only_dataset.modality == "MR"
    items = document.items("training")
    assert [item["patient"] for item in items] == ["training_000"] * 2 + ["training_001"] * 2
    assert [item["meta"]["phase"] for item in items] == ["ED", "ES"] * 2
    assert [len(document.items(split)) for split in ("validation", "test")] == [2, 2]


def test_more_patients_are_the_same_and_more(cohort, tmp_path):
    other = write_cine_cohort(tmp_path / "c", patients=1, validation=2, test=0, size=32, progress=False)["cine"]
    name = "synthetic_cine/images/validation_000_ED.nii.gz"
    assert (other.parent / name).read_bytes() == (cohort.parent / name).read_bytes()


def test_a_cohort_without_noise_of_position_has_shorter_stacks(cohort, tmp_path):
    exact = write_cine_cohort(
        tmp_path / "c", patients=2, validation=0, test=0, size=32, position_noise=0, progress=False
    )
    one, other = (
        [
            nib.load(path.parent / "synthetic_cine" / item["image"]).shape[2]
            for item in load_data_list(path).items("training")
        ]
        for path in (cohort, exact["cine"])
    )
    assert sum(other) < sum(one)
    with pytest.raises(UserError, match="position_noise must be 0 or 1, got 2"):
        write_cine_cohort(tmp_path / "d", position_noise=2, progress=False)
    assert not (tmp_path / "d").exists()


def test_the_store_takes_a_scan_by_its_percentiles_and_not_as_ct(cohort, tmp_path):
    items = load_data_list(cohort).items("training")[:2]
    native = {"spacing": None, "layout": "slices"}
    with pytest.raises(UserError, match="expected Hounsfield units, where fat is -100 and air -1000"):
        prepare(items, tmp_path / "ct", Preparation(**native), progress=False, report=None)
    done = prepare(items, tmp_path / "mr", Preparation(**native, intensity="percentiles"), progress=False)
    image = np.asarray(done.store.read(done.keys[0]))
    assert (image.min(), image.max()) == (0, 1000)
    assert 0.005 < (image == 0).mean() < 0.02
    assert 0.005 < (image == 1000).mean() < 0.02
    with pytest.raises(ValueError, match="intensity must be one of"):
        Preparation(intensity="z-score")


def test_preparations_of_ct_have_the_digests_they_had():
    assert Preparation().digest == "421d2e09"
    assert "intensity" not in Preparation().parameters
    assert Preparation(intensity="percentiles").digest != Preparation().digest
