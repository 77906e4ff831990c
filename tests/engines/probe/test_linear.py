from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from monai_cl.engines import LinearProbe, fit_linear_probe
from monai_cl.engines.probe.linear import slice_weights
from monai_cl.errors import UserError
from tests.engines.probe.feature_cohorts import feature_cohort


def columns(**options):
    made = feature_cohort(**options)
    return made.features, made.patient, made.label


def by_hand(C: float):
    return make_pipeline(StandardScaler(), LogisticRegression(C=C, tol=1e-8, max_iter=5000))


@pytest.mark.parametrize("C", [1e-4, 0.01, 1.0])
def test_with_one_C_it_is_scikit_learns_pipeline(C: float):
    features, patients, labels = columns()  # classes and slices balanced: all weights are 1
    fitted = fit_linear_probe(features, patients, labels, grid=[C])
    expected = by_hand(C).fit(features.astype(np.float64), labels).predict_proba(features.astype(np.float64))[:, 1]
    np.testing.assert_allclose(fitted.slice_probability(features), expected, atol=2e-4)


def test_C_is_the_best_of_the_grid_on_patients_left_out():
    grid = [1e-5, 1e-3, 0.1, 10.0]
    chosen = []
    for seed in range(3):
        features, patients, labels = columns(patients=20, size=12, signal=0.8, seed=seed)
        names = np.unique(patients)
        truth = np.array([labels[patients == name][0] for name in names])
        probability = np.zeros((len(grid), len(names)))
        for train, test in StratifiedKFold(5, shuffle=True, random_state=7).split(names, truth):
            inside = np.isin(patients, names[train])
            for row, C in enumerate(grid):
                model = by_hand(C).fit(features[inside], labels[inside])
                for i in test:
                    probability[row, i] = model.predict_proba(features[patients == names[i]])[:, 1].mean()
        expected = grid[int(np.argmin([log_loss(truth, row) for row in probability]))]
        chosen.append(fit_linear_probe(features, patients, labels, grid=grid, seed=7).C)
        assert chosen[-1] == expected
    assert len(set(chosen)) > 1  # the test would see a constant


def test_patients_and_classes_weigh_the_same_by_hand():
    patients, labels = np.array(["a", "a", "a", "b", "c", "c"]), np.array([0, 0, 0, 0, 1, 1])
    # class 0: two patients of 1/4 each; class 1: one patient of 1/2; six slices, so times six
    np.testing.assert_allclose(slice_weights(patients, labels), [0.5, 0.5, 0.5, 1.5, 1.5, 1.5])
    np.testing.assert_allclose(slice_weights(patients, labels, balanced=False), [2 / 3] * 3 + [2] + [1] * 2)


def test_slices_given_twice_change_nothing_for_a_patient():
    features, patients, labels = columns(patients=10)
    # mirrored about the mean, so that standardisation stays what it was
    features = np.concatenate([features, -features])
    patients, labels = np.tile(patients, 2), np.tile(labels, 2)
    again = np.flatnonzero(patients == "p003")
    more = np.concatenate([np.arange(len(features)), again])
    once = fit_linear_probe(features - features.mean(0), patients, labels, grid=[0.1])
    twice = fit_linear_probe((features - features.mean(0))[more], patients[more], labels[more], grid=[0.1])
    # what is left is the doubled patient's part in the standardisation and in the sum of weights
    np.testing.assert_allclose(once.weight, twice.weight, atol=0.02)


def test_units_of_the_features_do_not_matter():
    features, patients, labels = columns()
    other = features.astype(np.float64) * np.logspace(-3, 3, features.shape[1]) + 100
    first, second = (fit_linear_probe(x, patients, labels) for x in (features, other))
    assert first.C == second.C
    np.testing.assert_allclose(first.slice_probability(features), second.slice_probability(other), atol=1e-4)


def test_features_that_are_constant_weigh_nothing():
    features, patients, labels = columns()
    wide = np.concatenate([features, np.full((len(features), 2), 3.0)], axis=1)
    fitted = fit_linear_probe(wide, patients, labels)
    assert fitted.weight[-2:].tolist() == [0, 0]
    np.testing.assert_allclose(
        fitted.slice_probability(wide), fit_linear_probe(features, patients, labels).slice_probability(features)
    )


def test_balance_moves_the_threshold_to_one_half():
    features, patients, labels = columns(patients=60, signal=1.0, positive=0.2)
    means = {}
    for balanced in (True, False):
        fitted = fit_linear_probe(features, patients, labels, grid=[0.01], balanced=balanced)
        means[balanced] = fitted.patient_probability(features, patients)[1].mean()
    assert means[False] < 0.3
    assert 0.4 < means[True] < 0.55


def test_a_probe_survives_its_file(tmp_path):
    features, patients, labels = columns(patients=10)
    fitted = fit_linear_probe(features, patients, labels, grid=[1.0])
    found = LinearProbe.load(fitted.save(tmp_path / "deep" / "probe.npz"))
    np.testing.assert_array_equal(found.slice_probability(features), fitted.slice_probability(features))
    names, mean, counts = found.patient_probability(features, patients)
    assert counts.tolist() == [4] * 10
    assert mean[0] == pytest.approx(fitted.slice_probability(features[patients == names[0]]).mean())
    with pytest.raises(UserError, match=r"no\.npz: expected a probe"):
        LinearProbe.load(tmp_path / "no.npz")


def test_what_cannot_be_fitted_is_reported():
    features, patients, labels = columns(patients=10)
    with pytest.raises(UserError, match="found 6 constant ones; has the encoder collapsed"):
        fit_linear_probe(np.ones_like(features), patients, labels)
    keep = (labels == 0) | (patients == "p000")
    with pytest.raises(UserError, match="expected two patients or more of each class in a training part, found 1"):
        fit_linear_probe(features[keep], patients[keep], labels[keep])
    for grid in ([], [0.0, 1.0]):
        with pytest.raises(ValueError, match="grid must hold values > 0"):
            fit_linear_probe(features, patients, labels, grid=grid)
