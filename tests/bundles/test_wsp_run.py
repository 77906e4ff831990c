"""Pre-training on slices, probe, fine-tuning and inference, end to end on a tiny synthetic cirrhosis cohort."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from monai_cl.data import read_features, read_results
from monai_cl.engines import LinearProbe, embed, slice_classifier
from tests.bundles.slice_runs import CLASSIFICATION, PRETRAINING, SLICE_NETWORK, Run
from tests.bundles.torchrun import Agents
from tests.bundles.workflow import assert_equal, config_files, initialised, refusal, weights, words

# Ignite warns of MONAI's way to attach a scheduler; torch of a pinned memory that is not there
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def cohort(slice_cohort) -> Path:
    """Ten patients with a grade, twelve with histology."""
    return slice_cohort


@pytest.fixture(scope="module")
def options(slice_options) -> Callable[[str], dict[str, object]]:
    """What makes a training of a bundle tiny."""
    return slice_options


@pytest.fixture(scope="module")
def run(slice_run) -> Run:
    """``run(bundle, "train", …, output_dir=…)``: a workflow run in this process, in one thread."""
    return slice_run


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


@pytest.mark.parametrize("bundle", [PRETRAINING, CLASSIFICATION])
@pytest.mark.parametrize("names", [("train",), ("train", "evaluate"), ("train", "multi_gpu_train"), ("inference",)])
def test_a_bundle_has_every_property(options, wsp, probe, scans, bundle, names):
    given = options(bundle) if names[0] == "train" else {**SLICE_NETWORK, "datalist": scans}
    if "evaluate" in names:
        given |= {"split": "training", "allow_overlap": True}
    if names[-1] in ("evaluate", "inference"):
        given["checkpoint"] = str({PRETRAINING: wsp, CLASSIFICATION: probe}[bundle] / "model.pt")
    workflow = initialised(bundle, *names, **given)
    assert workflow.check_properties() == []
    assert isinstance(workflow.network_def, torch.nn.Module)


def test_a_pretraining_says_what_it_was_trained_on(wsp):
    results = read_results(wsp)
    assert results["kind"] == "pretraining"
    assert (results["data_list"]["method"], results["data_list"]["patients"]) == ("wsp", 10)


def test_a_clustering_is_compared_with_its_slices_before_the_first_step(run, tmp_path, caplog):
    few = {"method": "clustering", "clustering#prototypes": 4}
    run(PRETRAINING, "train", output_dir=str(tmp_path / "long"), **few, **{"clustering#queue_length": 4000})
    assert "queue_length 4000 holds 4000 embeddings of each modality, CT has" in caplog.text
    evaluated = {"output_dir": str(tmp_path / "long"), "split": "training", "allow_overlap": True}
    run(PRETRAINING, "train", "evaluate", **evaluated)  # with as many prototypes as the file
    with pytest.raises(RuntimeError) as caught:
        run(PRETRAINING, "train", output_dir=str(tmp_path / "short"), **few, **{"clustering#queue_length": 1})
    assert "queue_length must be 0 or at least" in refusal(caught)
    assert not (tmp_path / "short").exists()


def test_a_network_of_monais_is_a_backbone_by_config(run, tmp_path):
    backbone = {"_target_": "DenseNet121", "spatial_dims": 2, "in_channels": 3, "out_channels": 8}
    more = {"block_config": [1, 1], "init_features": 8, "growth_rate": 4}
    run(
        PRETRAINING,
        "train",
        output_dir=str(tmp_path),
        backbone={**backbone, **more},
        width=1.0,
        image_size=64,
        neighbours=1,
        iterations=1,
    )
    results = read_results(tmp_path)
    assert results["data_list"]["backbone"] == "DenseNet121"
    assert weights(tmp_path)["encoder.backbone.features.conv0.weight"].shape[1] == 3


def test_a_resumed_run_is_the_same_run(run, wsp, tmp_path):
    first = {"epoch_length": 2, "output_dir": str(tmp_path)}
    # the schedule of four iterations, stopped after two
    run(PRETRAINING, "train", **first, iterations=4, **{"train#trainer#max_epochs": 1})
    assert not (tmp_path / "checkpoint_iteration=4.pt").exists()
    run(PRETRAINING, "train", **first, iterations=4)
    assert_equal(weights(tmp_path), weights(wsp))
    curves, whole = read_results(tmp_path)["curves"], read_results(wsp)["curves"]
    assert curves["learning_rate"][-1] == whole["learning_rate"][-1]


def test_workers_and_probes_change_nothing(run, wsp, tmp_path):
    run(PRETRAINING, "train", output_dir=str(tmp_path), iterations=4, epoch_length=2, num_workers=2, probe_every=1)
    assert_equal(weights(tmp_path), weights(wsp))
    for name in ("probe/neighbours", "probe/linear"):
        points = read_results(tmp_path)["curves"][name]
        assert [iteration for iteration, _ in points] == [2, 4]
        assert all(0 <= accuracy <= 1 for _, accuracy in points)


def test_probes_that_do_not_become_better_end_the_run_and_it_stays_ended(run, tmp_path):
    """With nothing learned all probes are equal: the third is one without a better one for twice."""
    options = {"output_dir": str(tmp_path), "iterations": 8, "epoch_length": 1, "learning_rate": 0.0}
    options |= {"weight_decay": 0.0, "probe_every": 1, "probe_patience": 2, "weight_average": 0.5}
    for _ in range(2):
        run(PRETRAINING, "train", **options)
        results = read_results(tmp_path)
        assert results["iterations"] == 3
        assert [iteration for iteration, _ in results["curves"]["probe/linear"]] == [1, 2, 3]
        names = sorted(file.name for file in tmp_path.glob("*.pt"))
        assert names == ["checkpoint_iteration=2.pt", "checkpoint_iteration=3.pt", "model.pt"]
    # with more patience it goes on from there
    run(PRETRAINING, "train", **{**options, "probe_patience": 4})
    assert read_results(tmp_path)["iterations"] == 5


def test_evaluation_compares_with_random_initialisation(run, wsp):
    run(PRETRAINING, "train", "evaluate", output_dir=str(wsp), split="training", evaluation_folds=2, allow_overlap=True)
    results = read_results(wsp / "evaluation")
    assert {"depth_r2", "depth_r2_random", "effective_rank", "mean_cosine_random"} <= set(results["curves"])
    assert len(results["data_list"]["overlap"]["scans"]) == 10  # it was trained on them
    assert read_features(wsp / "evaluation" / "features.npz").about["method"] == "wsp"
    assert read_features(wsp / "evaluation" / "features_random.npz").about["method"] == "random"


def test_features_of_new_scans(run, wsp, scans, tmp_path):
    run(PRETRAINING, "inference", datalist=scans, checkpoint=str(wsp / "model.pt"), output_dir=str(tmp_path))
    features = read_features(tmp_path / "features.npz")
    assert set(features.patient) == {"histology_0000", "histology_0001"}
    assert features.features.shape[1] == 32
    assert features.about["method"] == "wsp"
    assert (np.diff(features.depth[features.patient == "histology_0000"]) > 0).all()
    table = embed(wsp / "model.pt", scans, unit="slice")
    assert table.vectors == pytest.approx(features.features, abs=1e-5)
    assert table.columns["depth"] == pytest.approx(features.depth.tolist(), abs=1e-5)


def test_the_probe_leaves_results_and_a_classifier(probe, wsp):
    results = read_results(probe)
    assert results["kind"] == "classification"
    assert (results["method"], results["backbone"], results["sigma"]) == ("wsp", "tinynet", 0.1)
    assert results["cohort"] == "synthetic_cirrhosis_histology"
    assert results["initialisation"] == str(wsp / "model.pt")
    assert len(results["metrics"]["folds"]) == 2
    assert {"features.npz", "folds.json", "patients.csv", "pca.png", "roc.png"} <= {p.name for p in probe.iterdir()}
    network, fitted = slice_classifier("tinynet", width=SLICE_NETWORK["width"]), LinearProbe.load(probe / "probe.npz")
    network.load_state_dict(weights(probe))
    features = read_features(probe / "features.npz").features
    logits = network.head(torch.from_numpy(features))
    assert torch.sigmoid(logits)[:, 0].detach().numpy() == pytest.approx(fitted.slice_probability(features), abs=1e-12)


def test_inference_gives_what_the_probe_gives_for_the_same_scan(run, probe, cohort, scans, tmp_path):
    masks = str(cohort / "synthetic_cirrhosis_histology" / "labels")
    chosen = {"liver_mask": masks, "liver_label": 1, "checkpoint": str(probe / "model.pt")}
    run(CLASSIFICATION, "inference", datalist=scans, output_dir=str(tmp_path), **chosen)
    features, fitted = read_features(probe / "features.npz"), LinearProbe.load(probe / "probe.npz")
    rows = table(tmp_path / "predictions.csv")
    assert [row["id"] for row in rows] == ["histology_0000", "histology_0001"]
    for row in rows:
        own = features.patient == row["id"]
        expected = fitted.slice_probability(features.features[own])
        scan = json.loads((tmp_path / f"{row['id']}.json").read_text(encoding="utf-8"))
        assert [one["probability"] for one in scan["slices"]] == pytest.approx(expected, abs=1e-4)
        assert [one["depth"] for one in scan["slices"]] == pytest.approx(features.depth[own], abs=1e-6)
        assert float(row["probability"]) == pytest.approx(expected.mean(), abs=1e-4)
        most = expected.argmax() if expected.mean() >= 0.5 else expected.argmin()
        assert scan["decisive_slices"][0] == scan["slices"][most]["slice"]
        with Image.open(tmp_path / scan["picture"]) as picture:
            assert min(picture.size) > 300
    assert len(table(tmp_path / "slices.csv")) == sum(int(row["n_slices"]) for row in rows)


def test_an_encoder_and_a_probes_file_are_a_classifier(run, probe, wsp, scans, tmp_path):
    files = {"one": {"checkpoint": str(probe / "model.pt")}}
    files["two"] = {"checkpoint": str(wsp / "model.pt"), "probe": str(probe / "probe.npz")}
    for name, more in files.items():
        run(CLASSIFICATION, "inference", datalist=scans[:1], grad_cam=0, output_dir=str(tmp_path / name), **more)
    one, two = ((tmp_path / name / "slices.csv").read_text(encoding="utf-8") for name in files)
    assert one == two
    assert not list(tmp_path.rglob("*.png"))


def test_fine_tuning_a_fold_and_evaluating_it_alone(run, wsp, tmp_path):
    out = {"output_dir": str(tmp_path), "fold": 1}
    run(CLASSIFICATION, "train", run_id="finetune", encoder=str(wsp / "model.pt"), **out)
    results = read_results(tmp_path)
    tested = {row["patient"] for row in results["metrics"]["per_patient"]}
    assert results["method"] == "wsp, fine-tuned"
    assert len(results["curves"]["auc"]) == 2
    assert tested
    assert not tested & set(results["data_list"]["training_cases"])
    assert len(tested) + len(results["data_list"]["training_cases"]) == 12
    before, after = weights(wsp), weights(tmp_path, "checkpoint_iteration=2.pt")["network"]
    assert not torch.equal(before["encoder.backbone.layers.0.weight"], after["backbone.layers.0.weight"])
    run(CLASSIFICATION, "train", "evaluate", **out)
    alone = read_results(tmp_path / "evaluation")["metrics"]
    best = next(value for iteration, value in results["curves"]["auc"] if iteration == results["best"]["iteration"])
    assert alone["auc"] == best
    assert {row["patient"] for row in alone["per_patient"]} == tested


def test_probe_and_fine_tuning_have_the_same_folds(run, probe, tmp_path):
    folds = json.loads((probe / "folds.json").read_text(encoding="utf-8"))["folds"]
    run(CLASSIFICATION, "train", run_id="finetune", output_dir=str(tmp_path), iterations=1)
    assert [row["patient"] for row in read_results(tmp_path)["metrics"]["per_patient"]] == folds[0]
    assert read_results(tmp_path)["method"] == "supervised"


def test_an_evaluation_takes_every_patient_of_another_list(run, probe, tmp_path):
    (tmp_path / "model.pt").write_bytes((probe / "model.pt").read_bytes())
    # the probe was fitted on them
    with pytest.raises(RuntimeError, match="Failed to evaluate") as refused:
        run(CLASSIFICATION, "train", "evaluate", output_dir=str(tmp_path))
    assert "that are scored" in refusal(refused)
    run(CLASSIFICATION, "train", "evaluate", output_dir=str(tmp_path), allow_overlap=True)
    assert read_results(tmp_path / "evaluation")["metrics"]["patients"] == 12


def test_a_checkpoint_of_another_network_is_refused_in_one_line(launcher, wsp, probe, options, scans, tmp_path):
    files = {"config_file": config_files(CLASSIFICATION, "inference")[0], "datalist": scans}
    wide = {**files, "checkpoint": str(probe / "model.pt"), "image_size": 160, "width": 0.25}
    wrong = launcher.run("monai.bundle", "run", *words({**wide, "output_dir": str(tmp_path)}), cwd=tmp_path)
    assert wrong.status != 0
    assert wrong.last_error_line.startswith(
        f"error: {probe / 'model.pt'}: expected the width it was trained with, 0.125"
    )
    assert "found 0.25; leave --width out" in wrong.last_error_line
    assert "Traceback" not in wrong.err


def test_an_encoder_without_a_head_is_not_taken_for_a_classifier(run, wsp, scans, tmp_path):
    with pytest.raises(RuntimeError) as found:
        run(
            CLASSIFICATION,
            "inference",
            datalist=scans,
            checkpoint=str(wsp / "model.pt"),
            output_dir=str(tmp_path),
        )
    assert "does not fit this network" in refusal(found)


def test_a_mask_on_another_grid_is_named(run, probe, cohort, scans, tmp_path):
    mask = str(cohort / "synthetic_cirrhosis_histology" / "labels" / "histology_0001.nii.gz")
    with pytest.raises(RuntimeError) as found:
        run(
            CLASSIFICATION,
            "inference",
            datalist=scans[:1],
            liver_mask=mask,
            liver_label=1,
            checkpoint=str(probe / "model.pt"),
            output_dir=str(tmp_path),
        )
    assert f"{mask}: expected the grid of {scans[0]}" in refusal(found)


@pytest.fixture
def processes(options, free_port, tmp_path):
    """``processes(number, bundle, **more)``: a training by so many, finished; its folder."""

    def run(number: int, bundle: str, *words_before: str, **more: object) -> Path:
        files, folder = config_files(bundle, "train", "multi_gpu_train"), tmp_path / str(number)
        chosen = words({**options(bundle), **more, "batch_size": 8 // number, "output_dir": str(folder)})
        arguments = [*words_before, "--config_file", str(files), *chosen]
        (done,) = Agents(arguments, tmp_path / f"cwd{number}", free_port(), processes=number).wait(280)
        done.check()
        return folder

    return run


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_learn_what_one_learns(processes):
    one, two = (processes(number, PRETRAINING, iterations=2, epoch_length=2) for number in (1, 2))
    assert_equal(weights(one), weights(two), atol=1e-6, rtol=1e-5)
    found = [read_results(folder)["curves"]["loss"][-1] for folder in (one, two)]
    assert found[0] == pytest.approx(found[1], abs=1e-5)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_fine_tune_and_judge_as_one_does(processes, wsp):
    given = {"encoder": str(wsp / "model.pt"), "iterations": 2, "epoch_length": 1}
    one, two = (processes(number, CLASSIFICATION, "--run_id", "finetune", **given) for number in (1, 2))
    assert_equal(weights(one), weights(two), atol=1e-6, rtol=1e-5)
    judged = [read_results(folder)["metrics"] for folder in (one, two)]
    assert judged[0]["auc"] == judged[1]["auc"]
    for first, second in zip(judged[0]["per_patient"], judged[1]["per_patient"], strict=True):
        assert first | {"probability": 0} == second | {"probability": 0}
        assert first["probability"] == pytest.approx(second["probability"], abs=1e-5)
    assert sorted(path.name for path in two.iterdir()) == sorted(path.name for path in one.iterdir())
