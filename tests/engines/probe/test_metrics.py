from __future__ import annotations

import numpy as np
import pytest

from monai_cl.engines import auc_interval
from monai_cl.engines.probe.metrics import auc, balanced_accuracy, patient_means

LABELS = np.array([1, 1, 1, 0, 0, 0, 0, 0])
PROBABILITY = np.array([0.9, 0.6, 0.3, 0.7, 0.6, 0.2, 0.1, 0.05])


def loop_auc(labels, probability) -> float:
    wins = [(p > q) + (p == q) / 2 for p in probability[labels == 1] for q in probability[labels == 0]]
    return sum(wins) / len(wins)


def loop_interval(labels, probability, *, resamples, seed):
    """The same draws, each resample spelled out patient by patient."""
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(labels == value) for value in (1, 0)]
    counts = [rng.multinomial(len(group), np.full(len(group), 1 / len(group)), size=resamples) for group in groups]
    found = []
    for draw in zip(*counts):
        chosen = np.concatenate([np.repeat(group, times) for group, times in zip(groups, draw)])
        found.append(loop_auc(labels[chosen], probability[chosen]))
    return np.quantile(found, [0.025, 0.975])


def test_auc_by_hand():
    # of 15 pairs 5 + 3.5 + 3 are won
    assert auc(LABELS, PROBABILITY) == pytest.approx(11.5 / 15)
    assert loop_auc(LABELS, PROBABILITY) == pytest.approx(11.5 / 15)


def test_balanced_accuracy_by_hand_counts_one_half_as_positive():
    # of class 1 two of three, of class 0 three of five
    assert balanced_accuracy(LABELS, PROBABILITY) == pytest.approx((2 / 3 + 3 / 5) / 2)
    assert balanced_accuracy(np.array([1, 0]), np.array([0.5, 0.49])) == 1


def test_patient_means_by_hand():
    names, means, counts = patient_means(np.array([0.2, 0.9, 0.4, 0.6]), np.array(["b", "a", "b", "b"]))
    assert names.tolist() == ["a", "b"]
    np.testing.assert_allclose(means, [0.9, 0.4])
    assert counts.tolist() == [1, 3]


def test_the_interval_is_that_of_resampled_patients():
    assert auc_interval(LABELS, PROBABILITY, resamples=300, seed=4) == pytest.approx(
        tuple(loop_interval(LABELS, PROBABILITY, resamples=300, seed=4))
    )


def test_the_interval_covers_and_shrinks_with_patients():
    rng = np.random.default_rng(0)
    widths = []
    for n in (40, 1000):
        labels = np.arange(n) % 2
        probability = labels + rng.normal(size=n)
        low, high = auc_interval(labels, probability)
        assert low < auc(labels, probability) < high
        widths.append(high - low)
    assert widths[1] < 0.5 * widths[0]


def test_perfect_and_constant_predictions_have_no_width():
    assert auc_interval(LABELS, LABELS.astype(float)) == (1, 1)
    assert auc_interval(LABELS, np.full(8, 0.3)) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"resamples": 0}, "resamples must be >= 1, got 0"),
        ({"labels": np.ones(8, int)}, "labels must hold both 0 and 1"),
        ({"probability": PROBABILITY[:5]}, r"probability must be \(8,\), got \(5,\)"),
    ],
)
def test_options_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        auc_interval(**{"labels": LABELS, "probability": PROBABILITY, **arguments})
