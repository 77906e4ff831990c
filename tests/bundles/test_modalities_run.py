"""MR, and CT beside MR, through training, evaluation and inference of the 3-D bundles."""

from __future__ import annotations

import pytest

from monai_cl.data import read_results
from monai_cl.networks import read_about
from tests.bundles.conftest import SPLEEN
from tests.bundles.test_segmentation_run import dice, volume


def test_weights_say_which_modalities_they_know_and_by_which_scale(mr_spleen, both_spleen, spleen):
    known = [read_about(run / "model.pt")["preprocessing"]["modality"] for run in (mr_spleen, both_spleen, spleen)]
    assert known == [{"MR": "zscore"}, {"CT": "hounsfield", "MR": "percentiles"}, "CT"]


@pytest.mark.parametrize("run", ["mr_spleen", "both_spleen"])
def test_inference_gives_an_mr_the_label_map_that_was_validated(run, request, infer, cohort, tmp_path):
    folder = request.getfixturevalue(run)
    image = cohort / "synthetic_spleen" / "mr" / "spleen_0001.nii.gz"
    modality = {"modality": "MR"} if run == "both_spleen" else {}
    infer(SPLEEN, tmp_path, datalist=[str(image)], checkpoint=str(folder / "model.pt"), **modality).check()
    prediction = volume(tmp_path / "spleen_0001_seg.nii.gz")
    truth = volume(cohort / "synthetic_spleen" / "labels" / "spleen_0001.nii.gz")
    best = read_results(folder)["best"]["mean_dice"]
    assert 0 < best < 1
    assert dice(prediction, truth, 1) == pytest.approx(best, abs=1e-6)
