"""Scores of scans: of the class and findings over patients, of slices with what their number alone predicts."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from monai_cl.engines import ScanScores, slice_scores, type_scores


def scan(patient: str, findings: tuple, slices: tuple) -> dict:
    return {"patient": patient, "findings": findings, "slice_findings": slices}


def test_a_patient_shows_a_finding_where_any_of_their_scans_does():
    scans = [
        scan("a", ([0, -1], [0.1, 0.9]), ([], [])),
        scan("a", ([1, -1], [0.7, 0.2]), ([], [])),
        scan("b", ([0, 1], [0.6, 0.4]), ([], [])),
        scan("c", ([0, 0], [0.2, 0.5]), ([], [])),
    ]
    found = type_scores(scans, ["x", "y"])
    assert (found["x"]["auc"], found["x"]["patients"], found["x"]["positive"]) == (1.0, 3, 1)
    assert (found["y"]["auc"], found["y"]["patients"], found["y"]["positive"]) == (0.0, 2, 1)
    assert found["x"]["interval"] is None
    assert "too few for an interval" in found["x"]["interval_note"]
    assert type_scores(scans[:1], ["x"])["x"]["auc"] is None


def test_slices_are_scored_where_they_are_known():
    scans = [
        scan("a", ([], []), ([0, 1, -1, 1], [0.1, 0.9, 0.0, 0.7])),
        scan("b", ([], []), ([0, 0, 1, -1], [0.8, 0.2, 0.5, 1.0])),
    ]
    found = slice_scores(scans)
    # pairs of (1, 0): .9 and .7 and .5 against .1, .8, .2
    assert found["auc"] == pytest.approx((3 + 2 + 2) / 9)
    assert found["accuracy"] == pytest.approx(4 / 6)  # .8 of a 0 and .5 of a 1 are wrong at .6
    assert (found["slices"], found["positive"], found["patients"]) == (6, 3, 2)
    low, high = found["auc_interval"]
    assert low <= found["auc"] <= high
    assert "auc_interval" not in slice_scores(scans, intervals=False)
    assert slice_scores([scan("a", ([], []), ([0, -1], [0.5, 0.5]))]) is None


def test_scores_of_slices_are_those_of_scikit_learn():
    rng = np.random.default_rng(1)
    labels = rng.integers(-1, 2, (20, 9))
    values = np.round(rng.random((20, 9)), 1)  # with ties
    scans = [scan(str(i), ([], []), (labels[i].tolist(), values[i].tolist())) for i in range(20)]
    found, known = slice_scores(scans), labels >= 0
    assert found["auc"] == pytest.approx(roc_auc_score(labels[known], values[known]))
    assert found["ap"] == pytest.approx(average_precision_score(labels[known], values[known]))
    # a bootstrap over patients by hand
    rng, drawn = np.random.default_rng(5), []
    for _ in range(400):
        rows = rng.integers(20, size=20)
        own = known[rows]
        drawn.append(roc_auc_score(labels[rows][own], values[rows][own]))
    assert found["auc_interval"] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.03)


def test_the_number_of_a_slice_predicts_what_other_patients_show_there():
    middle = [0, 0, 1, 1, 0, 0]
    scans = [scan(str(i), ([], []), (middle, [0.5] * 6)) for i in range(4)]
    assert slice_scores(scans, intervals=False)["auc_of_position"] == 1
    rng = np.random.default_rng(0)
    scattered = [scan(str(i), ([], []), (rng.integers(0, 2, 6).tolist(), [0.5] * 6)) for i in range(200)]
    assert slice_scores(scattered, intervals=False)["auc_of_position"] == pytest.approx(0.5, abs=0.06)


def test_the_metric_of_an_evaluator_collects_scans_and_means_of_patients():
    scores = ScanScores(finding_names=["x"])
    logit = {"a": 3.0, "b": -1.0, "c": -2.0}
    for number, (patient, label) in enumerate([("a", 1), ("b", 0), ("c", 1), ("c", 1)]):
        batch = {"number": torch.tensor([number]), "patient": [patient], "label": torch.tensor([label])}
        batch |= {"findings": torch.tensor([[label]]), "slice_findings": torch.tensor([[0, label]])}
        pred = {name: torch.full((1, n), logit[patient]) for name, n in (("target", 1), ("findings", 1))}
        pred |= {"representation": torch.zeros(1, 4), "slice_findings": torch.tensor([[-3.0, logit[patient]]])}
        scores.iteration_completed(SimpleNamespace(state=SimpleNamespace(batch=batch, output={"pred": pred})))
    assert scores.compute() == 0.5
    assert [row["patient"] for row in scores.predictions] == ["a", "b", "c"]
    assert scores.predictions[0]["probability"] == pytest.approx(torch.sigmoid(torch.tensor(3.0)).item())
    more = scores.more_metrics(intervals=False)
    assert more["types"]["x"]["auc"] == 0.5
    assert more["slices"]["slices"] == 8
