"""A list whose labels were annotated in part, through whole runs: pre-training, fine-tuning, evaluation."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from monai_cl.data import read_results
from tests.bundles.conftest import PRETRAINING, SPLEEN
from tests.bundles.test_segmentation_run import dice, volume

pytestmark = pytest.mark.slow

VALUE = 9


@pytest.fixture(scope="module")
def partly(cohort, tmp_path_factory) -> Path:
    """The spleen's data set, in whose labels the upper half of every slice was not annotated."""
    folder = tmp_path_factory.mktemp("partly")
    shutil.copytree(cohort / "synthetic_spleen", folder / "synthetic_spleen")
    for file in (folder / "synthetic_spleen" / "labels").iterdir():
        image = nib.load(file)
        array = np.asarray(image.dataobj).copy()
        spleen = np.argwhere(array == 1)
        array[:, int(np.median(spleen[:, 1])) :] = VALUE  # half of the spleen, whatever the axes
        nib.save(nib.Nifti1Image(array, image.affine, image.header), file)
    document = json.loads((cohort / "spleen.json").read_text())
    document.pop("$schema", None)
    (folder / "spleen.json").write_text(json.dumps(document | {"ignore": VALUE}))
    return folder


def test_dice_counts_the_annotated_voxels_alone(train, spleen, spleen_maps, evaluation, partly, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(spleen, folder)
    options = {"dataset_dir": str(partly), "data_list": str(partly / "spleen.json")}
    train(SPLEEN, folder, "evaluate", fold=1, store_dir=str(tmp_path / "store"), **options).check()
    (case,) = read_results(folder / "evaluation")["metrics"]["per_case"]
    prediction = volume(spleen_maps / f"{case['id']}_seg.nii.gz")
    truth = volume(partly / "synthetic_spleen" / "labels" / f"{case['id']}.nii.gz")
    annotated = truth != VALUE
    expected = dice(prediction[annotated], truth[annotated], 1)
    assert 0 < expected < 1
    assert case["dice"]["spleen"] == pytest.approx(expected, abs=1e-6)
    (whole,) = read_results(evaluation)["metrics"]["per_case"]
    assert case["dice"]["spleen"] != pytest.approx(whole["dice"]["spleen"], abs=1e-3)


@pytest.mark.parametrize("bundle", [PRETRAINING, SPLEEN])
def test_a_training_of_partly_annotated_scans_ends_with_finite_losses(train, partly, tmp_path, bundle):
    options = {"preset": "hybrid"} if bundle == PRETRAINING else {"fold": 1, "overlay_cases": 0}
    train(
        bundle,
        tmp_path / "run",
        dataset_dir=str(partly),
        data_list=str(partly / "spleen.json"),
        store_dir=str(tmp_path / "store"),
        iterations=2,
        **options,
    ).check()
    results = read_results(tmp_path / "run")
    assert all(math.isfinite(value) for _, value in results["curves"]["loss"])
