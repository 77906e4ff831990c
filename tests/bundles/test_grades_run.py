"""A classifier for any grade: the same patients are positive in probe, fine-tuning, evaluation and inference."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from monai_cl.data import load_data_list, read_results
from monai_cl.networks import read_about
from tests.bundles.slice_runs import CLASSIFICATION, LISTS
from tests.bundles.workflow import assert_equal, refusal, weights

# Ignite warns of MONAI's way to attach a scheduler
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]
STAGE = {"target_field": "stage", "positive_from": 2}
RECORD = {"field": "stage", "positive_from": 2}


@pytest.fixture(scope="module")
def positive(slice_cohort) -> set[str]:
    """The patients of stage 2 to 4; those of the list's own class 1 are of stage 3 and 4."""
    items = load_data_list(slice_cohort / LISTS[CLASSIFICATION], data_root=slice_cohort).items()
    found = {item["patient"] for item in items if item["meta"]["stage"] >= 2}
    assert found > {item["patient"] for item in items if item["target"] == 1}
    return found


@pytest.fixture(scope="module")
def graded(slice_run, wsp, tmp_path_factory) -> Path:
    """A probe of stage 2 and above. Look, do not touch."""
    folder = tmp_path_factory.mktemp("graded") / "run"
    slice_run(CLASSIFICATION, "train", output_dir=str(folder), encoder=str(wsp / "model.pt"), **STAGE)
    return folder


def positives(folder: Path) -> set[str]:
    """By ``results.json``, which ``patients.csv`` must repeat."""
    rows = read_results(folder)["metrics"]["per_patient"]
    with (folder / "patients.csv").open(encoding="utf-8") as file:
        assert {row["patient"]: row["class"] == "stage >= 2" for row in csv.DictReader(file)} == {
            row["patient"]: row["label"] == 1 for row in rows
        }
    return {row["patient"] for row in rows if row["label"] == 1}


def test_a_grade_from_a_value_on_gives_what_the_lists_own_classes_give(slice_run, wsp, probe, tmp_path):
    options = {"encoder": str(wsp / "model.pt"), "target_field": "stage", "positive_from": 3}
    slice_run(CLASSIFICATION, "train", output_dir=str(tmp_path), **options)
    found, expected = read_results(tmp_path), read_results(probe)
    assert found["metrics"] == expected["metrics"]
    assert found["data_list"]["classes"] == {"0": "stage < 3", "1": "stage >= 3"}
    assert (found["cohort"], expected["cohort"]) == (
        f"{expected['cohort']}, stage >= 3",
        "synthetic_cirrhosis_histology",
    )
    assert "target" not in expected["data_list"]
    assert_equal(weights(tmp_path), weights(probe))


def test_the_probe_says_what_it_was_fitted_for(graded, positive):
    assert positives(graded) == positive
    results = read_results(graded)
    assert results["data_list"]["target"] == RECORD
    assert results["cohort"] == "synthetic_cirrhosis_histology, stage >= 2"
    (listed,) = read_about(graded / "model.pt")["training"]["data_lists"]
    assert listed["target"] == RECORD


def test_a_fine_tuning_learns_and_validates_the_grade(slice_run, positive, tmp_path):
    slice_run(CLASSIFICATION, "train", run_id="finetune", output_dir=str(tmp_path), iterations=1, **STAGE)
    results = read_results(tmp_path)
    assert positives(tmp_path) == positive & {row["patient"] for row in results["metrics"]["per_patient"]}
    trained = set(results["data_list"]["training_cases"])
    assert results["data_list"]["patients_of_class"]["1"] == len(positive & trained)
    (listed,) = read_about(tmp_path / "model.pt")["training"]["data_lists"]
    assert listed["target"] == RECORD
    kept = (tmp_path / "results.json").read_bytes()
    with pytest.raises(RuntimeError) as refused:
        slice_run(CLASSIFICATION, "train", run_id="finetune", output_dir=str(tmp_path), iterations=1)
    assert "expected the target that the run was started with, stage >= 2, found target" in refusal(refused)
    assert (tmp_path / "results.json").read_bytes() == kept


def test_an_evaluation_takes_the_models_grade_and_another_only_if_told(slice_run, graded, positive, tmp_path):
    options = {"checkpoint": str(graded / "model.pt"), "output_dir": str(tmp_path), "allow_overlap": True}
    slice_run(CLASSIFICATION, "train", "evaluate", **options)
    assert positives(tmp_path / "evaluation") == positive
    assert "trained_target" not in read_results(tmp_path / "evaluation")["data_list"]
    with pytest.raises(RuntimeError) as refused:
        slice_run(CLASSIFICATION, "train", "evaluate", **options, positive_from=3)
    assert "expected patients divided as in its training, by stage >= 2, found by stage >= 3" in refusal(refused)
    slice_run(CLASSIFICATION, "train", "evaluate", **options, positive_from=3, allow_other_target=True)
    found = read_results(tmp_path / "evaluation")["data_list"]
    assert found["target"] == {"field": "stage", "positive_from": 3}
    assert found["trained_target"] == RECORD


def test_a_new_scan_gets_a_probability_of_the_grade(slice_run, graded, scans, tmp_path, capsys):
    checkpoint = str(graded / "model.pt")
    slice_run(
        CLASSIFICATION, "inference", datalist=scans[:1], checkpoint=checkpoint, output_dir=str(tmp_path), grad_cam=0
    )
    scan = json.loads((tmp_path / "histology_0000.json").read_text(encoding="utf-8"))
    assert scan["class"] == "stage >= 2"
    assert scan["call"] == ("stage >= 2" if scan["probability"] >= 0.5 else "stage < 2")
    assert "probability of stage >= 2" in capsys.readouterr().out


def test_a_field_that_the_list_lacks_is_refused_before_anything_is_prepared(slice_run, tmp_path):
    options = {"output_dir": str(tmp_path / "run"), "store_dir": str(tmp_path / "store")}
    with pytest.raises(RuntimeError) as refused:
        slice_run(CLASSIFICATION, "train", **options, target_field="stages", positive_from=2)
    assert "did you mean --target_field stage?" in refusal(refused)
    assert not (tmp_path / "store").exists()


def test_a_head_ct_is_positive_from_a_volume_on(head_run, heads, tmp_path):
    grade = {"target_field": "millilitres", "positive_from": 16}
    head_run("train", output_dir=str(tmp_path), **grade)
    head_run("train", "evaluate", output_dir=str(tmp_path), checkpoint=str(tmp_path / "model.pt"))
    items = load_data_list(heads / "head_ct.json", data_root=heads)
    for split, folder in (("validation", tmp_path), ("test", tmp_path / "evaluation")):
        volumes = {item["patient"]: item["meta"]["millilitres"] for item in items.items(split)}
        rows = read_results(folder)["metrics"]["per_patient"]
        assert {row["patient"]: row["label"] for row in rows} == {name: int(v >= 16) for name, v in volumes.items()}
    with pytest.raises(RuntimeError) as refused:
        head_run("train", "evaluate", output_dir=str(tmp_path), target_field="target")
    assert "by millilitres >= 16" in refusal(refused)
