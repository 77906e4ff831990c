"""Prototypes keep unit length, stay while they are frozen, and crops of several sizes go through one forward."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from monai_cl.losses import SwappedPredictionLoss
from monai_cl.networks import ClusteringNet, Prototypes, clustering_network, slice_encoder


def net(**options: object) -> ClusteringNet:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU())
    return clustering_network(slice_encoder(backbone, head=()), (6, 4), **{"prototypes": 3, "norm": False, **options})


def test_scores_are_cosines_with_rows_that_training_sets_to_unit_length():
    prototypes = Prototypes(4, 3)
    torch.testing.assert_close(prototypes.weight.norm(dim=1), torch.ones(3))
    with torch.no_grad():
        prototypes.weight.mul_(torch.tensor([[2.0], [0.5], [3.0]]))
    z = nn.functional.normalize(torch.randn(5, 2, 4), dim=-1)
    cosines = nn.functional.cosine_similarity(z[..., None, :], prototypes.weight.detach(), dim=-1)
    assert not torch.allclose(prototypes.eval()(z), cosines)
    torch.testing.assert_close(prototypes.train()(z), cosines)
    torch.testing.assert_close(prototypes.weight.norm(dim=1), torch.ones(3))
    assert [name for name, _ in prototypes.named_parameters()] == ["weight"]  # no bias


def test_frozen_prototypes_feel_neither_momentum_nor_weight_decay():
    network = net(freeze_iterations=2).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1, weight_decay=0.5)
    loss, seen = SwappedPredictionLoss(), []
    for step in range(4):
        out = network(torch.rand(4, 2, 1, 8, 8, generator=torch.Generator().manual_seed(step)))
        optimizer.zero_grad()
        loss(out["scores"], out["embedding"], out["prototypes"]).backward()
        assert network.prototypes.weight.grad.abs().max() > 0
        network.before_step()
        optimizer.step()
        network.after_step()
        seen.append(network.prototypes.weight.detach().clone())
    # set to unit length again, which may move the last bit
    torch.testing.assert_close(seen[0], seen[1], rtol=0, atol=1e-6)
    assert (seen[2] - seen[1]).abs().max() > 0.01
    assert (seen[3] - seen[2]).abs().max() > 0.01


def test_a_resumed_network_goes_on_freezing_where_it_stopped():
    network, resumed = net(freeze_iterations=2), net(freeze_iterations=2)
    network.after_step()
    resumed.load_state_dict(network.state_dict())
    for frozen in (True, False):
        resumed.prototypes.weight.grad = torch.ones(3, 4)
        resumed.before_step()
        assert (resumed.prototypes.weight.grad is None) == frozen
        resumed.after_step()


def test_crops_of_two_sizes_are_those_of_each_size_by_itself():
    network = net().train()
    large, small = torch.rand(4, 2, 1, 12, 12), torch.rand(4, 3, 1, 8, 8)
    both, one, other = network([large, small]), network(large), network(small)
    assert both["scores"].shape == (4, 5, 3)
    for name in ("representation", "embedding", "scores"):
        torch.testing.assert_close(both[name], torch.cat([one[name], other[name]], dim=1))
    torch.testing.assert_close(both["embedding"].norm(dim=-1), torch.ones(4, 5))


def test_evaluation_needs_no_prototypes():
    assert set(net().eval()(torch.rand(2, 1, 8, 8))) == {"representation", "embedding"}


def test_half_precision_outside_leaves_the_scores_in_float32():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = net().train()(torch.rand(4, 2, 1, 8, 8))
    assert out["scores"].dtype == out["embedding"].dtype == torch.float32
    torch.testing.assert_close(out["scores"], out["embedding"] @ out["prototypes"].T)


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match="features and count must be >= 1, got 4 and 0"):
        Prototypes(4, 0)
    with pytest.raises(ValueError, match="freeze_iterations must be >= 0, got -1"):
        net(freeze_iterations=-1)
    with pytest.raises(ValueError, match="head must end in a linear layer"):
        ClusteringNet(slice_encoder(nn.Conv2d(1, 8, 3), head=()), nn.Identity(), prototypes=3)


@pytest.mark.parametrize("view", ["crop", "whole"])
def test_label_heads_see_the_first_large_crop_or_the_whole_image(view):
    network = net(label_heads={"target": 1, "findings": 2}, supervised_view=view).train()
    large, small, whole = torch.rand(4, 2, 1, 12, 12), torch.rand(4, 3, 1, 8, 8), torch.rand(4, 1, 1, 12, 12)
    out = network([large, small, whole] if view == "whole" else [large, small])
    assert out["scores"].shape == (4, 5, 3)
    seen = network.represent(whole if view == "whole" else large)[:, 0]
    torch.testing.assert_close(out["logits_target"], network.label_heads["target"](seen))
    assert out["logits_findings"].shape == (4, 2)
    assert set(network.eval()(large[:, 0])) == {"representation", "embedding"}
    with pytest.raises(ValueError, match="supervised_view must be one of crop, whole, got 'large'"):
        net(supervised_view="large")
    with pytest.raises(ValueError, match="slice_findings needs an encoder of volumes, got a SliceEncoder"):
        net(label_heads={"slice_findings": 1})


def test_running_statistics_are_those_of_the_large_crops():
    backbone = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
    network = clustering_network(slice_encoder(backbone, head=()), (6, 4), prototypes=3).train()
    alone = copy.deepcopy(network)
    large, small = torch.rand(4, 2, 1, 12, 12), 5 * torch.rand(4, 3, 1, 8, 8)
    network([large, small])
    alone(large)
    found, expected = (net.encoder.backbone[1] for net in (network, alone))
    assert torch.equal(found.running_mean, expected.running_mean)
    assert torch.equal(found.running_var, expected.running_var)
    assert found.momentum == 0.1
