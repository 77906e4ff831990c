from __future__ import annotations

import numpy as np
import pytest

from monai_cl.report import classification_tables, find_runs, patient_table, pca_figure, write_report
from monai_cl.report.classification import MOST_PATIENTS
from tests.report.examples import classification, pretraining, put, segmentation
from tests.report.test_html import EVIL, Page, section_ids
from tests.report.test_method_tables import runs

PREDICTIONS = {f"patient{i}": (i % 2, 0.3 + 0.4 * (i % 2) + i / 100) for i in range(12)}


def study(folder, **more):
    for number, method in enumerate(("wsp", "simclr")):
        record = classification(PREDICTIONS, method=method, seed=number, overlays=["pca.png"], **more)
        run = put(folder / method, record)
        picture = pca_figure(np.random.default_rng(0).normal(size=(10, 3)), np.arange(10) % 2, None)
        (run / "pca.png").write_bytes(picture)
    return folder


def page(folder, **options):
    text = write_report(folder / "report.html", folder, **options).read_text("utf-8")
    return text, Page(text)


def test_the_page_tells_result_tables_curves_patients_and_pictures(tmp_path):
    text, found = page(study(tmp_path))
    assert section_ids(found) == ["result", "classification", "patients", "representations", "what-ran"]
    assert (
        "D1, WSP, TinyNet: AUC 0.800 ± 0.050 (all patients 0.790, 95 % interval 0.700 to 0.880), "
        "balanced accuracy 0.750 ± 0.040." in found.text
    )
    for caption in ("AUC by method, TinyNet", "Balanced accuracy by method", "R² of depth by method"):
        assert caption in found.text
    images = found.all("img")
    assert [attributes["aria-label"] for attributes in found.all("svg") if "role" in attributes] == [
        "ROC, D1 against 1 − specificity: SimCLR, TinyNet: AUC 1.000, WSP, TinyNet: AUC 1.000"
    ]
    assert sum(attributes["src"].startswith("data:image/webp") for attributes in images) == 2
    assert all(attributes["alt"] for attributes in images)
    assert "Every patient of D1" in found.text
    assert "patient3" in found.text
    assert '<th scope="col">AUC</th>' in text


@pytest.mark.parametrize(
    ("patients", "interval", "reason"),
    [
        (6, [0.0, 0.0], "3 and 3 patients of the two classes: too few for an interval (6 of each needed)"),
        (11, [0.4, 0.9], "6 and 5 patients of the two classes: too few"),
        (12, [1.0, 1.0], "the AUC is the same in every resample"),
    ],
)
def test_an_interval_that_would_mislead_is_replaced_by_the_reason(tmp_path, patients, interval, reason):
    predictions = dict(list(PREDICTIONS.items())[:patients])
    put(tmp_path / "a", classification(predictions, metrics={"auc_interval": interval}))
    _, found = page(tmp_path)
    assert f"all patients 0.790; no interval: {reason}" in found.text
    assert "95 %" not in found.text


def test_classes_have_the_names_of_the_data_list(tmp_path):
    named = {"name": "D1", "classes": {"0": "no steatosis", "1": "steatosis"}}
    put(tmp_path / "a", classification(PREDICTIONS, data_list=named))
    _, found = page(tmp_path)
    assert "Probability of steatosis by patient, D1" in found.text
    assert "D1: 12 patients, 6 of steatosis." in found.text
    table = patient_table(runs(classification(PREDICTIONS, data_list=named)), "D1")
    assert [row[1] for row in table.rows[:2]] == ["no steatosis", "steatosis"]


def test_other_runs_stay_as_they_are_beside_it(tmp_path):
    put(tmp_path / "segmentation", segmentation({"a": {"spleen": 0.5}}))
    put(tmp_path / "pretraining", pretraining())
    text, _ = page(tmp_path)
    assert ">AUC<" not in text
    _, found = page(study(tmp_path))
    assert {"dice", "classification", "pre-training"} <= set(section_ids(found))


