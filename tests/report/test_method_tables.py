from __future__ import annotations

from pathlib import Path

import pytest

from monai_cl.report import Run, method_table, render_markdown, sigma_tables
from tests.report.examples import classification, pretraining

PREDICTIONS = {"a": (1, 0.9), "b": (0, 0.2), "c": (0, 0.4)}


def runs(*records: dict) -> list[Run]:
    return [Run(path=Path(f"runs/{number}/results.json"), results=record) for number, record in enumerate(records)]


def probe(method: str = "wsp", **more):
    return classification(PREDICTIONS, method=method, **more)


def test_rows_are_methods_in_the_papers_order_and_columns_cohorts():
    found = runs(
        pretraining(),
        probe("wsp", auc=0.84),
        probe("my_method", auc=0.5),
        probe("random", auc=0.64),
        probe("wsp", cohort="D2", auc=0.91),
    )
    table = method_table(found)
    assert table.caption == "AUC by method, TinyNet"
    assert table.header == ("method", "D1", "D2")
    assert table.rows == (
        ("random", "0.640 ± 0.050", "–"),
        ("WSP", "0.840 ± 0.050", "0.910 ± 0.050"),
        ("my_method", "0.500 ± 0.050", "–"),
    )
    assert table.notes[:2] == ("D1: 3 patients, 1 of class 1.", "D2: 3 patients, 1 of class 1.")
    assert "± is the standard deviation over folds." in table.notes


def test_seeds_are_pooled_into_their_mean_by_hand():
    found = runs(*(probe(seed=seed, auc=auc) for seed, auc in enumerate((0.7, 0.8, 0.9))), probe("random", auc=0.6))
    table = method_table(found)
    assert table.rows == (("random", "0.600 ± 0.050"), ("WSP", "0.800 ± 0.100"))
    assert "± is the standard deviation between seeds; over folds where there is one run." in table.notes
    assert "The methods have between 1 and 3 runs on a cohort." in table.notes


def test_runs_of_one_method_that_differ_in_their_settings_are_not_taken_for_seeds():
    found = runs(
        *(probe(seed=seed, auc=auc, config={"image_size": 512}) for seed, auc in enumerate((0.7, 0.8))),
        probe(auc=0.3, config={"image_size": 64}),
    )
    rows = method_table(found).rows
    assert rows == (("WSP (image_size 512)", "0.750 ± 0.071"), ("WSP (image_size 64)", "0.300 ± 0.050"))
    top = next(line for line in render_markdown(found).splitlines() if line.startswith("> "))
    assert "Runs on D1 differ in more than their method: image\\_size 512, 64." in top
    hidden = render_markdown(found, hash_patients="key")
    assert "image\\_size 64" in hidden


def test_settings_that_belong_to_a_cohort_leave_a_method_in_one_row():
    found = runs(probe(config={"organ": "liver"}), probe(cohort="D2", config={"organ": "spleen"}))
    assert len(method_table(found).rows) == 1
    assert "differ in more" not in render_markdown(found)


def test_backbones_are_distinguished_where_there_are_several():
    table = method_table(runs(probe(), probe(backbone="resnet18"), probe(backbone=None)))
    assert table.header == ("backbone", "method", "D1")
    assert [row[:2] for row in table.rows] == [("ResNet-18", "WSP"), ("TinyNet", "WSP"), ("–", "WSP")]
    assert table.markdown().count("| ---") == 3


def test_a_sweep_is_not_taken_for_seeds():
    found = runs(
        probe(sigma=0.1, temperature=0.1), probe(sigma=0.02, temperature=0.1), probe("simclr", temperature=0.1)
    )
    assert [row[0] for row in method_table(found).rows] == ["SimCLR", "WSP (σ = 0.02)", "WSP (σ = 0.1)"]
    found += runs(probe(sigma=0.1, temperature=0.5))
    assert [row[0] for row in method_table(found).rows][-1] == "WSP (σ = 0.1, τ = 0.5)"


def test_other_measures_and_missing_ones():
    found = runs(probe(), probe("random", metrics={"depth_r2": None}), probe("supcon", metrics={"depth_r2": -0.25}))
    assert method_table(found, measure="depth_r2").rows == (
        ("random", "–"),
        ("SupCon", "−0.250 ± 0.100"),
        ("WSP", "0.500 ± 0.100"),
    )
    table = method_table(found, measure="balanced_accuracy")
    assert table.rows[0] == ("random", "0.750 ± 0.040")
    assert any("probability of 0.5" in note for note in table.notes)


def test_other_folds_are_pointed_out():
    table = method_table(runs(probe(), probe("random", folds_sha256="g")))
    assert "D1: the runs were not evaluated on the same patients and folds; do not compare them." in table.notes
    assert not any("do not compare" in note for note in method_table(runs(probe(), probe("random"))).notes)


def test_the_sigma_study_has_a_row_a_sigma():
    found = runs(
        *(probe(sigma=sigma, auc=auc, cohort=cohort) for sigma, auc, cohort in
          ((0.5, 0.73, "D1"), (0.01, 0.81, "D1"), (0.1, 0.85, "D1"), (0.1, 0.91, "D2"))),
        probe("depth_aware", sigma=0.1), probe("simclr"),
    )  # fmt: skip
    (table,) = sigma_tables(found)
    assert table.caption == "AUC by σ, WSP, TinyNet"
    assert table.header == ("σ", "D1", "D2")
    assert table.rows == (
        ("0.01", "0.810 ± 0.050", "–"),
        ("0.1", "0.850 ± 0.050", "0.910 ± 0.050"),
        ("0.5", "0.730 ± 0.050", "–"),
    )
    assert "<table>" in table.html()
    assert sigma_tables(runs(probe(sigma=0.1))) == []


def test_what_is_not_there_is_refused():
    with pytest.raises(ValueError, match="measure must be one of auc, balanced_accuracy, depth_r2, got 'f1'"):
        method_table(runs(probe()), measure="f1")
    with pytest.raises(ValueError, match="measure must be one of"):
        sigma_tables([], measure="f1")
    with pytest.raises(ValueError, match="runs must hold a classification run"):
        method_table(runs(pretraining()))
