"""Pre-training by meta-labels, its evaluation and inference, end to end on a tiny synthetic cine."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from monai.networks.nets import BasicUNet

from monai_cl.data import read_features, read_results
from monai_cl.engines import embed
from monai_cl.engines.launch.method_parts import method_files
from monai_cl.losses.self_paced import pace
from monai_cl.networks import load_unet_encoder
from tests.bundles.cine_runs import FEATURES
from tests.bundles.workflow import (
    BUNDLES,
    assert_equal,
    config_files,
    initialised,
    learnt_by_two,
    made_once,
    plain_descent,
    refusal,
    run_files,
    weights,
    words,
)

BUNDLE = "meta_label_pretraining"
METHODS = sorted(method_files(BUNDLES / BUNDLE))

# Ignite warns of MONAI's way to attach a scheduler; torch of a pinned memory that is not there
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def options(cine_options) -> dict[str, object]:
    """What makes a training tiny."""
    return cine_options


@pytest.fixture(scope="module")
def run(cine_run) -> Callable[..., ConfigWorkflow]:
    """``run("train", …, output_dir=…)``"""
    return partial(cine_run, BUNDLE)


@pytest.fixture(scope="module")
def trained(run, tmp_path_factory) -> Callable[[str], Path]:
    """``trained(method)``: four steps in two epochs, made once. Look, do not touch."""
    return made_once(partial(run, "train"), tmp_path_factory)


@pytest.mark.parametrize("method", METHODS)
def test_a_training_leaves_its_record_and_an_encoder_that_a_u_net_takes(trained, method):
    results = read_results(trained(method))
    assert (results["kind"], results["bundle"], results["iterations"]) == ("pretraining", BUNDLE, 4)
    assert (results["data_list"]["method"], results["data_list"]["patients"]) == (method, 6)
    assert np.isfinite(results["curves"]["loss"][-1][1])
    network = BasicUNet(spatial_dims=2, out_channels=4, features=FEATURES, norm="batch", upsample="nontrainable")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    report = load_unet_encoder(network, trained(method) / "model.pt")
    state = weights(trained(method))
    for name, tensor in network.state_dict().items():
        down = name.startswith(("conv_0.", "down_"))
        assert (name in report.matched) == down
        assert torch.equal(tensor, state[f"encoder.backbone.{name}"] if down else before[name]), name


@pytest.mark.parametrize("method", METHODS)
def test_a_run_resumed_in_the_middle_of_its_pace_is_the_same_run(run, trained, method, tmp_path):
    run("train", method=method, output_dir=str(tmp_path), **{"train#trainer#max_epochs": 1})
    assert not (tmp_path / "checkpoint_iteration=4.pt").exists()
    run("train", method=method, output_dir=str(tmp_path))
    assert_equal(weights(tmp_path), weights(trained(method)))
    once, twice = (read_results(folder)["curves"] for folder in (trained(method), tmp_path))
    assert once == twice


@pytest.mark.parametrize("method", METHODS)
def test_the_file_given_as_an_overlay_is_the_method(run, trained, method, tmp_path):
    run("train", f"methods/{method}", output_dir=str(tmp_path))
    assert_equal(weights(tmp_path), weights(trained(method)))


def test_every_label_has_its_pace_and_they_are_compared(trained):
    results = read_results(trained("self_paced"))
    curves, labels = results["curves"], results["data_list"]["meta_labels"]
    assert set(labels) == {"position", "patient", "phase"}
    for name, entry in labels.items():
        # one point, the mean of two epochs of two iterations
        expected = (entry["gamma"][0] + pace(0.5, entry["gamma"])) / 2
        assert curves[f"gamma/{name}"] == [[4, pytest.approx(expected)]]
        assert 0 < curves[f"mean_weight/{name}"][0][1] < 1
    assert curves["positives/position"][0][1] == 2 * 3 - 1
    assert -1 <= curves["gradient_cosine/position,patient"][0][1] <= 1
    assert "gamma/position" not in read_results(trained("contrastive"))["curves"]


def test_workers_and_probes_change_nothing(run, trained, cine, tmp_path):
    content = json.loads((cine / "cine.json").read_text(encoding="utf-8"))
    for item in content["training"]:
        item["target"] = int(item["patient"][-1]) % 2
    listed = cine / "with_targets.json"
    listed.write_text(json.dumps(content), encoding="utf-8")
    run("train", output_dir=str(tmp_path), data_list=str(listed), num_workers=2, probe_every=1)
    assert_equal(weights(tmp_path), weights(trained("self_paced")))
    assert {"probe/neighbours", "probe/linear"} <= read_results(tmp_path)["curves"].keys()


@pytest.mark.parametrize("names", [("train",), ("train", "evaluate"), ("train", "multi_gpu_train"), ("inference",)])
def test_the_bundle_has_every_property(options, trained, cine, names):
    given = dict(options) if names[0] == "train" else {"features": FEATURES, "image_size": 32}
    if names[-1] in ("evaluate", "inference"):
        given["checkpoint"] = str(trained("self_paced") / "model.pt")
    if names[0] == "inference":
        given["datalist"] = [str(cine / "synthetic_cine/images/test_000_ED.nii.gz")]
    workflow = initialised(BUNDLE, *names, **given)
    assert workflow.check_properties() == []
    assert isinstance(workflow.network_def, torch.nn.Module)


def test_evaluation_compares_with_random_initialisation(run, trained):
    folder = trained("self_paced")
    run("train", "evaluate", output_dir=str(folder), evaluation_folds=2)
    results = read_results(folder / "evaluation")
    assert results["bundle"] == BUNDLE
    assert {"depth_r2", "depth_r2_random", "effective_rank"} <= set(results["curves"])
    assert read_features(folder / "evaluation" / "features.npz").about["method"] == "self_paced"


def test_features_of_new_scans_are_those_of_the_evaluation(run, trained, cine, tmp_path):
    folder = trained("self_paced")
    run("train", "evaluate", output_dir=str(folder), evaluation_dir=str(tmp_path / "e"), evaluation_folds=2)
    scan = str(cine / "synthetic_cine/images/validation_000_ED.nii.gz")
    run("inference", datalist=[scan], checkpoint=str(folder / "model.pt"), output_dir=str(tmp_path / "i"))
    found, stored = read_features(tmp_path / "i" / "features.npz"), read_features(tmp_path / "e" / "features.npz")
    own = stored.patient == "validation_000"
    assert found.features == pytest.approx(stored.features[own][: len(found)], abs=1e-5)
    table = embed(folder / "model.pt", scan, unit="slice", modality="MR")
    assert table.vectors == pytest.approx(found.features, abs=1e-5)


def test_ct_without_a_phase_trains_by_position_and_patient(run, slice_cohort, tmp_path):
    labels = {"position": {"parts": 3, "gamma": [5, 60]}, "patient": {"weight": 0.1, "gamma": [3.5, 50]}}
    ct = {"dataset_dir": str(slice_cohort), "data_list": str(slice_cohort / "cirrhosis_grades.json")}
    ct |= {"store_dir": str(tmp_path / "store"), "output_dir": str(tmp_path / "run"), "iterations": 2}
    with pytest.raises(RuntimeError) as caught:
        run("train", **ct)
    assert "meta-label phase: expected items with 'phase'" in refusal(caught)
    assert "leave it out of meta_labels" in refusal(caught)
    run("train", **ct, meta_labels=labels)
    assert set(read_results(tmp_path / "run")["curves"]) > {"meta_label/position", "meta_label/patient"}


@pytest.mark.slow
def test_two_processes_with_two_scans_each_learn_in_two_sittings_what_one_does(run, options, cine, free_port, tmp_path):
    # plain gradient descent and a norm within a slice: neither magnifies rounding, nor sees the other slices
    more = {"iterations": 2, "epoch_length": 1, "norm": "instance", "learning_rate": 0.01}
    file = plain_descent(BUNDLE, tmp_path)
    files = [file, *config_files(BUNDLE, "multi_gpu_train")]
    half = {**options, **more, "scans_per_batch": 2}
    learnt_by_two(files, {**half, "train#trainer#max_epochs": 1}, tmp_path / "two", free_port())
    two = learnt_by_two(files, half, tmp_path / "two", free_port())  # goes on
    run_files(file, **{**options, **more, "scans_per_batch": 4, "output_dir": str(tmp_path / "one")})
    assert_equal(weights(tmp_path / "one"), two, atol=1e-5, rtol=1e-5)
    curves = [json.loads((tmp_path / name / "results.json").read_text())["curves"] for name in ("one", "two")]
    for name in (
        "meta_label/position",
        "gradient_cosine/position,patient",
        "encoder_gradient/phase",
        "dead_pairs/phase",
    ):
        assert curves[0][name][0][1] == pytest.approx(curves[1][name][0][1], abs=1e-3), name


@pytest.mark.slow
def test_right_and_wrong_pairs_of_a_run_are_told_apart(launcher, cine_options, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "benchmarks"))
    pair_weights = importlib.import_module("pair_weights").weights_of
    for name, more in {"right": {}, "shuffled": {"meta_labels#position#shuffled": 1.0}}.items():
        options = words({**cine_options, **more, "output_dir": str(tmp_path / name)})
        file = config_files(BUNDLE, "train")[0]
        launcher.run("monai.bundle", "run", "--config_file", file, *options, cwd=tmp_path).check()
    known = pair_weights(tmp_path / "right", batches=3, gamma=[4.0, 8.0], every=True)["checkpoints"]
    assert list(known) == ["0.5", "1.0"]
    at_end = known["1.0"]["weights"]["1.0"]
    near, far = (known["1.0"]["pairs"][kind] for kind in ("right", "wrong"))
    assert min(near, far) > 0
    mean = (near * at_end["right"] + far * at_end["wrong"]) / (near + far)
    assert min(at_end["by_distance"].values()) <= mean <= max(at_end["by_distance"].values())
    found = pair_weights(tmp_path / "shuffled", batches=3, gamma=[4.0, 8.0])
    assert (found["shuffled"], found["gamma"]) == (1.0, [4.0, 8.0])
    assert min(found["pairs"].values()) > 0
    for kind in ("right", "wrong"):  # at the end no pair's loss is above 8
        assert found["weights"]["1.0"][kind] == pytest.approx(1 - found["mean_loss"][kind] / 8, abs=1e-3)
