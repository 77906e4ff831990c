from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import monai_cl.engines.probe.patients as probe_module
from monai_cl.data import SliceFeatures
from monai_cl.engines import PatientFolds, probe_patients, stratified_folds
from monai_cl.engines.probe import linear as linear_probe
from monai_cl.errors import UserError
from tests.engines.probe.feature_cohorts import feature_cohort

FAST = {"grid": [0.001, 0.1], "resamples": 50}


def test_separable_classes_are_distinguished():
    metrics = probe_patients(feature_cohort(signal=30.0)).metrics()
    assert metrics["auc"] == metrics["balanced_accuracy"] == metrics["auc_pooled"] == 1
    assert metrics["auc_std"] == 0
    # a bootstrap cannot say how sure a perfect score is
    assert metrics["auc_interval"] is None
    assert "the same in every resample" in metrics["auc_interval_note"]


def test_six_patients_have_no_interval_but_the_reason():
    metrics = probe_patients(feature_cohort(patients=6, signal=0.5), fold_count=3, **FAST).metrics()
    assert metrics["auc_interval"] is None
    assert metrics["auc_interval_note"] == (
        "3 and 3 patients of the two classes: too few for an interval (6 of each needed)"
    )


def test_labels_without_meaning_give_one_half():
    scores = []
    for seed in range(10):
        made = feature_cohort(patients=40, slices=2, signal=0.0, seed=seed)
        shuffled = np.random.default_rng(seed).permutation(40)
        labels = dict(zip(np.unique(made.patient).tolist(), (shuffled % 2).tolist()))
        made = replace(made, label=[labels[patient] for patient in made.patient.tolist()])
        scores.append(probe_patients(made, **FAST).metrics()["auc"])
    # the standard deviation of one is about .1, of their mean .03
    assert abs(np.mean(scores) - 0.5) < 0.1
    assert max(scores) < 0.85


def test_numbers_are_those_of_scikit_learn_by_hand():
    made = feature_cohort(signal=0.8)
    result = probe_patients(made, grid=[0.01], resamples=50)
    metrics = result.metrics()
    by_fold, pooled = [], {}
    for part in stratified_folds(made.patient_labels()).parts:
        test = np.isin(made.patient, part)
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, tol=1e-8, max_iter=5000))
        model.fit(made.features[~test], made.label[~test])
        means = {p: model.predict_proba(made.features[made.patient == p])[:, 1].mean() for p in part}
        by_fold.append(roc_auc_score([made.patient_labels()[p] for p in part], list(means.values())))
        pooled |= means
    assert [entry["auc"] for entry in metrics["folds"]] == pytest.approx(by_fold)
    assert metrics["auc"] == pytest.approx(np.mean(by_fold))
    assert metrics["auc_std"] == pytest.approx(np.std(by_fold, ddof=1))
    for row in metrics["per_patient"]:
        assert row["probability"] == pytest.approx(pooled[row["patient"]], abs=1e-4)
        assert row["n_slices"] == 4
        assert row["label"] == made.patient_labels()[row["patient"]]
    low, high = metrics["auc_interval"]
    assert low <= metrics["auc_pooled"] <= high
    assert (metrics["patients"], metrics["positive"], metrics["slices"]) == (30, 15, 120)


def test_order_of_slices_and_repetition_change_no_bit():
    made = feature_cohort(signal=0.8)
    shuffled = np.random.default_rng(0).permutation(len(made))
    mixed = SliceFeatures(
        made.features[shuffled], made.patient[shuffled], made.label[shuffled], slice=made.slice[shuffled]
    )
    first, again, other = (probe_patients(x, **FAST).metrics() for x in (made, made, mixed))
    assert first == again == other


# -- no patient of a test part is in its training part ------------------------------------------------------------


def test_a_feature_that_names_the_patient_is_worth_nothing():
    patients, slices = 20, 5
    names = np.repeat([f"p{i:02d}" for i in range(patients)], slices)
    labels = np.repeat(np.arange(patients) % 2, slices)
    made = SliceFeatures(np.repeat(np.eye(patients), slices, axis=0), names, labels)
    metrics = probe_patients(made).metrics()
    assert [entry["auc"] for entry in metrics["folds"]] == [0.5] * 5
    # the same features under folds of slices would be worth everything
    train = np.arange(len(labels)) % slices != 0
    leaky = LogisticRegression(C=100).fit(made.features[train], labels[train])
    assert roc_auc_score(labels[~train], leaky.predict_proba(made.features[~train])[:, 1]) == 1


