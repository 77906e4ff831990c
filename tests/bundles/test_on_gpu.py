"""Every bundle on a GPU as users run it there: bfloat16, fused optimiser, resumed, evaluated, inferred."""

from __future__ import annotations

import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from monai_cl.data import read_results
from monai_cl.engines.launch.method_parts import method_files
from tests.bundles.conftest import BUNDLES, ORGANS, PRETRAINING, SPLEEN
from tests.bundles.slice_runs import PRETRAINING as SLICES

pytestmark = pytest.mark.gpu


def sound(folder: Path) -> dict:
    """The results of a run that was on the GPU and gave numbers all along."""
    results = read_results(folder)
    assert results["device"].startswith("cuda"), results["device"]
    assert all(math.isfinite(value) for points in results["curves"].values() for _, value in points)
    return results


def test_mixcl_trains_on_a_gpu_and_its_encoder_is_fine_tuned_evaluated_and_used(
    pretraining, spleen, organs, evaluation, spleen_maps, organ_maps
):
    assert sound(pretraining)["curves"]["loss"]
    assert 0 <= sound(spleen)["metrics"]["mean_dice"] <= 1
    sound(organs)
    # the same network on the same cases; a GPU's kernels do not always add in the same order
    again = read_results(evaluation)["metrics"]["mean_dice"]
    assert again == pytest.approx(sound(spleen)["best"]["mean_dice"], abs=1e-3)
    for folder in (spleen_maps, organ_maps):
        maps = [np.asarray(nib.load(path).dataobj) for path in folder.glob("*.nii.gz")]
        assert maps
        assert all(np.array_equal(found, found.astype(np.uint8)) for found in maps)


@pytest.mark.parametrize("bundle", [PRETRAINING, SPLEEN, ORGANS])
@pytest.mark.parametrize("first", [{}, {"device": "cpu", "amp": False, "fused_optimizer": False}], ids=["gpu", "cpu"])
def test_a_run_continues_on_a_gpu(train, tmp_path, bundle, first):
    options = {"epoch_length": 2, **({"preset": "hybrid"} if bundle == PRETRAINING else {"overlay_cases": 0})}
    train(bundle, tmp_path / "run", iterations=2, **options, **first).check()
    train(bundle, tmp_path / "run", iterations=4, **options).check()
    assert sound(tmp_path / "run")["iterations"] == 4


def test_a_scan_whose_probabilities_a_gpu_cannot_hold_is_inverted_on_the_cpu(infer, spleen_maps, cohort, tmp_path):
    images = str(cohort / "synthetic_spleen" / "images")
    infer(SPLEEN, tmp_path / "maps", dataset_dir=images, invert_device="cpu").check()
    for path in spleen_maps.glob("*.nii.gz"):
        one, other = (np.asarray(nib.load(folder / path.name).dataobj) for folder in (spleen_maps, tmp_path / "maps"))
        assert (one != other).mean() < 1e-3


@pytest.mark.parametrize("method", sorted(method_files(BUNDLES / SLICES)))
def test_slices_train_on_a_gpu(slice_run, tmp_path, method):
    slice_run(SLICES, "train", output_dir=str(tmp_path / "run"), method=method)
    assert sound(tmp_path / "run")["curves"]["loss"]


@pytest.mark.parametrize("run_id", ["run", "finetune"])
def test_an_encoder_is_probed_and_fine_tuned_on_a_gpu(slice_run, wsp, tmp_path, run_id):
    options = {"output_dir": str(tmp_path / "run"), "encoder": str(wsp / "model.pt"), "run_id": run_id}
    slice_run("cirrhosis_classification", "train", **options)
    assert sound(tmp_path / "run")["metrics"]
