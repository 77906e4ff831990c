"""Batches of scans × parts: the draws by their address, ranks, resuming, scans too few or too short."""

from __future__ import annotations

import logging
from itertools import islice

import numpy as np
import pytest

from monai_cl.addressing import Stream, address_rng
from monai_cl.data import PartSampler
from monai_cl.errors import UserError

# scans of 4, 5 and 6 slices in two parts
SCANS = np.repeat([0, 1, 2], [4, 5, 6])
PARTS = np.array([0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1])


def sampler(scans_per_batch: int = 2, **options) -> PartSampler:
    return PartSampler(SCANS, PARTS, count=2, scans_per_batch=scans_per_batch, seed=5, **options)


def test_a_batch_is_what_its_address_says():
    found = sampler()
    for iteration in range(7):
        expected = []
        for place in (2 * iteration, 2 * iteration + 1):
            turn, number = divmod(place, 3)
            scan = address_rng(5, Stream.PARTS, turn).permutation(3)[number]
            twice = place == 2 * iteration + 1 and [scan] == [SCANS[expected[0]]]  # across the end of a round
            for part in (0, 1):
                own = np.flatnonzero((scan == SCANS) & (part == PARTS))
                again = (1,) if twice else ()
                u = address_rng(5, Stream.PARTS, iteration, scan, part, *again).random()
                expected.append(int(own[int(u * len(own))]))
        assert found.batch(iteration) == expected


def test_every_scan_comes_once_a_round_and_every_slice_in_the_end():
    found = sampler(1)
    for turn in range(4):
        assert sorted(SCANS[found.batch(3 * turn + i)[0]] for i in range(3)) == [0, 1, 2]
    assert {index for iteration in range(200) for index in found.batch(iteration)} == set(range(15))


def test_ranks_divide_a_batch_and_a_run_can_be_entered_anywhere():
    whole = sampler(2, rank=0, world_size=1)
    ranks = [sampler(1, rank=rank, world_size=2) for rank in (0, 1)]
    assert [own.batch_size for own in (whole, *ranks)] == [4, 2, 2]
    for iteration in (0, 1, 9):
        parts = []
        for own in ranks:
            own.start = iteration
            parts += list(islice(own, 2))
        assert parts == whole.batch(iteration)
    whole.start = 3
    assert list(islice(whole, 8)) == whole.batch(3) + whole.batch(4)


def test_fewer_scans_than_a_batch_takes_are_repeated_with_other_slices_and_said_once(caplog):
    scans, parts = np.repeat([0, 1], 40), np.tile(np.repeat([0, 1], 20), 2)
    with caplog.at_level(logging.WARNING):
        batch = PartSampler(scans, parts, count=2, scans_per_batch=4).batch(0)
    assert sorted(scans[batch].tolist()) == [0] * 4 + [1] * 4
    assert parts[batch].tolist() == [0, 1] * 4
    assert len(set(batch)) > 4
    assert [r.message for r in caplog.records] == ["a batch takes 4 scans, there are 2: they are repeated in a batch"]


def test_a_scan_without_a_part_gives_another_slice_and_a_part_of_no_scan_is_refused(caplog):
    with caplog.at_level(logging.WARNING):
        batch = PartSampler([0, 0, 1], [0, 1, 1], count=2, scans_per_batch=2).batch(0)
    assert sorted(batch) in ([0, 1, 2, 2],)
    assert caplog.records[0].message.startswith("1 of 2 scans lack one of the 2 parts")
    with pytest.raises(UserError, match="expected slices in each of 3 parts of the scans, found none in part 2 of any"):
        PartSampler([0, 0, 1], [0, 1, 1], count=3, scans_per_batch=2)


def test_wrong_numbers_are_named():
    with pytest.raises(ValueError, match="parts and scans_per_batch must be >= 1, got 2 and 0"):
        sampler(0)
    with pytest.raises(ValueError, match="scans and parts must be of one length >= 1"):
        PartSampler([0, 1], [0], count=1, scans_per_batch=1)
    with pytest.raises(ValueError, match="seed must be >= 0, got -1"):
        PartSampler([0], [0], count=1, scans_per_batch=1, seed=-1)
