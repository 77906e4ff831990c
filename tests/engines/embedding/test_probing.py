"""What vectors know of a column: answers that are known, patients that stay whole, intervals that hold the truth."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from monai_cl.data import EmbeddingTable
from monai_cl.engines import describe_column_probe, find_row, join_table, nearest_rows, probe_column
from monai_cl.engines.embedding import probing
from monai_cl.errors import UserError


def cohort(*, patients: int = 30, rows: int = 3, size: int = 6, signal: float = 4.0, **columns: Any) -> EmbeddingTable:
    """Features 0 to 2 carry the class of the patient, feature 3 a number of the row."""
    rng = np.random.default_rng(0)
    classes = np.arange(patients) % 3
    vectors = rng.normal(size=(patients, rows, size))
    vectors += signal * np.eye(size)[classes][:, None]
    height = rng.uniform(size=(patients, rows))
    vectors[..., 3] = 5 * height
    names = [f"p{number:02d}" for number in range(patients)]
    table = {
        "id": np.repeat(names, rows).tolist(),
        "patient": np.repeat(names, rows).tolist(),
        "image": ["scan.nii.gz"] * patients * rows,
        "stage": np.repeat(np.array(["low", "mid", "high"])[classes], rows).tolist(),
        "late": np.repeat(classes == 2, rows).tolist(),
        "height": height.ravel().tolist(),
    }
    return EmbeddingTable(vectors.reshape(-1, size), {**table, **columns}, source="f.npz")


def test_classes_that_the_vectors_carry_are_found_for_unseen_patients():
    found = probe_column(cohort(), "stage", resamples=200)
    assert (found["kind"], found["unit"], found["patients"], found["rows"]) == ("classes", "patient", 30, 90)
    assert found["classes"] == {"high": 30, "low": 30, "mid": 30}
    for model in found["models"].values():
        assert model["accuracy"] >= 0.8
        low, high = model["accuracy_interval"]
        assert low <= model["accuracy"] <= high
        assert "auc" not in model
    json.dumps(found)


def test_of_two_classes_there_is_an_auc():
    found = probe_column(cohort(), "late", resamples=200)
    assert found["classes"] == {"False": 60, "True": 30}
    assert found["models"]["linear"]["auc"] > 0.95
    text = describe_column_probe(found)
    assert "20 nearest neighbours: AUC " in text
    assert "one prediction for each patient" in text


def test_vectors_that_know_nothing_are_at_chance_and_the_interval_says_so():
    noise = cohort(signal=0.0, patients=90)
    found = probe_column(noise, "stage", resamples=500)
    for model in found["models"].values():
        low, high = model["balanced_accuracy_interval"]
        assert low < 1 / 3 < high


def test_a_number_of_a_row_is_a_regression():
    found = probe_column(cohort(rows=6), "height", resamples=100)
    assert (found["kind"], found["unit"], found["classes"]) == ("numbers", "row", None)
    linear = found["models"]["linear"]
    assert linear["r2"] > 0.95
    assert linear["mean_error"] < 0.1
    assert linear["r2_interval"][0] < linear["r2"] < linear["r2_interval"][1] <= 1


def test_a_patient_is_never_on_both_sides(monkeypatch):
    # every patient has a place of their own: with a row of them in the training the answer would be copied
    rng = np.random.default_rng(1)
    base = cohort(rows=4, signal=0.0)
    places = np.repeat(rng.normal(size=(30, 6)), 4, axis=0) * 50
    table = EmbeddingTable(places + base.vectors, base.columns)
    monkeypatch.setattr(probing, "_NEIGHBOURS", 1)
    found = probe_column(table, "stage", resamples=50)
    assert found["models"]["neighbours"]["accuracy"] < 0.7


def test_rows_without_a_value_are_left_out_and_their_order_changes_nothing():
    values = cohort().columns["stage"][:60] + [None] * 30
    table = cohort(stage=values)
    found = probe_column(table, "stage", resamples=50)
    assert (found["unknown"], found["patients"]) == (30, 20)
    order = np.random.default_rng(0).permutation(len(table))
    shuffled = EmbeddingTable(table.vectors[order], {n: [v[i] for i in order] for n, v in table.columns.items()})
    again = probe_column(shuffled, "stage", resamples=50)
    for model in ("neighbours", "linear"):
        assert again["models"][model]["accuracy"] == pytest.approx(found["models"][model]["accuracy"])


def test_what_cannot_be_predicted_is_refused():
    with pytest.raises(UserError, match="expected a column 'grade', found id, patient"):
        probe_column(cohort(), "grade")
    with pytest.raises(UserError, match=r"image of f\.npz: expected two values or more, found scan\.nii\.gz"):
        probe_column(cohort(), "image")
    with pytest.raises(UserError, match="expected at least 5 patients, one for each fold, found 1"):
        probe_column(cohort(patients=10, stage=["a"] * 3 + ["b"] * 27), "stage")


@pytest.mark.parametrize(
    ("column", "what"),
    [("kind", r"two values .*, found a alone, without p01, p02"), ("height", r"two patients .*, found p00 alone")],
)
def test_a_training_part_of_one_class_or_patient_is_refused_and_the_remedy_works(column, what):
    table = cohort(patients=3, rows=4, kind=["a"] * 4 + ["b"] * 4 + ["a", "b"] * 2)
    with pytest.raises(UserError, match=what) as refused:
        probe_column(table, column, fold_count=2)
    assert str(refused.value).endswith("pass --fold_count 3")
    assert probe_column(table, column, fold_count=3, resamples=20)["folds"] == 3


def test_the_nearest_rows_are_those_of_other_scans_by_their_angle():
    vectors = np.array([[1.0, 0], [0.99, 0.1], [300, 30], [0, 2], [-1, 0]])
    ids = ["a", "a", "b", "c", "d"]
    table = EmbeddingTable(vectors, {"id": ids, "patient": ids, "slice": [4, 5, 0, 0, 0]}, source="f.npz")
    found = nearest_rows(table, 0, count=2)
    assert [row for row, _ in found] == [2, 3]
    assert found[0][1] == pytest.approx(300 / np.hypot(300, 30))
    assert find_row(table, "a:4") == 0
    assert find_row(table, "a") == 1
    with pytest.raises(UserError, match=r"--nearest a:7: expected a row of a: 4 to 5, found 7"):
        find_row(table, "a:7")
    with pytest.raises(UserError, match=r"--nearest z: expected a scan of f.npz, found no such id; they are a, b"):
        find_row(table, "z")


def test_a_table_of_the_user_is_joined_by_patient_or_scan(tmp_path):
    table = cohort(patients=3, rows=2)
    by_patient = tmp_path / "p.csv"
    by_patient.write_text("patient,age,sex,fibrosis\np00,61,m,1.5\np01,NA,f,\np09,5,m,2\n", encoding="utf-8")
    joined = join_table(table, by_patient)
    assert joined.columns["age"] == [61, 61, None, None, None, None]
    assert joined.columns["sex"] == ["m", "m", "f", "f", None, None]
    assert joined.columns["fibrosis"] == [1.5, 1.5, None, None, None, None]
    for text, message in (
        ("name,age\np00,3\n", "expected a column id .of the scan. or patient, found name, age"),
        ("id,age\np00,3\np00,4\n", "line 3: expected one row of id p00"),
        ("id,age\nx,3\n", "expected rows of the ids of the table of embeddings, such as p00, found others, such as x"),
    ):
        by_patient.write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match=message):
            join_table(table, by_patient)
