"""The bundle for head CT: trained, evaluated, used on new scans, pre-trained by clustering, resumed."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from monai_cl.cli.commands import main
from monai_cl.data import read_results
from monai_cl.data.phantom.head_ct.case import FINDINGS
from monai_cl.engines import embed, trained_clustering
from monai_cl.networks import read_about
from tests.bundles.head_runs import BOX, CLUSTERING, HEAD
from tests.bundles.workflow import assert_equal, config_files, learnt_by_two, refusal, weights

LABEL_HEADS = {"target": 1, "findings": len(FINDINGS), "slice_findings": 1}


def test_a_training_leaves_scores_of_class_findings_and_slices(head_trained):
    results = read_results(head_trained)
    metrics = results["metrics"]
    assert metrics["patients"] == 5
    assert list(metrics["types"]) == list(FINDINGS)
    assert metrics["slices"]["slices"] == 5 * BOX[0]
    assert len(metrics["slices"]["auc_interval"]) == 2
    assert {"auc", "loss_target", "loss_findings", "loss_slice_findings"} <= set(results["curves"])
    about = read_about(head_trained / "model.pt")
    assert about["network"]["arguments"]["finding_names"] == list(FINDINGS)
    assert about["preprocessing"]["box_size"] == BOX
    with (head_trained / "patients.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 5


def test_a_resumed_training_is_the_same_training(head_run, head_trained, tmp_path):
    head_run("train", output_dir=str(tmp_path), **{"train#trainer#max_epochs": 1})
    assert not (tmp_path / "checkpoint_iteration=4.pt").exists()
    head_run("train", output_dir=str(tmp_path))
    assert_equal(weights(tmp_path), weights(head_trained))
    assert read_results(tmp_path)["metrics"] == read_results(head_trained)["metrics"]


def test_an_evaluation_scores_the_test_part_with_the_settings_of_the_model(head_run, head_trained, tmp_path):
    head_run("train", "evaluate", output_dir=str(head_trained), evaluation_dir=str(tmp_path), box_size=BOX)
    metrics = read_results(tmp_path)["metrics"]
    assert {row["patient"] for row in metrics["per_patient"]} == {f"test_000{i}" for i in range(5)}
    assert set(metrics["types"]) == set(FINDINGS)
    again = {"output_dir": str(head_trained), "evaluation_dir": str(tmp_path), "split": "training"}
    with pytest.raises(RuntimeError) as caught:
        head_run("train", "evaluate", **again, box_size=BOX)
    assert "expected weights that know none of the 6 scans" in refusal(caught)


def test_an_evaluation_measures_how_far_probabilities_move(head_run, head_trained, tmp_path):
    folders = {"output_dir": str(head_trained), "box_size": BOX}
    head_run(
        "train", "evaluate", **folders, evaluation_dir=str(tmp_path / "a"), robustness_cases=4, robustness_variants=2
    )
    results = read_results(tmp_path / "a")
    assert set(results["metrics"]["robustness"]) == {"gamma", "rotation", "scale", "all"}
    for scores in results["metrics"]["robustness"].values():
        assert 0 <= scores["q1"] <= scores["median"] <= scores["q3"]
        assert scores["delta_logit"] > 0
        assert (scores["images"], scores["variants"]) == (4, 2)
    assert (tmp_path / "a" / "robustness.png").is_file()
    page = tmp_path / "page.html"
    main(["report", str(tmp_path / "a"), "--output", str(page)])
    text = page.read_text(encoding="utf-8")
    assert "Robustness: relative deviation" in text
    assert "relative deviation of the probability of variants, a box for each family" in text
    assert "Findings and slices" in text
    with pytest.raises(RuntimeError) as caught:
        head_run("train", "evaluate", **folders, evaluation_dir=str(tmp_path / "b"), robustness_cases=1)
    assert "robustness_cases: expected a whole number from 2, or 0 for none, found 1" in refusal(caught)
    assert not (tmp_path / "b").exists()


def test_a_new_scan_in_any_orientation_gets_one_answer(head_run, head_trained, heads, tmp_path):
    source = heads / "synthetic_head_ct" / "images" / "test_0001.nii.gz"
    image = nib.load(source)
    turned = tmp_path / "turned.nii.gz"
    turn = nib.orientations.ornt_transform(nib.io_orientation(image.affine), nib.orientations.axcodes2ornt("PSL"))
    nib.save(image.as_reoriented(turn), turned)
    output = tmp_path / "out"
    checkpoint = str(head_trained / "model.pt")
    head_run("inference", datalist=[str(source), str(turned)], checkpoint=checkpoint, output_dir=str(output))
    one, other = (json.loads((output / f"{name}.json").read_text()) for name in ("test_0001", "turned"))
    assert one["call"] in ("no haemorrhage", "haemorrhage")
    assert list(one["findings"]) == list(FINDINGS)
    assert len(one["slices"]) == BOX[0]
    embedded = embed(checkpoint, [source, turned], find_head=False).vectors
    assert embedded.shape == (2, 1024)
    assert embedded[0] == pytest.approx(embedded[1], abs=1e-5)
    assert np.diff([row["z_mm"] for row in one["slices"]]) == pytest.approx(160 / BOX[0], abs=0.01)
    assert one["probability"] == pytest.approx(other["probability"], abs=1e-6)
    assert [row["probability"] for row in one["slices"]] == pytest.approx(
        [row["probability"] for row in other["slices"]], abs=1e-6
    )
    assert (output / one["picture"]).read_bytes()[:4] == b"\x89PNG"
    with (output / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["test_0001", "turned"]
    assert float(rows[0]["subdural"]) == pytest.approx(one["findings"]["subdural"], abs=1e-6)
    with (output / "slices.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2 * BOX[0]


def test_clustering_pretrains_an_encoder_that_a_training_starts_from(head_run, head_pretrained, tmp_path):
    results = read_results(head_pretrained)
    assert {"loss", "code_perplexity", "prototypes_in_use", "queue_fill"} <= set(results["curves"])
    assert results["curves"]["queue_fill"][-1][1] > 0
    head_run(
        "train", output_dir=str(tmp_path), pretrained_encoder=str(head_pretrained / "model.pt"), learning_rate=1e-12
    )
    start, trained = weights(head_pretrained), weights(tmp_path)
    name = "backbone.blocks.2.1.layers.0.weight"
    torch.testing.assert_close(trained[name], start[f"encoder.{name}"], rtol=0, atol=1e-6)
    assert read_results(tmp_path)["encoder"]["preset"] == "clustering"


def test_a_resumed_pretraining_with_a_queue_is_the_same(head_run, head_pretrained, tmp_path):
    options = {"output_dir": str(tmp_path), **CLUSTERING}
    head_run("train", "pretrain", **options, **{"train#trainer#max_epochs": 1})
    assert not (tmp_path / "checkpoint_iteration=4.pt").exists()
    head_run("train", "pretrain", **options)
    assert_equal(weights(tmp_path), weights(head_pretrained))


def test_labels_take_part_in_a_pretraining_where_they_are_known(head_run, heads, tmp_path):
    labelled = str(heads / "head_ct_pretraining_labelled.json")
    more = {"label_heads": LABEL_HEADS, "iterations": 2, "probe_every": 1}
    head_run("train", "pretrain", output_dir=str(tmp_path), data_list=labelled, **CLUSTERING, **more)
    curves = read_results(tmp_path)["curves"]
    assert curves["labelled_target"][-1][1] == 1
    assert all(0 <= curves[name][0][1] <= 1 for name in ("probe/neighbours", "probe/linear"))
    assert curves["loss_findings"][-1][1] > 0
    assert curves["labelled_slice_findings"][-1][1] == 1
    assert curves["loss_slice_findings"][-1][1] > 0
    state = weights(tmp_path)
    assert {name.split(".")[1] for name in state if name.startswith("label_heads.")} == set(LABEL_HEADS)
    assert trained_clustering(tmp_path / "model.pt")["label_heads"] == LABEL_HEADS
    encoder = str(tmp_path / "model.pt")
    head_run("train", output_dir=str(tmp_path / "tuned"), pretrained_encoder=encoder, learning_rate=1e-12, iterations=2,
             data_list=str(heads / "head_ct.json"), allow_overlap=True)  # fmt: skip
    name = "backbone.blocks.2.1.layers.0.weight"
    torch.testing.assert_close(weights(tmp_path / "tuned")[name], state[f"encoder.{name}"], rtol=0, atol=1e-6)


def test_a_resumed_pretraining_with_labels_is_the_same(head_run, heads, tmp_path):
    """Slices are labelled in some of the scans only."""
    content = json.loads((heads / "head_ct_pretraining_labelled.json").read_text())
    for number, item in enumerate(content["training"]):
        if number % 2:
            item["slice_findings"] = None
    (heads / "some_slices.json").write_text(json.dumps(content))
    options = {"data_list": str(heads / "some_slices.json"), "label_heads": LABEL_HEADS, **CLUSTERING}
    head_run("train", "pretrain", output_dir=str(tmp_path / "whole"), **options)
    options |= {"output_dir": str(tmp_path / "parts")}
    head_run("train", "pretrain", **options, **{"train#trainer#max_epochs": 1})
    assert not (tmp_path / "parts" / "checkpoint_iteration=4.pt").exists()
    head_run("train", "pretrain", **options)
    assert_equal(weights(tmp_path / "parts"), weights(tmp_path / "whole"))
    shares = [value for _, value in read_results(tmp_path / "whole")["curves"]["labelled_slice_findings"]]
    assert all(0 <= value <= 1 for value in shares)
    assert min(shares) < 1


def test_a_list_without_validation_asks_for_a_fold(head_run, heads, tmp_path):
    document = json.loads((heads / "head_ct.json").read_text())
    del document["validation"]
    short = heads / "short.json"
    short.write_text(json.dumps(document))
    with pytest.raises(RuntimeError) as caught:
        head_run("train", output_dir=str(tmp_path), data_list=str(short))
    assert re.search('expected items under "validation", found none.* --fold 0', refusal(caught))


@pytest.mark.parametrize("part", ["training", "validation"])
def test_a_third_class_is_refused_before_a_scan_is_prepared(head_run, heads, tmp_path, part):
    """One logit takes 0 and 1: of a class 2 its loss falls without end."""
    document = json.loads((heads / "head_ct.json").read_text())
    document["targets"]["2"], document[part][0]["target"] = "severe", 2
    (heads / "graded.json").write_text(json.dumps(document))
    options = {"data_list": str(heads / "graded.json"), "store_dir": str(tmp_path / "store")}
    with pytest.raises(RuntimeError) as caught:
        head_run("train", output_dir=str(tmp_path / "run"), **options)
    assert f"patient {part}_0000: expected class 0 or 1, found 2" in refusal(caught)
    assert (tmp_path / "store").exists() == (part == "validation")
    if part == "training":
        head_run("train", output_dir=str(tmp_path / "run"), positive_from=1, **options)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("overlay", [(), ("pretrain",)])
def test_two_processes_train_and_write_once(head_options, overlay, free_port, tmp_path):
    more = {"batch_size": 2, "iterations": 2, "epoch_length": 2}
    if overlay:
        labelled = Path(str(head_options["dataset_dir"])) / "head_ct_pretraining_labelled.json"
        more |= CLUSTERING | {"queue_start": 0, "label_heads": LABEL_HEADS, "data_list": str(labelled)}
    files = config_files(HEAD, "train", *overlay, "multi_gpu_train")
    learnt_by_two(files, {**head_options, **more}, tmp_path / "run", free_port())
    results = read_results(tmp_path / "run")
    assert results["iterations"] == 2
    if overlay:
        assert results["curves"]["queue_fill"][-1][1] > 0
        assert results["curves"]["loss_slice_findings"][-1][1] > 0
    else:
        assert results["metrics"]["patients"] == 5
        assert results["metrics"]["slices"]["slices"] == 5 * BOX[0]
