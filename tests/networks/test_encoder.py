"""Encoders of slices: any 2D network with a head, standardised input, any number of leading axes."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import DenseNet121, ResNetFeatures, ViT
from torch import nn

from monai_cl.networks import (
    SliceEncoder,
    UNetEncoder,
    projection_head,
    representation_size,
    slice_encoder,
)
from monai_cl.networks.encoder import pooled


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU())  # a map, to be averaged


def images(*lead: int, size: int = 16) -> torch.Tensor:
    return torch.rand(*lead, 1, size, size, generator=torch.Generator().manual_seed(0))


def test_heads_are_linear_relu_linear():
    head = slice_encoder("tinynet").head
    assert [type(layer) for layer in head] == [nn.Linear, nn.ReLU, nn.Linear]
    assert [head[0].in_features, head[0].out_features, head[2].out_features] == [256, 128, 64]
    head = slice_encoder("resnet18").head
    assert [head[0].in_features, head[0].out_features, head[2].out_features] == [512, 256, 128]
    half = slice_encoder("tinynet", width=0.5).head
    assert [half[0].in_features, half[0].out_features, half[2].out_features] == [128, 64, 32]


def test_a_head_with_norm_has_it_before_each_relu():
    head = projection_head([8, 6, 4, 2], norm=True)
    block = [nn.Linear, nn.BatchNorm1d, nn.ReLU]
    assert [type(layer) for layer in head] == [*block, *block, nn.Linear]


def test_a_head_can_be_left_out():
    encoder = slice_encoder(small(), head=())
    assert isinstance(encoder.head, nn.Identity)
    assert encoder.representation_size == 8
    assert set(encoder.state_dict()) == {"backbone.0.weight", "backbone.0.bias", "mean", "std"}


def test_views_are_encoded_as_one_batch():
    net = slice_encoder(small(), head=(6, 3))
    out = net(images(4, 2))
    assert out["representation"].shape == (4, 2, 8)
    assert out["embedding"].shape == (4, 2, 3)
    flat = net(images(4, 2).flatten(0, 1))
    torch.testing.assert_close(out["embedding"].flatten(0, 1), flat["embedding"])
    torch.testing.assert_close(net.represent(images(4, 2)), out["representation"])


def test_a_batch_norm_in_the_head_sees_all_views_as_one_batch():
    head = nn.Sequential(nn.Linear(8, 3), nn.BatchNorm1d(3))
    out = SliceEncoder(small(), head)(images(4, 3))["embedding"].flatten(0, 1)
    torch.testing.assert_close(out.mean(0), torch.zeros(3), atol=1e-5, rtol=0)


def test_the_representation_is_the_average_of_the_standardised_slices_map():
    net, x = slice_encoder(small(), mean=0.3, std=0.5), images(3)
    expected = net.backbone((x - 0.3) / 0.5).mean(dim=(2, 3))
    torch.testing.assert_close(net(x)["representation"], expected)


def test_without_a_head_the_embedding_is_the_representation():
    out = SliceEncoder(small())(images(2))
    assert torch.equal(out["embedding"], out["representation"])


def test_standardisation_travels_with_the_weights():
    other = slice_encoder(small(), mean=0, std=1)
    other.load_state_dict(slice_encoder(small(), mean=0.3, std=0.5).state_dict())
    assert (other.mean.item(), other.std.item()) == pytest.approx((0.3, 0.5))


@pytest.mark.parametrize(
    ("make", "features"),
    [
        (lambda: DenseNet121(spatial_dims=2, in_channels=3, out_channels=20, init_features=8, growth_rate=4), 20),
        (lambda: ResNetFeatures("resnet18", pretrained=False, spatial_dims=2, in_channels=3), 512),
        (lambda: ViT(3, 64, 16, hidden_size=24, mlp_dim=32, num_layers=2, num_heads=2, spatial_dims=2), 24),
    ],
)
def test_monais_networks_serve_as_backbone(make, features):
    net = slice_encoder(make(), in_channels=3, image_size=64)
    out = net(torch.rand(2, 2, 3, 64, 64))
    assert out["representation"].shape == (2, 2, features)
    assert out["embedding"].shape == (2, 2, features // 4)
    out["embedding"].sum().backward()


def test_finding_the_size_leaves_the_network_as_it_was():
    net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Dropout(0.5))
    net[2].eval()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    assert representation_size(net, image_size=(12, 10)) == 8
    assert [module.training for module in net] == [True, True, False]
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_what_backbones_give():
    feature_map = torch.rand(2, 5, 3, 4)
    assert torch.equal(pooled(feature_map[..., 0, 0]), feature_map[..., 0, 0])
    torch.testing.assert_close(pooled([torch.rand(2, 3, 8, 8), feature_map]), feature_map.mean(dim=(2, 3)))
    tokens = torch.rand(2, 7, 5)
    torch.testing.assert_close(pooled((tokens, [tokens])), tokens.mean(1))
    with pytest.raises(ValueError, match=r"a backbone must give \(B, F\).*got \(2, 5, 3, 4, 1\)"):
        pooled(feature_map[..., None])
    with pytest.raises(ValueError, match="got dict"):
        pooled({})
    with pytest.raises(ValueError, match="got list"):
        pooled([])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_slices_are_standardised_in_float32(dtype):
    net, x = slice_encoder(small()), images(2)
    torch.testing.assert_close(net(x.to(dtype))["embedding"], net(x.to(dtype).float())["embedding"])
    with torch.autocast("cpu", dtype=dtype):
        out = net(x)
    assert out["representation"].dtype == out["embedding"].dtype == torch.float32
    assert torch.equal(out["embedding"], net.head(out["representation"]))


def test_double_stays_double():
    assert slice_encoder(small()).double()(images(2).double())["embedding"].dtype == torch.float64


def test_wrong_options_are_named():
    with pytest.raises(
        ValueError, match=r"backbone must be one of tinynet, resnet18, .*resnet152 or a 2D network, got 'vgg'"
    ):
        slice_encoder("vgg")
    with pytest.raises(ValueError, match=r"width is an option of tinynet and ResNets, got 0.5 with UNetEncoder"):
        slice_encoder(UNetEncoder(), width=0.5)
    with pytest.raises(ValueError, match=r"width must leave a channel of 64 at least, got 0.01"):
        slice_encoder("resnet18", width=0.01)
    with pytest.raises(ValueError, match="std must be > 0, got 0"):
        slice_encoder("tinynet", std=0)
    with pytest.raises(ValueError, match=r"sizes must be at least two numbers >= 1, got \[5\]"):
        projection_head([5])