def test_hidden_ids_appear_nowhere(tmp_path):
    text, found = page(study(tmp_path), hash_patients=True)
    assert "patient3" not in text
    assert found.text.count("case ") >= 12
    markdown = write_report(tmp_path / "x.md", tmp_path, hash_patients=True).read_text("utf-8")
    assert "patient3" not in markdown
    assert "case " in markdown


def test_everything_shown_is_escaped(tmp_path):
    record = classification(
        {EVIL: (1, 0.5), "b": (0, 0.4)}, method=EVIL, cohort=EVIL, backbone=EVIL, overlays=["pca.png"]
    )
    put(tmp_path / "a", record)
    text, found = page(tmp_path)
    assert "<script" not in text
    assert "its picture is missing" in found.text
    assert "<script" not in write_report(tmp_path / "x.md", tmp_path).read_text("utf-8")


def test_a_patients_probability_is_the_mean_over_seeds():
    two = [classification({"b": (1, p), "a": (0, 0.2)}, seed=seed) for seed, p in enumerate((0.5, 0.8))]
    other = classification({"b": (1, 0.4)}, method="random")
    table = patient_table(runs(*two, other), "D1")
    assert table.header == ("patient", "class", "random, TinyNet", "WSP, TinyNet")
    assert table.rows == (("a", "0", "–", "0.200"), ("b", "1", "0.400", "0.650"))
    with pytest.raises(ValueError, match="cohort must be one of D1, got 'D7'"):
        patient_table(runs(other), "D7")


def test_many_patients_are_cut_off_and_counted():
    many = {f"p{i:04d}": (i % 2, 0.5) for i in range(MOST_PATIENTS + 7)}
    table = patient_table(runs(classification(many)), "D1")
    assert len(table.rows) == MOST_PATIENTS
    assert table.notes == ("7 more patients are in patients.csv of each run.",)


def test_a_run_of_one_class_or_without_patients_makes_a_page(tmp_path):
    put(tmp_path / "a", classification({}))
    put(tmp_path / "b", classification({"x": (1, 0.5)}, cohort="D2"))
    text, _ = page(tmp_path)
    assert 'class="chart"' not in text


def test_findings_slices_and_robustness_of_scans_are_tables_and_a_number_of_slices_is_none(tmp_path):
    finding = {"auc": 0.7, "interval": [0.6, 0.8], "patients": 12, "positive": 5}
    moved = {"median": 0.1, "q1": 0.05, "q3": 0.2, "auc": 0.65, "delta_logit": 0.3, "images": 4, "variants": 2}
    slices = {"auc": 0.85, "auc_interval": [0.8, 0.9], "auc_of_position": 0.74, "slices": 240, "positive": 60}
    scan = {"types": {"epidural": finding, "rare": {**finding, "auc": None, "interval": None}}, "slices": slices}
    put(tmp_path / "scans", classification(PREDICTIONS, metrics={**scan, "robustness": {"gamma": moved}}))
    put(tmp_path / "probe", classification(PREDICTIONS, method="simclr", metrics={"slices": 36}))
    tables = {table.caption: table.rows for table in classification_tables(find_runs(tmp_path))}
    name = "wsp, D1"
    assert tables["Findings and slices"] == (
        (name, "epidural", "5 of 12 patients", "0.700", "0.600 to 0.800"),
        (name, "rare", "5 of 12 patients", "–", "–"),
        (name, "slices", "60 of 240 slices", "0.850", "0.800 to 0.900"),
        (name, "slices, by their place alone", "60 of 240 slices", "0.740", "–"),
    )
    (robustness,) = (rows for caption, rows in tables.items() if caption.startswith("Robustness"))
    assert robustness == ((name, "gamma", "4 x 2", "0.100", "0.050 to 0.200", "0.650", "0.300"),)
    assert "Findings and slices" in page(tmp_path)[0]
