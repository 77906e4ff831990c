"""Modalities in turn: positions, rounds without repeats, ranks, resuming, what cannot be divided."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from monai_cl.data import ModalitySampler
from monai_cl.data.sampling.modalities import check_batch
from monai_cl.errors import UserError

# CT: 3 scans of 4 slices; MR: 5 single images; slices of the two in turn, as lists may have them
SCANS = np.array([0, 0, 0, 0, 1, 2, 3, 3, 3, 3, 4, 5, 6, 7, 7, 7, 7])
MODALITIES = np.array([0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0])


def sampler(batch_size: int = 4, **options) -> ModalitySampler:
    return ModalitySampler(
        SCANS, MODALITIES, names=("CT", "MR"), batch_size=batch_size, **({"seed": 5, "world_size": 1} | options)
    )


def test_the_sample_at_position_p_is_of_modality_p_mod_m():
    for iteration in range(9):
        assert MODALITIES[sampler(6).batch(iteration)].tolist() == [0, 1, 0, 1, 0, 1]
    assert sampler().counts == {"CT": 3, "MR": 5}


def test_each_round_has_every_scan_once_and_the_order_changes():
    drawn = [index for iteration in range(30) for index in sampler().batch(iteration)]
    orders = set()
    for modality, count in ((0, 3), (1, 5)):
        scans = SCANS[[index for index in drawn if MODALITIES[index] == modality]]
        for start in range(0, len(scans) - count + 1, count):
            turn = scans[start : start + count]
            assert set(turn) == set(SCANS[modality == MODALITIES])
            orders.add(tuple(turn))
    assert len(orders) > 8
    assert set(drawn) == set(range(len(SCANS)))  # every slice of a scan, in the end


def test_ranks_divide_the_batch_and_draw_as_one_process_does():
    one = [sampler(8).batch(iteration) for iteration in range(6)]
    ranks = [islice(sampler(4, rank=rank, world_size=2), 24) for rank in (0, 1)]
    ranks = [np.reshape(list(own), (6, 4)) for own in ranks]
    assert [row.tolist() for row in np.concatenate(ranks, axis=1)] == one


def test_a_resumed_sampler_continues_where_it_was():
    whole = list(islice(sampler(), 40))
    assert list(islice(sampler(start=6), 16)) == whole[24:]


def test_another_seed_draws_others():
    assert [sampler(seed=6).batch(i) for i in range(5)] != [sampler().batch(i) for i in range(5)]


@pytest.mark.parametrize(("size", "advice"), [(64, "use 63 or 66"), (2, "use 3$"), (1, "use 3$")])
def test_a_batch_that_cannot_be_divided_names_the_next_multiples(size, advice):
    with pytest.raises(UserError, match=rf"a multiple of 3, .*\(CT, MR, US\), found {size}; {advice}"):
        check_batch(size, ("CT", "MR", "US"))


def test_a_modality_without_scans_is_refused():
    with pytest.raises(UserError, match="modality US: expected at least one scan or image, found none"):
        ModalitySampler(SCANS, MODALITIES, names=("CT", "MR", "US"), batch_size=3, world_size=1)
