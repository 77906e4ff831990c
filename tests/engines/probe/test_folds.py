from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_cl.engines import PatientFolds, grouped_folds, read_folds, stratified_folds, write_folds
from monai_cl.errors import UserError

LABELS = {f"p{number}": int(number < 8) for number in range(30)}


@settings(max_examples=40, deadline=None)
@given(
    positive=st.integers(2, 30), negative=st.integers(2, 30), count=st.integers(2, 5), seed=st.integers(0, 2**32 - 1)
)
def test_every_patient_is_tested_once_and_classes_are_spread_evenly(positive, negative, count, seed):
    labels = {f"p{i}": int(i < positive) for i in range(positive + negative)}
    if min(positive, negative) < count:
        with pytest.raises(UserError, match=f"expected at least {count} patients, one for each fold"):
            stratified_folds(labels, count=count, seed=seed)
        return
    folds = stratified_folds(labels, count=count, seed=seed)
    assert sorted(patient for part in folds.parts for patient in part) == sorted(labels)
    for label in (0, 1):
        shares = [sum(labels[patient] == label for patient in part) for part in folds.parts]
        assert max(shares) - min(shares) <= 1
    folds.require_classes(labels)


def test_folds_depend_on_ids_and_seed_alone():
    backwards = dict(reversed(LABELS.items()))
    assert stratified_folds(backwards).fold == stratified_folds(LABELS).fold
    assert stratified_folds(LABELS, seed=1).fold != stratified_folds(LABELS).fold
    assert grouped_folds([*LABELS, *LABELS]).fold == grouped_folds(sorted(LABELS)).fold


def test_folds_survive_their_file(tmp_path):
    made = stratified_folds(LABELS, seed=5)
    found = read_folds(write_folds(tmp_path / "deep" / "folds.json", made))
    assert found.fold == made.fold
    assert (found.seed, found.count, found.sha256) == (5, 5, made.sha256)
    assert found.of(np.array(["p3", "p0", "p3"])).tolist() == [made.fold["p3"], made.fold["p0"], made.fold["p3"]]


def test_a_class_with_too_few_patients_is_reported_with_their_names():
    labels = {**LABELS, "rare1": 2, "rare2": 2}
    with pytest.raises(UserError, match=r"class 2: expected at least 5 patients.*found 2 \(rare1, rare2\)"):
        stratified_folds(labels)
    with pytest.raises(UserError, match=r"expected patients of two classes, found class 1 only \(2 patients\)"):
        stratified_folds({"a": 1, "b": 1})
    with pytest.raises(UserError, match="found no patient with a known class"):
        stratified_folds({})
    with pytest.raises(UserError, match=r"expected at least 5 patients, one for each fold, found 2 \(a, b\)"):
        grouped_folds(["a", "b", "a"])
    with pytest.raises(ValueError, match="count must be >= 2 folds, got 1"):
        stratified_folds(LABELS, count=1)


def test_folds_of_other_patients_are_refused(tmp_path):
    folds = read_folds(write_folds(tmp_path / "folds.json", stratified_folds(LABELS)))
    with pytest.raises(
        UserError, match=r"folds\.json: expected folds that cover every patient, found none for patient z"
    ):
        folds.require({**LABELS, "z": 0})
    with pytest.raises(UserError, match=r"folds\.json: the features lack patients p0, p1 of these folds"):
        folds.require([patient for patient in LABELS if patient not in ("p0", "p1")])
    many = [f"new{number:02d}" for number in range(25)]
    with pytest.raises(UserError, match="new09 and 15 more"):
        folds.require([*LABELS, *many])


def test_a_fold_without_a_class_is_reported():
    folds = PatientFolds({"a": 0, "b": 0, "c": 1, "d": 1})
    with pytest.raises(
        UserError, match=r"fold 0 \(patients a, b\): expected a patient of every class \(0, 1\), found none of class 1"
    ):
        folds.require_classes({"a": 0, "b": 0, "c": 1, "d": 0})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected folds as JSON"),
        ("[]", "with two folds or more"),
        ('{"folds": [["a"]]}', "with two folds or more"),
        ('{"folds": [["a"], []]}', "none empty"),
        ('{"folds": [["a"], "b"]}', "with two folds or more"),
        (json.dumps({"folds": [["a", "b"], ["c", "a"]]}), "patient a: expected one fold, found 0 and 1"),
    ],
)
def test_a_file_of_another_form_is_reported(tmp_path, content, message):
    (tmp_path / "folds.json").write_text(content)
    with pytest.raises(UserError, match=rf"folds\.json: .*{message}"):
        read_folds(tmp_path / "folds.json")


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(UserError, match=r"folds\.json: cannot be read .*; correct --folds, or leave it out"):
        read_folds(tmp_path / "folds.json")
