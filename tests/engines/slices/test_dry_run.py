"""A network is tried before a training on what training runs: all views, crops of every size, in training mode."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_cl.engines import dry_run
from monai_cl.errors import UserError
from monai_cl.networks import clustering_network, projected_encoder, slice_encoder, volume_encoder
from monai_cl.transforms import MultiCrop, SliceViews, VolumeCrops


def small_network(**options: object) -> nn.Module:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Dropout(0.5), nn.ReLU())
    return clustering_network(slice_encoder(backbone, head=()), (6, 4), prototypes=3, **options)


def test_it_sees_the_views_of_a_training_and_leaves_everything_as_it_was():
    network, seen, modes = small_network(label_heads={"target": 1}, supervised_view="whole"), [], []
    network.prototypes.weight.data.mul_(3)  # set to unit length by a forward in training
    network.head.eval()
    network.encoder.backbone.register_forward_pre_hook(lambda module, given: seen.append(tuple(given[0].shape)))
    network.encoder.backbone.register_forward_pre_hook(lambda module, given: modes.append(module.training))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    views = MultiCrop(seed=0, count=(2, 3), size=(24, 12), whole=True)
    state = torch.random.get_rng_state()
    dry_run(network, channels=1, size=40, views=views, batch_size=16)
    assert seen == [(4, 1, 24, 24), (6, 1, 12, 12), (2, 1, 24, 24)]
    assert modes == [True] * 3
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert network.training
    assert not network.head.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())


def test_small_crops_that_the_network_does_not_take_are_refused():
    network = clustering_network(slice_encoder("tinynet", head=()), (6, 4), prototypes=3)
    dry_run(network, channels=1, size=200, views=MultiCrop(seed=0, count=(2, 0), size=(160, 92)))
    with pytest.raises(UserError, match="TinyNet needs slices of at least 156"):
        dry_run(network, channels=1, size=200, views=MultiCrop(seed=0, count=(2, 6), size=(160, 92)))
    volumes = clustering_network(volume_encoder(), (6, 4), prototypes=3)
    dry_run(volumes, channels=1, size=(4, 32, 32), views=VolumeCrops(seed=0, count=(1, 2), size=((32, 32), (16, 16))))
    crops = VolumeCrops(seed=0, count=(1, 2), size=((32, 32), (12, 12)))
    with pytest.raises(
        UserError, match=r"a network of volumes \(1, 4, 32, 32\) and the views of 2, found one that does"
    ):
        dry_run(volumes, channels=1, size=(4, 32, 32), views=crops)


def test_a_batch_of_one_is_tried_as_one():
    views = MultiCrop(seed=0, count=(1, 1), size=(3, 3))
    dry_run(small_network(), channels=1, size=8, views=views, batch_size=2)
    with pytest.raises(UserError, match=r"more than 1 value per channel when training.*correct .*batch_size"):
        dry_run(small_network(), channels=1, size=8, views=views, batch_size=1)


def test_views_of_one_size_are_tried_too():
    network = projected_encoder(slice_encoder("tinynet", head=()))
    dry_run(network, channels=1, size=160, views=SliceViews(seed=0, views=2, probability=0.5))
