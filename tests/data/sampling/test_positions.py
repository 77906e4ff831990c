"""Addresses give the same draws whatever came before; positions of the ranks are a partition."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset

from monai_cl.data import PositionSampler, address_generator, address_rng, address_seed
from monai_cl.data.sampling.case_order import CaseOrder
from monai_cl.data.sampling.positions import permutation


def test_the_same_address_gives_the_same_seed_and_draws():
    assert address_seed(7, 1, 2) == address_seed(7, 1, 2)
    np.testing.assert_array_equal(address_rng(7, 3).random(5), address_rng(7, 3).random(5))
    first = torch.rand(5, generator=address_generator(7, 3))
    torch.testing.assert_close(first, torch.rand(5, generator=address_generator(7, 3)), rtol=0, atol=0)


def test_addresses_that_only_look_alike_have_seeds_of_their_own():
    alike = [(1,), (1, 0), (0, 1), (1, 0, 0), (2**32,), (0, 1, 0), (2**32 + 1,), (1, 1), (10,), (1, 10)]
    assert len({address_seed(*address) for address in alike}) == len(alike)


def test_seeds_stay_the_same_from_release_to_release():
    # a run resumed after an upgrade must see the same data
    assert address_seed(0) == 7896617691693857887
    assert address_seed(42, 1, 2, 3) == 819003873577643646


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=5))
def test_a_seed_has_63_bits(address):
    assert 0 <= address_seed(*address) < 2**63


def test_neighbouring_addresses_are_not_correlated():
    draws = np.array([address_rng(0, 5, position).standard_normal(64) for position in range(256)])
    correlation = np.corrcoef(draws)[np.triu_indices(256, 1)]
    assert abs(correlation.mean()) < 0.005
    assert correlation.std() == pytest.approx(1 / np.sqrt(64), rel=0.1)


@pytest.mark.parametrize("address", [(-1,), (0, -1), (2**64,)])
def test_a_number_out_of_range_is_refused(address):
    with pytest.raises(ValueError, match="must be integers in"):
        address_seed(*address)


def test_every_epoch_is_another_permutation_of_all_cases():
    orders = [permutation(3, epoch, 50) for epoch in range(4)]
    for order in orders:
        assert sorted(order) == list(range(50))
    assert len({tuple(order) for order in orders}) == 4
    assert permutation(3, 0, 50) is orders[0]
    with pytest.raises(ValueError, match="read-only"):
        orders[0][0] = 1


@given(
    batch_size=st.integers(1, 5),
    world_size=st.integers(1, 4),
    start=st.integers(0, 6),
    iterations=st.integers(1, 6),
)
def test_positions_of_all_ranks_are_disjoint_complete_and_in_order(batch_size, world_size, start, iterations):
    seen = []
    for rank in range(world_size):
        sampler = PositionSampler(batch_size=batch_size, rank=rank, world_size=world_size, start=start)
        positions = list(islice(sampler, iterations * batch_size))
        for k in range(iterations):
            first = ((start + k) * world_size + rank) * batch_size
            assert positions[k * batch_size : (k + 1) * batch_size] == list(range(first, first + batch_size))
        seen += positions
    per_iteration = batch_size * world_size
    assert sorted(seen) == list(range(start * per_iteration, (start + iterations) * per_iteration))


def test_a_sampler_can_be_restarted_elsewhere():
    sampler = PositionSampler(batch_size=2)
    assert list(islice(sampler, 4)) == [0, 1, 2, 3]
    sampler.start = 5
    assert list(islice(sampler, 2)) == [10, 11]


class Positions(Dataset):
    def __len__(self):
        return 3

    def __getitem__(self, position):
        return position


def test_a_loader_takes_the_endless_sampler_batch_by_batch():
    loader = DataLoader(Positions(), batch_size=4, sampler=PositionSampler(batch_size=4, rank=1, world_size=2))
    assert [batch.tolist() for batch in islice(loader, 2)] == [[4, 5, 6, 7], [12, 13, 14, 15]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be >= 1, got 0"),
        ({"batch_size": 1, "world_size": 0}, "world_size must be >= 1, got 0"),
        ({"batch_size": 1, "rank": 2, "world_size": 2}, r"rank must be in \[0, 2\), got 2"),
        ({"batch_size": 1, "start": -1}, "start must be >= 0, got -1"),
    ],
)
def test_a_bad_sampler_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PositionSampler(**options)


def test_every_case_comes_once_per_epoch():
    order = CaseOrder([3, 0, 5], seed=1)
    assert len(order) == 8
    for epoch in range(3):
        drawn = {order(position) for position in range(epoch * 8, epoch * 8 + 8)}
        assert drawn == {(0, c) for c in range(3)} | {(2, c) for c in range(5)}


def test_balanced_data_sets_come_equally_often_and_their_cases_too():
    order = CaseOrder([2, 0, 6], seed=1, balance="datasets")
    drawn = [order(position) for position in range(24)]
    for turn in range(12):
        assert {dataset for dataset, _ in drawn[2 * turn : 2 * turn + 2]} == {0, 2}
    assert sorted(c for d, c in drawn if d == 0) == sorted([0, 1] * 6)
    assert sorted(c for d, c in drawn if d == 2) == sorted(list(range(6)) * 2)


@pytest.mark.parametrize(
    ("sizes", "balance", "message"), [([0, 0], "cases", "at least one case"), ([1], "fair", 'must be "cases"')]
)
def test_a_bad_order_is_refused(sizes, balance, message):
    with pytest.raises(ValueError, match=message):
        CaseOrder(sizes, seed=0, balance=balance)
