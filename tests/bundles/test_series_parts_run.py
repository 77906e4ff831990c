"""Two acquisitions of one DICOM series as two items of a list: each run takes the voxels of its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from monai_cl.data import Preparation, VolumeStore, load_data_list, read_results, read_volume, to_ras
from tests.bad_input.doors import INFERENCE
from tests.bad_input.paths import run_config
from tests.bundles.conftest import PRETRAINING, SPLEEN, TINY
from tests.bundles.test_segmentation_run import dice
from tests.data.volume_files import affine_of, ct_array, write_dicom_on, write_nifti

pydicom = pytest.importorskip("pydicom", reason='the extra "dicom" is not installed')
pytestmark = pytest.mark.slow

SHAPE, SPACING = (32, 32, 16), [8.0, 8.0, 8.0]
AFFINE = affine_of("RAS", SPACING)
PARTS = {"first": "AcquisitionNumber=1", "second": "AcquisitionNumber=2"}
PHASES = {name: ct_array(SHAPE, seed) // 2 * 2 for seed, name in enumerate(PARTS)}


def organ(start: int) -> np.ndarray:
    label = np.zeros(SHAPE, np.uint8)
    label[start : start + 6, 10:20, 5:10] = 1
    return label


LABELS = {"first": organ(4), "second": organ(20)}


@pytest.fixture
def phases(tmp_path) -> Path:
    """A list of the two, each with a label of its own, and of a scan in a file."""
    for number, (name, array) in enumerate(PHASES.items(), start=1):
        for file in write_dicom_on(tmp_path / name, array, AFFINE).iterdir():
            header = pydicom.dcmread(file)
            header.AcquisitionNumber = number
            place = f"{number}.{file.stem.removeprefix('slice')}"
            header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = f"1.2.9.{place}".replace(".0", ".1")
            (tmp_path / "series").mkdir(exist_ok=True)
            header.save_as(tmp_path / "series" / f"{place}.dcm")
        write_nifti(tmp_path / f"{name}_label.nii.gz", LABELS[name], AFFINE)
    write_nifti(tmp_path / "third.nii.gz", ct_array(SHAPE, 7), AFFINE)
    write_nifti(tmp_path / "third_label.nii.gz", organ(12), AFFINE)
    items = [
        {"id": name, "image": "series", "series_part": part, "label": f"{name}_label.nii.gz", "fold": 0}
        for name, part in PARTS.items()
    ]
    items.append({"image": "third.nii.gz", "label": "third_label.nii.gz", "fold": 1})
    document = {"name": "phases", "labels": {"0": "background", "1": "spleen"}, "training": items}
    (tmp_path / "list.json").write_text(json.dumps(document))
    return tmp_path / "list.json"


@pytest.mark.parametrize("bundle", [SPLEEN, PRETRAINING])
def test_each_item_gets_its_own_voxels_and_label(train, phases, tmp_path, bundle):
    options = {"fold": 1, "classes_in_turn": False} if bundle == SPLEEN else {"preset": "hybrid"}
    options |= {"data_list": str(phases), "dataset_dir": str(tmp_path), "store_dir": str(tmp_path / "store")}
    train(bundle, tmp_path / "run", **options, iterations=2, epoch_length=2).check()
    items = {item["id"]: item for item in load_data_list(phases).items()}
    assert items["first"]["patient"] == items["second"]["patient"]
    store = VolumeStore.open(tmp_path / "store", Preparation(spacing=SPACING))
    for name in PARTS:
        key = store.find(items[name])
        np.testing.assert_array_equal(store.read(key), PHASES[name])
        np.testing.assert_array_equal(store.read(key, kind="label"), LABELS[name])
    if bundle == SPLEEN:
        assert read_results(tmp_path / "run")["data_list"]["training_cases"] == ["first", "second"]


def test_each_item_is_validated_against_its_own_label(train, phases, tmp_path):
    options = {"data_list": str(phases), "dataset_dir": str(tmp_path), "store_dir": str(tmp_path / "store")}
    options |= {"overlay_cases": 2, "fold": 0}
    train(SPLEEN, tmp_path / "run", **options, iterations=2, epoch_length=2).check()
    cases = {case["id"]: case["dice"]["spleen"] for case in read_results(tmp_path / "run")["metrics"]["per_case"]}
    assert set(cases) == set(PARTS)
    assert min(cases.values()) > 0
    for name, part in PARTS.items():
        options = {"checkpoint": str(tmp_path / "run" / "model.pt"), "output_dir": str(tmp_path / name), **TINY}
        run_config([INFERENCE], {**options, "datalist": [str(tmp_path / "series")], "series_part": part})
        (file,) = (tmp_path / name).glob("*.nii.gz")
        predicted = to_ras(read_volume(file)).array
        assert cases[name] == pytest.approx(dice(predicted, LABELS[name], 1), abs=1e-6)
    assert {file.stem for file in (tmp_path / "run" / "overlays").iterdir()} == set(PARTS)
