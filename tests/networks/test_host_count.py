"""A counter's value is known without its device as long as nothing else changes it."""

from __future__ import annotations

import copy

import torch

from monai_cl.networks import MomentumEncoder
from monai_cl.networks.momentum import HostCount


def test_the_value_is_read_once_and_followed_from_then_on(monkeypatch):
    counter, count, reads = torch.tensor(3), HostCount(), []
    original = torch.Tensor.__int__
    monkeypatch.setattr(torch.Tensor, "__int__", lambda tensor: reads.append(1) or original(tensor))
    for expected in (3, 4, 5):
        assert count.of(counter) == expected
        count.advance(counter)
    assert len(reads) == 1
    assert counter.tolist() == 6


def test_a_change_by_others_is_seen():
    counter, count = torch.tensor(3), HostCount()
    assert count.of(counter) == 3
    counter.fill_(7)
    assert count.of(counter) == 7
    assert count.of(torch.tensor(1)) == 1


def test_a_target_that_is_restored_or_copied_goes_on_from_there():
    online = torch.nn.Linear(2, 2)
    momentum, other = (MomentumEncoder(online, iterations=10, start=0.5) for _ in range(2))
    for _ in range(4):
        momentum.update(online)
    assert other.momentum == 0.5
    other.load_state_dict(momentum.state_dict())
    copied = copy.deepcopy(momentum)
    momentum.update(online)
    assert other.momentum == copied.momentum != momentum.momentum
    other.update(online)
    assert other.momentum == momentum.momentum
    assert other.updates == 5
