"""A model of slices (semi_supervised_segmentation) in MONAI Label: it segments scans as the bundle does by itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from monai_cl.data import write_cine_cohort
from monai_cl.shipped import bundle_folder
from tests.serving.label_server import LabelServer
from tests.serving.test_monai_label import python, voxels, words

pytestmark = [pytest.mark.monailabel, pytest.mark.timeout(1800)]
BUNDLE, CASES = "semi_supervised_segmentation", ["test_000_ED", "test_000_ES"]
TINY = {"features": [4, 4, 8, 8, 16, 4], "image_size": 32, "num_workers": 0, "learning_rate": 0.02, "dice_weight": 1.0}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A short training on synthetic cine, and the test scans as studies."""
    folder = tmp_path_factory.mktemp("slices")
    write_cine_cohort(folder / "cine", patients=2, validation=1, test=1, size=32, progress=False)
    python(
        *("-m", "monai.bundle", "run", "--config_file", bundle_folder(BUNDLE) / "configs" / "train.yaml"),
        *("--dataset_dir", folder / "cine", "--store_dir", folder / "store", "--output_dir", folder / "trained"),
        *("--method", "mean_teacher", "--labelled_scans", 4, "--scans_per_batch", 1, "--overlay_cases", 0),
        *("--iterations", 60, "--epoch_length", 60, *words(TINY)),
        cwd=folder,
    )
    (folder / "studies").mkdir()
    for case in CASES:
        shutil.copy(folder / "cine" / "synthetic_cine" / "images" / f"{case}.nii.gz", folder / "studies")
    return folder


def test_a_model_of_slices_segments_scans_of_the_server_as_the_bundle_does(root):
    app = root / "app" / "model" / BUNDLE
    server = LabelServer(root, "--bundle", BUNDLE, "--studies", "studies", "--app", "app", "--checkpoint", "trained")
    try:
        server.wait()
        info = server.get("/info/")
        assert set(info["models"]) == {BUNDLE}
        assert info["models"][BUNDLE]["labels"] == {"right ventricle": 1, "myocardium": 2, "left ventricle": 3}
        assert info["trainers"] == {}
        found = {case: server.segment(BUNDLE, case, root / f"{case}.nii.gz") for case in CASES}
    finally:
        server.stop()
    python(
        *("-m", "monai.bundle", "run", "--config_file", app / "configs" / "inference.yaml"),
        *("--datalist", json.dumps([str(root / "studies" / f"{case}.nii.gz") for case in CASES])),
        *("--checkpoint", root / "trained" / "model.pt", "--output_dir", root / "expected"),
        cwd=root,
    )
    for case, file in found.items():
        scan = nib.load(root / "studies" / f"{case}.nii.gz")
        assert nib.load(file).shape == scan.shape
        np.testing.assert_allclose(nib.load(file).affine, scan.affine, atol=1e-4)
        np.testing.assert_array_equal(voxels(file), voxels(root / "expected" / f"{case}_seg.nii.gz"))
        assert 0 < (voxels(file) > 0).mean() < 0.9, "a model that finds nothing, or everything, compares nothing"
