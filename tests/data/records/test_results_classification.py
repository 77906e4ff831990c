from __future__ import annotations

import pytest

from monai_cl.data import read_results, write_results
from monai_cl.errors import UserError
from tests.report.examples import classification


def test_a_classification_is_written_and_read_back(tmp_path):
    record = classification({"a": (1, 0.9), "b": (0, 0.2)})
    write_results(tmp_path, record)
    assert read_results(tmp_path) == record


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": None}, "method: expected a name, found null"),
        ({"cohort": 3}, "cohort: expected a name, found 3"),
        ({"sigma": [0.1]}, "sigma: expected a number or null, found a list of 1"),
        ({"backbone": 18}, "backbone: expected a name or null, found 18"),
        ({"metrics": {"patients": "many"}}, r"metrics\.patients: expected a number or null"),
        ({"metrics": {"auc": 84.0}}, r"metrics\.auc: expected a number from 0 to 1, found 84"),
        ({"metrics": {"balanced_accuracy": None}}, r"metrics\.balanced_accuracy: expected a number from 0 to 1"),
        ({"metrics": {"auc_interval": [0.7]}}, r"metrics\.auc_interval: expected two numbers"),
        ({"metrics": {"auc_std": "wide"}}, r"metrics\.auc_std: expected a number or null"),
        ({"metrics": {"folds": None}}, r"metrics\.folds: expected a list of folds"),
        ({"metrics": {"per_patient": [3]}}, r"metrics\.per_patient\[0\]: expected an object {...}, found 3"),
        (
            {"metrics": {"per_patient": [{"patient": "a", "label": 4, "probability": 0.5}]}},
            r"\[0\]\.label: expected 0 or 1",
        ),
        (
            {"metrics": {"per_patient": [{"patient": "a", "label": 1, "probability": 2}]}},
            r"\[0\]\.probability: expected",
        ),
        (
            {"metrics": {"per_patient": [{"label": 1, "probability": 0.5}]}},
            r"per_patient\[0\]\.patient: expected this required key, found nothing",
        ),
    ],
)
def test_a_classification_of_another_form_is_refused(tmp_path, change, message):
    record = classification({"a": (1, 0.9), "b": (0, 0.2)})
    record |= {key: value for key, value in change.items() if key != "metrics"}
    record["metrics"] |= change.get("metrics", {})
    with pytest.raises(UserError, match=message):
        write_results(tmp_path, record)


def test_a_patient_twice_is_refused(tmp_path):
    record = classification({"a": (1, 0.9), "b": (0, 0.2)})
    record["metrics"]["per_patient"] *= 2
    with pytest.raises(UserError, match=r'per_patient\[2\]\.patient: expected every patient id once, found "a"'):
        write_results(tmp_path, record)
