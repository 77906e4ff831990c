from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from monai_cl.data import SliceFeatures
from monai_cl.engines import grouped_folds, probe_depth
from monai_cl.errors import UserError
from tests.engines.probe.feature_cohorts import feature_cohort


def test_depth_in_a_feature_is_found_and_noise_is_worth_nothing():
    made = feature_cohort()
    exact = made.features.copy()
    exact[:, 1] = 3 * made.depth - 7
    assert probe_depth(replace(made, features=exact)).mean > 0.999
    noise = np.random.default_rng(0).normal(size=made.features.shape)
    assert -0.2 < probe_depth(replace(made, features=noise)).mean < 0.05


def test_of_two_patients_each_is_predicted_from_the_other_with_the_strongest_penalty():
    made = feature_cohort(patients=2, size=30)
    found = probe_depth(made, fold_count=2, grid=[0.1, 10.0])
    assert found.alpha == (10.0, 10.0)
    assert np.isfinite(found.mean)


def test_with_one_penalty_it_is_scikit_learns_ridge():
    made = feature_cohort()
    found = probe_depth(made, grid=[10.0])
    expected = []
    for part in grouped_folds(made.patient.tolist()).parts:
        test = np.isin(made.patient, part)
        model = make_pipeline(StandardScaler(), Ridge(alpha=10.0)).fit(made.features[~test], made.depth[~test])
        expected.append(r2_score(made.depth[test], model.predict(made.features[test])))
    assert found.r2 == pytest.approx(expected, abs=1e-6)
    assert found.mean == pytest.approx(np.mean(expected), abs=1e-6)
    assert found.std == pytest.approx(np.std(expected, ddof=1), abs=1e-6)
    assert found.alpha == (10.0,) * 5


def test_the_penalty_is_the_best_one_on_patients_left_out():
    made = feature_cohort(patients=12, size=30)
    grid = [0.1, 10.0, 1000.0]
    outer = grouped_folds(made.patient.tolist(), count=3)
    found = probe_depth(made, folds=outer, grid=grid)
    for number, part in enumerate(outer.parts):
        train = ~np.isin(made.patient, part)
        errors = np.zeros(len(grid))
        for inner in grouped_folds(made.patient[train].tolist(), count=5).parts:
            left = np.isin(made.patient, inner)
            for row, alpha in enumerate(grid):
                model = make_pipeline(StandardScaler(), Ridge(alpha=alpha))
                model.fit(made.features[train & ~left], made.depth[train & ~left])
                errors[row] += ((model.predict(made.features[left]) - made.depth[left]) ** 2).sum()
        assert found.alpha[number] == grid[int(errors.argmin())]


def test_a_patient_is_never_predicted_from_its_own_slices():
    patients, slices = 10, 4
    names = np.repeat([f"p{i}" for i in range(patients)], slices)
    depth = np.repeat(np.linspace(0.1, 0.9, patients), slices) + np.tile(np.arange(slices) / 1000, patients)
    made = SliceFeatures(np.repeat(np.eye(patients), slices, axis=0), names, [-1] * len(names), depth)
    assert probe_depth(made).mean < 0  # knowing who it is says nothing on somebody new


def test_order_and_labels_do_not_matter_and_unknown_depths_are_left_out():
    made = feature_cohort()
    mixed = np.random.default_rng(0).permutation(len(made))
    other = SliceFeatures(
        made.features[mixed], made.patient[mixed], [-1] * len(made), made.depth[mixed], made.slice[mixed]
    )
    assert probe_depth(other) == probe_depth(made)
    holes = made.depth.copy()
    holes[::5] = np.nan
    assert probe_depth(replace(made, depth=holes)).slices == len(made) - len(made.depth[::5])


def test_what_does_not_fit_is_reported():
    made = feature_cohort()
    with pytest.raises(UserError, match="expected slices with differing depths, found 0"):
        probe_depth(replace(made, depth=None))
    with pytest.raises(UserError, match="expected slices with differing depths, found 1"):
        probe_depth(replace(made, depth=np.full(len(made), 0.5)))
    with pytest.raises(UserError, match="expected at least 40 patients"):
        probe_depth(made, fold_count=40)
    with pytest.raises(UserError, match="found none for patients p020"):
        probe_depth(made, folds=grouped_folds([f"p{i:03d}" for i in range(20)]))
    with pytest.raises(ValueError, match="grid must hold values > 0"):
        probe_depth(made, grid=[])
