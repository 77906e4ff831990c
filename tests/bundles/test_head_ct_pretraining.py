"""The pre-training on head CT: what is refused before a scan is prepared, and what is measured of the scans first."""

from __future__ import annotations

import json
import re
import shlex

import pytest
import torch

from monai_cl.data.phantom.head_ct.case import FINDINGS
from monai_cl.engines import list_boxes, read_list
from tests.bundles.conftest import BUNDLES
from tests.bundles.head_runs import BOX, CLUSTERING, HEAD
from tests.bundles.workflow import initialised, refusal, weights

LABELLED = "head_ct_pretraining_labelled.json"


@pytest.mark.parametrize(
    ("data_list", "given", "message"),
    [
        (LABELLED, {"label_heads": {"findings": 3}}, "label_heads: findings: expected 5, for the findings epidural"),
        (LABELLED, {"label_heads": {"target": 2}}, "label_heads: target: expected 1, for 2 classes, found 2"),
        ("graded.json", {"label_heads": {"target": 1}}, "label_heads: target: expected 3, for 3 classes, found 1"),
        ("head_ct_pretraining.json", {"label_heads": {"target": 1}}, "expected targets 0, 1, … without gaps"),
        ("head_ct_pretraining.json", {"label_heads": {"findings": 5}}, "expected items with findings, found none"),
        (LABELLED, {"label_heads": {"slice_findings": 4}}, "label_heads: slice_findings: expected 1, for each slice"),
        (
            "head_ct_pretraining.json",
            {"label_heads": {"slice_findings": 1}},
            "expected items with slice_findings, found",
        ),
        (
            LABELLED,
            {"label_heads": {"slices": 1}},
            "heads must be among target, findings, slice_findings, got",
        ),
        (
            LABELLED,
            {"box_size": [4, 24, 24]},
            "a network of volumes (1, 4, 24, 24) and the views of 2, found one that does",
        ),
        (LABELLED, {"fold": 0}, "--fold: expected an option of the pre-training"),
        (LABELLED, {"pretrained_encoder": "gone.pt"}, "--pretrained_encoder: expected an option of the pre-training"),
    ],
)
def test_what_would_be_learned_wrongly_or_ignored_is_refused_first(
    head_run, heads, tmp_path, data_list, given, message
):
    content = json.loads((heads / LABELLED).read_text())
    content["targets"]["2"], content["training"][0]["target"] = "more", 2
    (heads / "graded.json").write_text(json.dumps(content))
    options = {"output_dir": str(tmp_path / "run"), "store_dir": str(tmp_path / "store"), **CLUSTERING, **given}
    with pytest.raises(RuntimeError) as caught:
        head_run("train", "pretrain", data_list=str(heads / data_list), **options)
    assert message in refusal(caught)
    assert not (tmp_path / "store").exists()


def test_prototypes_and_queue_are_compared_with_the_scans_before_the_first_step(head_run, tmp_path, caplog):
    with pytest.raises(RuntimeError) as caught:
        head_run("train", "pretrain", output_dir=str(tmp_path / "many"), **CLUSTERING | {"prototypes": 99})
    assert "99 prototypes for 8 embeddings" in refusal(caught)
    with pytest.raises(RuntimeError) as caught:
        head_run("train", "pretrain", output_dir=str(tmp_path / "short"), **CLUSTERING | {"queue_length": 3})
    assert "queue_length must be 0 or at least 4, the batch of all processes, got 3" in refusal(caught)
    assert not (tmp_path / "many").exists()
    head_run("train", "pretrain", output_dir=str(tmp_path / "long"), **CLUSTERING | {"queue_length": 64})
    assert "queue_length 64 holds 64 embeddings of each modality, CT has 6 scans" in caplog.text


def test_the_input_is_standardised_by_what_is_measured_and_goes_on_so(head_run, heads, tmp_path):
    window = [0.0, 80.0]
    head_run("train", "pretrain", output_dir=str(tmp_path / "run"), window=window, **CLUSTERING)
    boxes = list_boxes(
        read_list(heads / "head_ct_pretraining.json"), store=heads.parent / "store", size=BOX, window=window
    )
    values = torch.stack([boxes[i]["image"] for i in range(len(boxes))]).double()
    state = weights(tmp_path / "run")
    assert float(state["encoder.mean"]) == pytest.approx(float(values.mean()), abs=0.0051)
    assert float(state["encoder.std"]) == pytest.approx(float(values.std(correction=0)), abs=0.0051)
    encoder = str(tmp_path / "run" / "model.pt")
    head_run("train", output_dir=str(tmp_path / "tuned"), pretrained_encoder=encoder)
    tuned = weights(tmp_path / "tuned")
    assert all(torch.equal(tuned[name], state[f"encoder.{name}"]) for name in ("mean", "std"))


def test_both_parts_of_the_loss_have_their_weights(head_options, heads):
    more = {"alpha": 0.5, "beta": 2.0, "label_heads": {"findings": len(FINDINGS)}, "data_list": str(heads / LABELLED)}
    criterion = initialised(HEAD, "train", "pretrain", **head_options | CLUSTERING | more).parser.get_parsed_content(
        "criterion"
    )
    assert (criterion.alpha, criterion.beta, criterion.heads) == (0.5, 2.0, ("findings",))


def test_the_options_of_the_paper_s_run_are_those_of_its_table():
    """Table I of Ghesu et al., in METHOD_CLUSTERING 3.8; epochs of 1000 iterations, as the preset ``paper`` in 2-D."""
    lines = (BUNDLES / HEAD / "configs" / "pretrain.yaml").read_text(encoding="utf-8").splitlines()
    told = " ".join(line.lstrip("# ") for line in lines if line.startswith("#"))
    words = shlex.split(re.search(r"(--batch_size .*);", told)[1])
    given = dict(zip(words[::2], words[1::2], strict=True))
    paper = {
        "batch_size": 4, "epochs": 100, "epoch_length": 1000, "learning_rate": 0.6, "final_learning_rate": 0.0006,
        "weight_decay": 1e-6, "warmup": 0, "prototypes": 1500, "embedding": 128, "queue_length": 1920,
        "queue_start": 3000, "freeze_iterations": 4000,
    }  # fmt: skip
    assert {name: float(given[f"--{name}"]) for name in paper} == paper
    assert given["--optimizer_name"] == "larc"
    assert given["--crops"] == "{'count': [1, 4], 'size': [[224, 192], [112, 96]]}"
