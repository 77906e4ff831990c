"""MR, and CT beside MR, through training, evaluation and inference of the 3-D bundles."""

from __future__ import annotations

import numpy as np
import pytest

from monai_cl.data import VolumeStore, read_results
from monai_cl.networks import read_about
from tests.bundles.conftest import PRETRAINING, SPLEEN
from tests.bundles.test_segmentation_run import dice, volume

BOTH = {"CT": "hounsfield", "MR": "percentiles"}
CASE = "spleen_0001"


def known(run):
    return read_about(run / "model.pt")["preprocessing"]["modality"]


def check_inference(infer, cohort, run, output, **options):
    """The label map of the validation scan has the Dice that was measured in training."""
    image = cohort / "synthetic_spleen" / "mr" / f"{CASE}.nii.gz"
    infer(SPLEEN, output, datalist=[str(image)], checkpoint=str(run / "model.pt"), **options).check()
    truth = volume(cohort / "synthetic_spleen" / "labels" / f"{CASE}.nii.gz")
    best = read_results(run)["best"]["mean_dice"]
    assert 0 < best < 1
    assert dice(volume(output / f"{CASE}_seg.nii.gz"), truth, 1) == pytest.approx(best, abs=1e-6)


def test_a_network_of_ct_and_mr_segments_an_mr_as_it_was_validated(both_spleen, infer, cohort, tmp_path):
    assert known(both_spleen) == BOTH
    check_inference(infer, cohort, both_spleen, tmp_path, modality="MR")


@pytest.mark.slow
def test_mr_by_z_score_is_trained_evaluated_and_segmented_alike(mr_spleen, train, infer, mr_list, cohort, tmp_path):
    assert known(mr_spleen) == {"MR": "zscore"}
    check_inference(infer, cohort, mr_spleen, tmp_path)
    train(SPLEEN, mr_spleen, "evaluate", data_list=str(mr_list), fold=1).check()
    evaluated = read_results(mr_spleen / "evaluation")["metrics"]["mean_dice"]
    assert evaluated == pytest.approx(read_results(mr_spleen)["best"]["mean_dice"], abs=1e-6)
    assert (mr_spleen / "evaluation" / "overlays" / f"{CASE}.png").is_file()


@pytest.mark.slow
def test_what_a_network_does_not_know_is_refused(spleen, both_spleen, train, infer, cohort, mr_list, encoder, tmp_path):
    image = str(cohort / "synthetic_spleen" / "mr" / f"{CASE}.nii.gz")
    refused = infer(SPLEEN, tmp_path, datalist=[image], checkpoint=str(spleen / "model.pt"), modality="MR")
    assert "expected a scan of CT, which the network was trained on, found modality MR" in refused.err
    refused = infer(SPLEEN, tmp_path, datalist=[image], checkpoint=str(both_spleen / "model.pt"))
    assert "does not state its modality; name it: --modality CT or --modality MR" in refused.err
    options = {"data_list": str(mr_list), "fold": 1, "pretrained_encoder": str(encoder)}
    refused = train(SPLEEN, tmp_path / "run", **options)
    assert "expected the modality it was trained with, CT, found MR by percentiles" in refused.err
    train(SPLEEN, tmp_path / "run", **options, allow_other_preprocessing=True, unlabelled_weight=1.0).check()


@pytest.mark.slow
def test_mixcl_learns_from_ct_and_mr_and_hands_the_scale_on(
    launcher, train, infer, both_list, mr_list, cohort, tmp_path
):
    run = tmp_path / "pretraining"
    options = {"data_list": str(both_list), "preset": "hybrid", "intensity": "zscore"}
    train(PRETRAINING, run, **options).check()
    assert known(run) == {**BOTH, "MR": "zscore"}
    stored = [VolumeStore.open(cohort.parent / "store").entry(key) for key in _keys(cohort)]
    assert {entry.preparation.get("intensity") for entry in stored if entry.id == CASE} >= {"zscore"}
    image = cohort / "synthetic_spleen" / "mr" / f"{CASE}.nii.gz"
    chosen = {"datalist": [str(image)], "checkpoint": str(run / "model.pt"), "modality": "MR"}
    infer(PRETRAINING, tmp_path / "out", **chosen).check()
    (written,) = (tmp_path / "out").glob("*.nii.gz")
    values = volume(written)
    assert values.shape == volume(image).shape
    assert -150 <= np.min(values) < np.max(values) <= 250
    encoder = tmp_path / "encoder.pt"
    launcher.run("monai_cl", "export_encoder", run / "model.pt", "--output", encoder, cwd=tmp_path).check()
    assert read_about(encoder)["preprocessing"]["modality"] == {**BOTH, "MR": "zscore"}
    tuned = {"data_list": str(mr_list), "fold": 1, "pretrained_encoder": str(encoder)}
    train(SPLEEN, tmp_path / "tuned", **tuned, allow_overlap=True).check()
    assert known(tmp_path / "tuned") == {"MR": "zscore"}


def _keys(cohort):
    return VolumeStore.open(cohort.parent / "store").all_keys()
