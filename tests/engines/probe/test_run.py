from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest

from monai_cl.data import read_results
from monai_cl.engines import LinearProbe, describe_probe, probe_encoder, read_folds, run_probe
from monai_cl.errors import UserError
from tests.engines.probe.feature_cohorts import feature_cohort

FAST = {"grid": (0.01, 0.1), "resamples": 50}


def test_everything_a_reader_needs_is_written(tmp_path):
    made, drawn = feature_cohort(signal=1.0), []
    made.about["data_list"] = {"name": "made up", "classes": {"1": "F3-F4"}}

    def draw_roc(curves):
        drawn.append(curves)
        return b"roc"

    def draw_pca(features, labels, depths, *, classes, seed):
        assert classes == {0: "class 0", 1: "F3-F4"}
        assert features.shape == (120, 6)
        assert len(labels) == len(depths) == 120
        return b"pca"

    result = run_probe(made, tmp_path / "run", draw_roc=draw_roc, draw_pca=draw_pca, **FAST)
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names == ["folds.json", "patients.csv", "pca.png", "probe.npz", "results.json", "roc.png"]
    found = read_results(tmp_path / "run")
    assert (found["kind"], found["method"], found["cohort"], found["seed"]) == ("classification", "wsp", "made up", 3)
    assert found["overlays"] == ["roc.png", "pca.png"]
    assert found["metrics"]["auc"] == pytest.approx(result.metrics()["auc"])
    assert found["metrics"]["depth_r2"] > 0.3
    assert found["config"]["probe"] == {"seed": 0, "grid": [0.01, 0.1], "resamples": 50}
    assert list(drawn[0]) == ["wsp"]
    assert read_folds(tmp_path / "run" / "folds.json").fold == result.folds.fold
    rows = list(csv.DictReader((tmp_path / "run" / "patients.csv").read_text("utf-8").splitlines()))
    assert list(rows[0]) == ["patient", "fold", "label", "probability", "n_slices"]
    assert [row["patient"] for row in rows] == result.patients.tolist()
    assert float(rows[7]["probability"]) == pytest.approx(result.probability[7], abs=1e-6)


def test_the_probe_for_scans_to_come_knows_all_patients(tmp_path):
    made = feature_cohort(signal=4.0)
    run_probe(made, tmp_path, **FAST)
    names, probability, _ = LinearProbe.load(tmp_path / "probe.npz").patient_probability(made.features, made.patient)
    assert ((probability > 0.5) == [made.patient_labels()[name] == 1 for name in names.tolist()]).all()


def test_a_description_replaces_what_the_features_say(tmp_path):
    run_probe(feature_cohort(), tmp_path, description={"method": "supcon", "cohort": None, "sigma": 0.3}, **FAST)
    found = read_results(tmp_path)
    assert (found["method"], found["cohort"], found["sigma"]) == ("supcon", "made up", 0.3)


def test_features_that_say_nothing_of_themselves_are_named_by_their_file(tmp_path):
    run_probe(replace(feature_cohort(), about={}, source="runs/odd name.npz"), tmp_path, seed=4, **FAST)
    found = read_results(tmp_path)
    assert (found["method"], found["cohort"], found["seed"]) == ("odd name", "cohort", 4)
    assert found["initialisation"] == "scratch"


def test_unknown_depths_are_accepted(tmp_path):
    run_probe(replace(feature_cohort(), depth=None), tmp_path, **FAST)
    metrics = read_results(tmp_path)["metrics"]
    assert metrics["depth_r2"] is None
    assert "differing depths" in metrics["depth_note"]
    assert "depth" not in describe_probe(metrics)


def test_the_text_tells_folds_mean_interval_and_who_was_left_out(tmp_path):
    made = feature_cohort(signal=1.0)
    made = replace(made, label=np.where(made.patient == "p000", -1, made.label))
    run_probe(made, tmp_path, **FAST)
    metrics = read_results(tmp_path)["metrics"]
    text = describe_probe(metrics)
    assert text.splitlines()[0] == "29 patients (14 of class 1), 116 slices, 5 folds"
    assert "1 patient left out: the class is not known" in text
    assert f"AUC {metrics['auc']:.3f} ± {metrics['auc_std']:.3f}" in text
    assert "95 % interval" in text
    assert text.splitlines()[-1].startswith("depth: R² 0.")


def test_the_text_names_the_class_and_says_why_there_is_no_interval(tmp_path):
    listed = {"name": "d", "classes": {"1": "steatosis"}}
    made = feature_cohort(patients=6, signal=0.5)
    run_probe(replace(made, about={**made.about, "data_list": listed}), tmp_path, **{**FAST, "fold_count": 3})
    results = read_results(tmp_path)
    text = describe_probe(results["metrics"], results["data_list"])
    assert text.startswith("6 patients (3 of steatosis)")
    assert "no interval: 3 and 3 patients" in text


def test_what_is_refused_leaves_nothing_behind(tmp_path):
    with pytest.raises(UserError, match="expected at least 20 patients"):
        run_probe(feature_cohort(), tmp_path / "run", fold_count=20)
    assert not (tmp_path / "run").exists()


def test_a_config_that_still_asks_for_the_projector_is_reported(tmp_path):
    known = dict.fromkeys(("folds", "seed", "about", "data_list", "device"))
    with pytest.raises(UserError, match="tensorboard: expected False, found True; the embedding projector is gone"):
        probe_encoder(None, None, output_dir=tmp_path, tensorboard=True, **known)
