"""Batches of distinct patients: balance, ranks, repeats, resuming, and what is left out."""

from __future__ import annotations

import logging
from collections import Counter
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_cl.data import PatientSampler
from monai_cl.data.sampling.patients import shares
from monai_cl.errors import UserError


def cohort(counts: dict[int | None, int], slices: int = 3):
    """Patients and targets of every slice: ``counts`` patients of each class, ``slices`` slices each."""
    patients, targets = [], []
    for target, count in counts.items():
        for number in range(count):
            patients += [f"{target}-{number}"] * slices
            targets += [target] * slices
    return patients, targets


def batch_of(sampler: PatientSampler, iteration: int = 0) -> list[int]:
    sampler.start = iteration
    return list(islice(iter(sampler), sampler.batch_size))


@pytest.mark.parametrize("seed", range(5))
def test_a_batch_is_distinct_patients_with_balanced_classes(seed):
    patients, targets = cohort({0: 100, 1: 40, 2: 30, 3: 20})
    sampler = PatientSampler(patients, targets, batch_size=64, seed=seed)
    for iteration in range(10):
        batch = batch_of(sampler, iteration)
        assert len({patients[i] for i in batch}) == 64
        assert Counter(targets[i] for i in batch) == dict.fromkeys(range(4), 16)


def test_what_cannot_be_divided_goes_to_other_classes_in_turn():
    patients, targets = cohort({0: 30, 1: 30, 2: 30})
    sampler = PatientSampler(patients, targets, batch_size=16)
    totals = Counter()
    for iteration in range(300):
        counts = Counter(targets[i] for i in sampler.batch(iteration))
        assert sorted(counts.values()) == [5, 5, 6]
        totals += counts
    assert all(1500 < total < 1700 for total in totals.values())


def test_every_patient_and_slice_comes_up_equally_often():
    patients, targets = cohort({0: 12, 1: 6}, slices=4)
    sampler = PatientSampler(patients, targets, batch_size=6)
    counts = np.bincount([i for k in range(2000) for i in sampler.batch(k)], minlength=len(patients))
    by_class = {target: counts[np.array(targets) == target] for target in (0, 1)}
    for target, expected in ((0, 2000 * 3 / 48), (1, 2000 * 3 / 24)):
        assert abs(by_class[target] - expected).max() < 5 * np.sqrt(expected)


def test_a_class_with_few_patients_is_filled_up_by_the_others(caplog):
    patients, targets = cohort({0: 100, 1: 100, 2: 5})
    with caplog.at_level(logging.WARNING):
        sampler = PatientSampler(patients, targets, batch_size=60)
    assert [record.message for record in caplog.records] == [
        "a batch takes 20 patients of each of 3 classes (class 0: 100, class 1: 100, class 2: 5): the other classes "
        "fill the place of those that have fewer"
    ]
    for iteration in range(5):
        batch = sampler.batch(iteration)
        counts = Counter(targets[i] for i in batch)
        assert counts[2] == 5
        assert {counts[0], counts[1]} <= {27, 28}
        assert len({patients[i] for i in batch}) == 60


def test_fewer_patients_than_the_batch_takes_are_repeated_and_it_says_so_once(caplog):
    patients, targets = cohort({0: 34, 1: 15})
    with caplog.at_level(logging.WARNING):
        sampler = PatientSampler(patients, targets, batch_size=64)
        batches = [sampler.batch(k) for k in range(20)]
    (record,) = caplog.records
    assert "a batch takes 64 patients, there are 49 (class 0: 34, class 1: 15): patients are repeated" in record.message
    assert sampler.repeats
    for batch in batches:
        assert Counter(targets[i] for i in batch) == {0: 32, 1: 32}
        used = Counter(patients[i] for i in batch)
        assert max(used[p] for p in used if p.startswith("0")) == 1
        assert {used[p] for p in used if p.startswith("1")} == {2, 3}


def test_enough_patients_are_not_talked_about(caplog):
    with caplog.at_level(logging.INFO):
        PatientSampler(*cohort({0: 40, 1: 40}), batch_size=64)
    assert not caplog.records


def test_patients_without_a_class_are_left_out_and_counted(caplog):
    patients, targets = cohort({0: 5, 1: 5, None: 3, -1: 2})
    with caplog.at_level(logging.WARNING):
        sampler = PatientSampler(patients, targets, batch_size=4)
    assert sampler.left_out == 5
    assert sampler.counts == {0: 5, 1: 5}
    assert "5 patients without a known class are left out of 15" in caplog.text
    seen = {targets[i] for k in range(200) for i in sampler.batch(k)}
    assert seen == {0, 1}


