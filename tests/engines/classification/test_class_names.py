"""A class is called what the data list calls it, from training to inference."""

from __future__ import annotations

import json

import pytest

from monai_cl.data import load_data_list, write_results
from monai_cl.data.records.grade import OWN_CLASSES, Grade
from monai_cl.engines import class_names, describe, other_grade, read_list, trained_grade
from monai_cl.errors import UserError
from tests.engines.slice_lists import write_list
from tests.report.examples import classification, pretraining

NAMED = {"0": "no steatosis", "1": "steatosis"}


def trained(folder, *, data_list):
    folder.mkdir(exist_ok=True)
    predictions = {f"p{number}": (number % 2, 0.5) for number in range(4)}
    write_results(folder, classification(predictions, data_list={"name": "d", **data_list}))
    return folder / "model.pt"


def test_a_list_hands_the_names_of_its_targets_to_the_record(tmp_path):
    path = write_list(tmp_path, [0, 1])
    assert describe(load_data_list(path))["classes"] == {}
    path.write_text(json.dumps({**json.loads(path.read_text()), "targets": NAMED}))
    assert describe(load_data_list(path))["classes"] == NAMED


def test_data_sets_that_name_a_target_differently_leave_it_without_a_name(tmp_path):
    parts = []
    for name, targets in (("a", {"0": "none", "1": "mild"}), ("b", {"0": "none", "1": "severe"})):
        write_list(tmp_path / name, [0, 1])
        items = [{"image": f"image_{number}.nii.gz", "target": number} for number in range(2)]
        parts.append({"name": name, "root": name, "targets": targets, "training": items})
    path = tmp_path / "both.json"
    path.write_text(json.dumps({"name": "both", "datasets": parts}))
    assert load_data_list(path).classes == {"0": "none"}


def test_the_names_are_those_of_the_run_that_left_the_weights(tmp_path):
    assert class_names(trained(tmp_path, data_list={"classes": NAMED})) == ["no steatosis", "steatosis"]


@pytest.mark.parametrize("data_list", [{}, {"classes": None}, {"classes": {"2": "other"}}])
def test_classes_without_a_name_are_called_by_their_number(tmp_path, data_list):
    assert class_names(trained(tmp_path, data_list=data_list)) == ["class 0", "class 1"]


def test_with_a_probe_the_encoders_own_classes_are_not_meant(tmp_path):
    encoder = tmp_path / "encoder"
    encoder.mkdir()
    write_results(encoder, pretraining(data_list={"name": "grades", "classes": {"0": "grade 0", "1": "grade 1"}}))
    probe = trained(tmp_path / "probe", data_list={"classes": NAMED}).with_name("probe.npz")
    assert class_names(encoder / "model.pt", probe=probe) == ["no steatosis", "steatosis"]
    assert class_names(encoder / "model.pt") == ["class 0", "class 1"]


FIBROSIS = Grade("fibrosis", 3)


def of_grades(folder, **options):
    path = write_list(folder, [0, 1], p0={"meta": {"fibrosis": 2}}, p1={"meta": {"fibrosis": 4}})
    return read_list(path, **options)


def test_a_list_hands_its_grade_to_the_record_and_one_without_says_nothing(tmp_path):
    entry = describe(of_grades(tmp_path, target_field="fibrosis", positive_from=3))
    assert entry["target"] == {"field": "fibrosis", "positive_from": 3}
    assert entry["classes"] == {"0": "fibrosis < 3", "1": "fibrosis >= 3"}
    assert "target" not in describe(of_grades(tmp_path))


def test_a_classifier_is_scored_for_the_grade_that_it_was_trained_for(tmp_path, caplog):
    weights = trained(tmp_path / "run", data_list={"target": FIBROSIS.record()})
    earlier = trained(tmp_path / "earlier", data_list={})
    assert trained_grade(weights) == FIBROSIS
    assert trained_grade(tmp_path / "encoder.pt", probe=weights.with_name("probe.npz")) == FIBROSIS
    assert trained_grade(earlier) == trained_grade(tmp_path / "nothing.pt") == OWN_CLASSES
    same = of_grades(tmp_path / "data", target_field="fibrosis", positive_from=3)
    other = of_grades(tmp_path / "data", target_field="fibrosis", positive_from=4)
    own = of_grades(tmp_path / "data")
    assert other_grade(same, weights) == other_grade(own, earlier) == other_grade(same, tmp_path / "nothing.pt") == {}
    for data_list, file, found in (
        (other, weights, "by fibrosis >= 3, found by fibrosis >= 4"),
        (own, weights, "by fibrosis >= 3, found by target"),
        (same, earlier, "by target, found by fibrosis >= 3"),
    ):
        with pytest.raises(UserError, match=rf"{found}.*leave --target_field .*--allow_other_target True"):
            other_grade(data_list, file)
    assert other_grade(other, weights, allow="True") == {"trained_target": FIBROSIS.record()}
    assert "is scored for fibrosis >= 4" in caplog.text
    with pytest.raises(UserError, match="allow_other_target"):
        other_grade(same, weights, allow="perhaps")
