"""Measures of a study: epochs to a share of the best, AUC by fraction with intervals, and robustness."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from monai_cl.report import (
    auc_difference,
    epochs_to,
    relative_deviation,
    robustness_scores,
    speed_up,
)


@pytest.mark.parametrize(
    ("scores", "options", "epoch"),
    [
        ([0.5, 0.7, 0.89, 0.9], {}, 3),
        ([0.9, 0.5, 0.9], {}, 1),
        ([0.5, 0.7, 0.89, 0.9], {"share": 1.0}, 4),
        ([0.5, 0.7, 0.89, 0.9], {"reference": 0.8}, 3),
        ([0.5, 0.7], {"reference": 0.9}, None),
    ],
)
def test_epochs_to_a_share_of_the_best_count_from_one(scores, options, epoch):
    assert epochs_to(scores, **options) == epoch


def test_the_speed_up_is_against_the_own_best_and_against_that_of_scratch():
    scratch = {0: [0.5, 0.6, 0.7, 0.8], 1: [0.5, 0.8, 0.8, 0.8], 2: [0.5, 0.55]}
    pretrained = {0: [0.8, 0.9, 0.8, 0.8], 1: [0.7, 0.7, 0.7, 0.7], 2: [0.9, 0.9], 3: [1.0]}
    found = speed_up(scratch, pretrained)
    assert found.left_out == (2,)  # from scratch it learned nothing
    assert found.own == {0: 1 - 2 / 4, 1: 1 - 1 / 2}
    assert found.common == {0: 1 - 1 / 4, 1: None}
    assert found.summary() == {
        "mean": 0.5,
        "deviation": 0.0,
        "common_mean": 0.75,
        "common_deviation": None,
        "seeds": 2,
        "never": 1,
    }


def test_without_a_common_seed_or_a_score_there_is_nothing_to_compare():
    with pytest.raises(ValueError, match=r"expected a seed in common, got \[0\] and \[1\]"):
        speed_up({0: [0.9]}, {1: [0.9]})
    with pytest.raises(ValueError, match=r"got 0 scores and 0\.98"):
        epochs_to([])


def table(rng: np.random.Generator, labels: np.ndarray, shift: float) -> np.ndarray:
    return rng.normal(size=(3, len(labels))) + shift * labels


def test_a_difference_of_aucs_is_their_mean_over_seeds_and_its_interval_holds_the_truth():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 60)
    first, second = table(rng, labels, 1.0), table(rng, labels, 3.0)
    found = auc_difference(labels, first, second)
    means = [np.mean([roc_auc_score(labels, run) for run in runs]) for runs in (first, second)]
    assert (found.first, found.second) == pytest.approx(means)
    assert found.mean == pytest.approx(means[1] - means[0])
    low, high = found.interval
    assert 0 < low < found.mean < high < 0.4
    assert (found.seeds, found.patients) == (3, 120)
    swapped = auc_difference(labels, second, first)
    assert swapped.interval == pytest.approx((-high, -low))


def test_the_same_predictions_differ_by_nothing():
    labels = np.repeat([0, 1], 10)
    runs = table(np.random.default_rng(1), labels, 1.0)
    found = auc_difference(labels, runs, runs)
    assert found.mean == 0
    assert found.interval is None  # of no width
    few = auc_difference(labels[8:12], runs[:, 8:12], runs[:, 8:12] + np.arange(4))
    assert "too few for an interval" in few.note


def test_a_deviation_is_relative_to_the_prediction_but_not_to_less_than_the_floor():
    found = relative_deviation(np.array([0.5, 0.01]), np.array([[0.5, 0.6], [0.02, 0.0]]))
    np.testing.assert_allclose(found, [[0, 0.2], [0.2, 0.2]])
    with pytest.raises(ValueError, match=r"expected \(n,\) and \(n, v\), got \(2,\) and \(3, 1\)"):
        relative_deviation(np.zeros(2), np.zeros((3, 1)))


def test_scores_of_robustness_do_not_change_where_nothing_was_varied():
    labels, p = np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.4, 0.9])
    found = robustness_scores(labels, p, np.repeat(p[:, None], 5, axis=1))
    assert (found["median"], found["q3"], found["delta_logit"]) == (0, 0, 0)
    assert found["auc"] == pytest.approx(roc_auc_score(labels, p))
    odds = p / (1 - p) * np.e
    shifted = robustness_scores(labels, p, (odds / (1 + odds))[:, None])
    assert shifted["delta_logit"] == pytest.approx(1)
    assert (shifted["images"], shifted["variants"]) == (4, 1)
    with pytest.raises(ValueError, match="expected labels 0 and 1 of 4 images"):
        robustness_scores(np.zeros(4), p, p[:, None])