def test_classes_can_be_named(caplog):
    patients, targets = cohort({0: 5, 1: 5, 7: 5})
    sampler = PatientSampler(patients, targets, batch_size=4, classes=(0, 1))
    assert sampler.left_out == 5
    assert {targets[i] for k in range(50) for i in sampler.batch(k)} == {0, 1}


def test_without_balance_unknown_classes_take_part():
    patients, targets = cohort({0: 5, None: 15})
    sampler = PatientSampler(patients, targets, batch_size=20, balance=False)
    assert sampler.counts == {None: 20}
    assert sampler.left_out == 0
    assert {patients[i] for i in sampler.batch(0)} == set(patients)


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_ranks_have_disjoint_balanced_patients_and_together_the_batch_of_one_process(world_size):
    patients, targets = cohort({0: 50, 1: 40, 2: 30, 3: 60})
    alone = PatientSampler(patients, targets, batch_size=8 * world_size, seed=3)
    ranks = [
        PatientSampler(patients, targets, batch_size=8, seed=3, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    for iteration in range(20):
        parts = [batch_of(sampler, iteration) for sampler in ranks]
        assert [i for part in parts for i in part] == batch_of(alone, iteration)
        assert len({patients[i] for part in parts for i in part}) == 8 * world_size
        for part in parts:
            counts = Counter(targets[i] for i in part)
            assert all(1 <= counts[target] <= 3 for target in range(4))


def test_a_resumed_run_continues_as_the_whole_one():
    patients, targets = cohort({0: 30, 1: 30})
    whole = list(islice(iter(PatientSampler(patients, targets, batch_size=8, seed=1)), 80))
    resumed = list(islice(iter(PatientSampler(patients, targets, batch_size=8, seed=1, start=6)), 32))
    assert resumed == whole[48:]


def test_iterations_and_seeds_differ():
    patients, targets = cohort({0: 30, 1: 30})
    sampler = PatientSampler(patients, targets, batch_size=8, seed=1)
    other = PatientSampler(patients, targets, batch_size=8, seed=2)
    assert sampler.batch(0) != sampler.batch(1)
    assert sampler.batch(0) != other.batch(0)


def test_a_repeated_patient_has_another_slice_until_all_were_used():
    sampler = PatientSampler(["a"] * 4, [0] * 4, batch_size=8)
    for iteration in range(10):
        assert sorted(sampler.batch(iteration)) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_patient_with_two_labels_is_named():
    with pytest.raises(UserError, match="patient P7: expected one label, found 0 and 1"):
        PatientSampler(["P7", "P7"], [0, 1], batch_size=2)


def test_no_known_class_is_refused():
    with pytest.raises(UserError, match="expected patients with a known class, found none among 2"):
        PatientSampler(["a", "b"], [None, -1], batch_size=2)
    with pytest.raises(UserError, match=r"one of the classes \[4\]"):
        PatientSampler(["a"], [0], batch_size=2, classes=[4])
    with pytest.raises(UserError, match="at least one slice"):
        PatientSampler([], [], batch_size=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be >= 1, got 0"),
        ({"world_size": 0}, "world_size must be >= 1, got 0"),
        ({"rank": 2, "world_size": 2}, r"rank must be in \[0, 2\), got 2"),
        ({"start": -1}, "start must be >= 0, got -1"),
        ({"seed": -1}, "seed must be >= 0, got -1"),
    ],
)
def test_bad_numbers_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PatientSampler(["a", "b"], [0, 1], **options)


def test_patients_and_targets_of_two_lengths_are_refused():
    with pytest.raises(ValueError, match="of one length, got 2 and 1"):
        PatientSampler(["a", "b"], [0])


@given(limits=st.lists(st.integers(0, 20), min_size=1, max_size=6), data=st.data())
def test_shares_are_as_even_as_the_limits_allow(limits, data):
    wanted = data.draw(st.integers(0, sum(limits)))
    order = data.draw(st.permutations(range(len(limits))))
    quotas = shares(wanted, limits, order=order)
    assert sum(quotas) == wanted
    assert all(0 <= quota <= limit for quota, limit in zip(quotas, limits))
    open_ones = [quota for quota, limit in zip(quotas, limits) if quota < limit]
    assert not open_ones or max(quotas) <= min(open_ones) + 1
