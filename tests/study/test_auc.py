"""The AUC of a study's column, by value."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from monai_cl.errors import UserError
from monai_cl.report import auc_difference
from monai_cl.study import summarise
from monai_cl.study.auc import auc_gain, auc_mean
from monai_cl.study.definition import Measure
from monai_cl.study.measures import read_predictions
from tests.study.studies import opened

LABELS = np.arange(40) % 2


def predictions(signal: float, seeds: int = 2) -> dict[int, dict[str, tuple[int, float]]]:
    """Seed -> patient -> label and a probability that rises with ``signal``."""
    noise = np.random.default_rng(0).normal(size=(seeds, len(LABELS)))
    scores = 1 / (1 + np.exp(-noise - signal * LABELS))
    return {
        seed: {f"p{i}": (int(label), float(score)) for i, (label, score) in enumerate(zip(LABELS, row, strict=True))}
        for seed, row in enumerate(scores)
    }


def scores(table: dict) -> np.ndarray:
    return np.array([[score for _, score in patients.values()] for patients in table.values()])


def test_the_mean_is_over_seeds_of_the_auc_over_patients():
    table = predictions(1.0, seeds=3)
    aucs = [roc_auc_score(LABELS, row) for row in scores(table)]
    found = auc_mean(table)
    assert (found.mean, found.deviation) == (pytest.approx(np.mean(aucs)), pytest.approx(np.std(aucs, ddof=1)))
    assert (found.seeds, found.cases) == (3, 40)
    assert auc_mean({0: {"a": (1, 0.3)}}).mean is None  # one class


def test_the_gain_is_that_of_the_same_seeds_and_patients():
    control, arm = predictions(0.0), predictions(2.0)
    found = auc_gain(arm, control)
    expected = auc_difference(LABELS, scores(control), scores(arm))
    assert found.mean == pytest.approx(expected.mean)
    assert found.interval == pytest.approx(expected.interval, abs=0.05)  # patients in another order
    assert found.interval[0] > 0
    assert (found.wins, found.losses, found.pairs) == (2, 0, 2)
    del arm[1], arm[0]["p7"]
    kept = np.delete(np.arange(40), 7)
    alone = auc_gain(arm, control)
    assert alone.mean == pytest.approx(
        roc_auc_score(LABELS[kept], scores(arm)[0]) - roc_auc_score(LABELS[kept], scores(control)[0][kept])
    )
    assert alone.pairs == 1
    assert auc_gain({5: arm[0]}, control).mean is None


def test_a_patient_of_several_settings_is_drawn_as_one(tmp_path):
    """The same predictions in two settings say no more than once: the interval is that of one."""
    study, expansion, folder = opened(
        tmp_path,
        arms={"scratch": {}, "hybrid": {"last": {"start": "x"}}},
        settings={"one": {"last": {"setting": 1}}, "two": {"last": {"setting": 2}}},
        folds=[0],
        measure={"step": "last", "metric": "auc"},
        table={"controls": ["scratch"], "columns": {"one": None, "both": {"settings": ["one", "two"]}}},
    )
    tables = {"scratch": predictions(0.0), "hybrid": predictions(1.0)}
    for point, identity in expansion.points.items():
        place = folder.of(expansion.cells[identity])
        place.output.mkdir(parents=True)
        patients = tables[point.arm][point.seed - 3].items()
        rows = [{"patient": name, "label": label, "probability": score} for name, (label, score) in patients]
        (place.output / "results.json").write_text(json.dumps({"metrics": {"per_patient": rows}, "git_commit": "a"}))
        place.finish(seconds=1)
    found = summarise(study, expansion, folder).differences
    one, both = (found["scratch", "hybrid", column] for column in ("one", "both"))
    assert both.mean == pytest.approx(one.mean)
    assert both.interval == pytest.approx(one.interval, abs=0.01)


def test_a_patient_with_two_labels_is_refused():
    control, arm = predictions(0.0), predictions(1.0)
    label, score = arm[0]["p3"]
    arm[0]["p3"] = (1 - label, score)
    with pytest.raises(ValueError, match="same label"):
        auc_gain(arm, control)


def test_arms_that_learn_other_classes_of_the_patients_have_their_means_and_no_difference(tmp_path):
    """As a sweep over positive_from."""
    study, expansion, folder = opened(
        tmp_path,
        arms={"from 1": {}, "from 2": {"last": {"start": "x"}}, "again": {"last": {"start": "y"}}},
        folds=[0],
        measure={"step": "last", "metric": "auc"},
        table={"controls": ["from 1"]},
    )
    for point, identity in expansion.points.items():
        patients = predictions(1.0)[point.seed - 3].items()
        other = point.arm == "from 2"
        rows = [{"patient": n, "label": 1 - y if other else y, "probability": p} for n, (y, p) in patients]
        place = folder.of(expansion.cells[identity])
        place.output.mkdir(parents=True)
        (place.output / "results.json").write_text(json.dumps({"metrics": {"per_patient": rows}}))
        place.finish(seconds=1)
    found = summarise(study, expansion, folder)
    assert found.means["from 2", "all"].mean == pytest.approx(1 - found.means["from 1", "all"].mean)
    assert found.differences["from 1", "from 2", "all"].mean is None
    assert found.differences["from 1", "again", "all"].mean == 0
    assert "No difference of from 2 to from 1 in all: the same patient must have the same label" in found.markdown()


def test_the_table_pools_the_patients_of_the_folds(tmp_path):
    study, expansion, folder = opened(
        tmp_path,
        arms={"scratch": {}, "hybrid": {"last": {"start": "x"}}},
        measure={"step": "last", "metric": "auc", "decimals": 3},
        table={"controls": ["scratch"]},
    )
    tables = {"scratch": predictions(0.0), "hybrid": predictions(2.0)}
    for point, identity in expansion.points.items():
        place = folder.of(expansion.cells[identity])
        place.output.mkdir(parents=True)
        patients = list(tables[point.arm][point.seed - 3].items())[point.fold :: 2]  # fold 0 has one class alone
        rows = [{"patient": name, "label": label, "probability": score} for name, (label, score) in patients]
        (place.output / "results.json").write_text(json.dumps({"metrics": {"per_patient": rows}, "git_commit": "a"}))
        place.finish(seconds=1)
    found = summarise(study, expansion, folder)
    for arm, table in tables.items():
        mean = np.mean([roc_auc_score(LABELS, row) for row in scores(table)])
        assert found.means[arm, "all"].mean == pytest.approx(mean)
    text = found.markdown()
    assert "(2 : 0)" in text
    assert "Pairs of the same seed; 95 % bootstrap over seeds and patients" in text


def test_results_without_patients_are_refused(tmp_path):
    (tmp_path / "results.json").write_text(json.dumps({"metrics": {"auc": 0.5}}))
    with pytest.raises(UserError, match=r"expected probabilities of patients \(metrics: per_patient\), found none"):
        read_predictions(tmp_path, Measure("x", metric="auc"))
