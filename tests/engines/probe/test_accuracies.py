"""Mutual information by hand, neighbours and a linear classifier on features whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from monai_cl.engines.probe.accuracies import (
    half_of_patients,
    linear_accuracy,
    neighbour_accuracy,
    normalised_mutual_information,
)


def test_mutual_information_of_codes_by_hand():
    field = ["CT", "CT", "MR", "MR"]
    assert normalised_mutual_information([5, 5, 9, 9], field) == pytest.approx(1)
    assert normalised_mutual_information([5, 9, 5, 9], field) == pytest.approx(0, abs=1e-12)
    # a code for each image: mutual information log 2, entropies log 2 and log 4
    assert normalised_mutual_information([1, 2, 3, 4], field) == pytest.approx(2 / 3)
    # joint (2, 1, 0, 1) / 4
    mutual = 0.5 * math.log(0.5 / (0.75 * 0.5)) + 0.25 * math.log(0.25 / (0.75 * 0.5)) + 0.25 * math.log(2)
    entropies = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)), math.log(2)
    found = normalised_mutual_information([0, 0, 0, 1], field)
    assert found == pytest.approx(mutual / (sum(entropies) / 2))


def test_images_of_an_unknown_field_do_not_count():
    assert normalised_mutual_information(np.array([5, 5, 9, 7, 8]), [0, 0, 1, -1, None]) == pytest.approx(1)
    assert normalised_mutual_information([1, 2, 3], [0, 0, None]) is None
    with pytest.raises(ValueError, match="one length, got 2 and 3"):
        normalised_mutual_information([1, 2], [0, 0, 1])


def test_neighbours_are_asked_by_their_angle_and_the_nearest_weigh_most():
    known = np.array([[1.0, 0], [0.9, 0.5], [0.9, 0.5], [0, 1.0]])
    labels = np.array([0, 1, 1, 1])
    # 300 times as long, in the direction of the first: it outweighs three others
    assert neighbour_accuracy(known, labels, np.array([[300.0, 0]]), np.array([0]), neighbours=20) == 1
    assert neighbour_accuracy(known, labels, np.array([[0.1, 0.1]]), np.array([0]), neighbours=2) == 0


@pytest.mark.parametrize("accuracy", [neighbour_accuracy, linear_accuracy])
def test_three_classes_are_told_from_clusters_and_not_from_noise(accuracy):
    rng = np.random.default_rng(0)
    labels = np.arange(240) % 3
    noise = rng.normal(size=(240, 16))
    clusters = noise + 6 * np.eye(16)[labels]
    for features, low, high in ((clusters, 0.97, 1.0), (noise, 0.15, 0.52)):
        found = accuracy(features[:120], labels[:120], features[120:], labels[120:])
        assert low <= found <= high


def test_half_of_the_patients_of_each_class_learn_and_no_patient_is_in_both_parts():
    patients = [f"p{number // 3}" for number in range(60)]
    labels = [number // 3 % 4 == 0 for number in range(60)]
    learning = half_of_patients(patients, labels)
    assert {p for p, part in zip(patients, learning) if part}.isdisjoint(
        p for p, part in zip(patients, learning) if not part
    )
    assert [sum(learning[np.array(labels) == label]) for label in (True, False)] == [9, 24]  # of 5 and 15 patients
    assert (half_of_patients(patients[::-1], labels[::-1])[::-1] == learning).all()
    assert (half_of_patients(patients, labels, seed=1) != learning).any()