def test_a_training_part_never_meets_its_test_part_nor_does_the_choice_of_C(monkeypatch):
    made = feature_cohort(signal=0.8)
    seen: list[np.ndarray] = []
    owner = {row.tobytes(): patient for row, patient in zip(made.features.astype(np.float64), made.patient.tolist())}
    fit = linear_probe._fit

    def spy(features, *arguments):
        seen.append({owner[row.tobytes()] for row in features})
        return fit(features, *arguments)

    monkeypatch.setattr(linear_probe, "_fit", spy)
    result = probe_patients(made, **FAST)
    assert len(seen) == 5 * (5 + 1)  # five inner folds and the final fit, in each of five folds
    for number, part in enumerate(result.folds.parts):
        fits = seen[6 * number : 6 * number + 6]
        assert all(not patients & set(part) for patients in fits)
        assert fits[5] == set(result.patients.tolist()) - set(part)
        for patients in fits[:5]:
            assert patients < fits[5]


def test_what_is_done_to_test_patients_does_not_reach_their_model(monkeypatch):
    made = feature_cohort(signal=0.8)
    fitted = []
    fit = probe_module.fit_linear_probe

    def spy(*arguments, **options):
        fitted.append(fit(*arguments, **options))
        return fitted[-1]

    monkeypatch.setattr(probe_module, "fit_linear_probe", spy)
    result = probe_patients(made, **FAST)
    part = np.isin(made.patient, result.folds.parts[0])
    spoilt = np.where(part[:, None], 1e4 * made.label[:, None] + 1e3, made.features)
    probe_patients(replace(made, features=spoilt), **FAST)
    clean, other = fitted[0], fitted[5]
    np.testing.assert_array_equal(clean.weight, other.weight)
    assert (clean.bias, clean.C) == (other.bias, other.C)
    assert not np.array_equal(fitted[1].weight, fitted[6].weight)  # where they are trained on, they count


def test_ids_that_differ_in_blanks_do_not_leak():
    made = feature_cohort(signal=0.0)
    spaced = [f" {name}" if number % 2 else name for number, name in enumerate(made.patient.tolist())]
    result = probe_patients(replace(made, patient=spaced), **FAST)
    assert len(result.patients) == 30


# -- folds ------------------------------------------------------------------------------------------------------


def test_given_folds_are_used_and_those_of_others_refused():
    made = feature_cohort()
    folds = stratified_folds(made.patient_labels(), count=3, seed=9)
    result = probe_patients(made, folds=folds, **FAST)
    assert result.metrics()["folds_sha256"] == folds.sha256
    assert dict(zip(result.patients.tolist(), result.fold.tolist())) == dict(folds.fold)
    with pytest.raises(UserError, match="found none for patients p030, p031"):
        probe_patients(feature_cohort(patients=32), folds=folds)
    with pytest.raises(UserError, match="the features lack patients p028, p029"):
        probe_patients(feature_cohort(patients=28), folds=folds)
    lopsided = PatientFolds({p: int(label) for p, label in made.patient_labels().items()})
    with pytest.raises(UserError, match="found none of class 1"):
        probe_patients(made, folds=lopsided)


# -- data that do not fit ---------------------------------------------------------------------------------------


def test_patients_without_a_class_are_left_out_and_counted():
    made = feature_cohort()
    unknown = np.isin(made.patient, ["p000", "p029"])
    result = probe_patients(replace(made, label=np.where(unknown, -1, made.label)), **FAST)
    assert result.unlabelled == ("p000", "p029")
    assert result.metrics()["unlabelled_patients"] == 2
    assert len(result.patients) == 28


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"p003": 3}, "patient p003: expected class 0 or 1, found 3.*map the labels in the data list"),
        ({f"p{i:03d}": 0 for i in range(12)}, r"class 1: expected at least 5 patients.*\(p012, p013, p014\)"),
        ({f"p{i:03d}": 0 for i in range(30)}, "expected patients of two classes, found class 0 only"),
        ({f"p{i:03d}": -1 for i in range(30)}, "found no patient with a known class"),
    ],
)
def test_classes_that_do_not_fit_are_reported(labels, message):
    made = feature_cohort()
    changed = [labels.get(patient, label) for patient, label in zip(made.patient.tolist(), made.label.tolist())]
    with pytest.raises(UserError, match=message):
        probe_patients(replace(made, label=changed))


def test_a_patient_with_two_labels_and_collapsed_features_are_reported():
    made = feature_cohort()
    label = made.label.copy()
    label[2] = 0
    with pytest.raises(UserError, match="patient p000: expected one label on all slices, found 0 and 1"):
        probe_patients(replace(made, label=label))
    with pytest.raises(UserError, match="found 6 constant ones; has the encoder collapsed"):
        probe_patients(replace(made, features=np.ones_like(made.features)))
