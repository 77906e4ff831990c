"""Grad-CAM of a scan: evidence where the decision comes from, and a network that stays as it was."""

from __future__ import annotations

import copy

import torch

from monai_cl.engines import volume_activation
from monai_cl.networks import scan_classifier


def test_evidence_is_that_of_the_map_weighted_by_its_gradients():
    torch.manual_seed(0)
    network, volume = scan_classifier(), torch.rand(1, 1, 8, 32, 32)
    network.train()  # as an evaluator leaves it
    before = copy.deepcopy(network.state_dict())
    found = volume_activation(network, volume, positive=True)
    assert found.shape == (8, 32, 32)
    assert found.min() >= 0
    assert found.max() == 1
    torch.testing.assert_close(dict(network.state_dict()), dict(before), rtol=0, atol=0)
    assert network.training
    assert all(parameter.grad is None for parameter in network.parameters())

    network.eval()
    maps = network.backbone.maps((volume - network.mean) / network.std)
    maps[2].retain_grad()
    network.head.target(network.backbone.pooled(maps[-1])).backward()
    weights = maps[2].grad.mean((2, 3, 4))[0]
    evidence = torch.einsum("c,cdhw->dhw", weights, maps[2][0]).clamp(min=0).detach()
    expected = torch.nn.functional.interpolate(evidence[None, None], (8, 32, 32), mode="trilinear")[0, 0]
    torch.testing.assert_close(found, expected / expected.max())


def test_the_evidence_against_is_another_map():
    torch.manual_seed(0)
    network, volume = scan_classifier(), torch.rand(1, 1, 4, 16, 16)
    maps = [volume_activation(network, volume, positive=positive) for positive in (True, False)]
    assert not torch.equal(*maps)
