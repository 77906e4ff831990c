"""Every backbone computes what MONAI's network does, and is described, exported and transferred."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from monai_cl.engines.pretrained import start_from
from monai_cl.engines.segmentation.network import parameter_groups
from monai_cl.errors import UserError
from monai_cl.networks import MixCLNet, describe_network, export_encoder, segmentation_network
from monai_cl.networks.volume.backbone import Backbone
from monai_cl.networks.volume.backbones import BACKBONES
from monai_cl.networks.weights_file import save_weights

UNETR = {"hidden_size": 24, "mlp_dim": 48, "num_heads": 2}
SIZES: dict[str, dict[str, Any]] = {
    "unetr": {"img_size": [32, 32, 32], "feature_size": 4, **UNETR},
    "swin_unetr": {"img_size": [64, 64, 64], "feature_size": 12},
    "swin_unetr_1_4": {"img_size": [64, 64, 64], "feature_size": 12},
    "swin_unetr_v2": {"img_size": [64, 64, 64], "feature_size": 12},
    "segresnet": {"img_size": [16, 24, 16], "feature_size": 8},
    "dynunet": {"img_size": [32, 48, 32], "feature_size": 4},
}


# the two share nearly all with swin_unetr
NAMES = [pytest.param(n, marks=[pytest.mark.slow] * (n in ("swin_unetr_1_4", "swin_unetr_v2"))) for n in BACKBONES]


def build(name: str, **more: Any) -> nn.Module:
    torch.manual_seed(0)
    return segmentation_network(**{"backbone": name, "out_channels": 3, **SIZES[name], **more}).eval()


@pytest.mark.parametrize("name", NAMES)
def test_its_two_halves_are_the_network_and_each_level_is_what_it_says(name):
    network, backbone = build(name), BACKBONES[name]
    image = torch.rand(1, 1, *SIZES[name]["img_size"], generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        features = backbone.encode(network, image, backbone.levels)
        logits = backbone.last(network)(backbone.decode(network, features))
        torch.testing.assert_close(logits, network(image), atol=0, rtol=0)
        for level, channels in zip(backbone.levels, backbone.channels(network), strict=True):
            assert features[level].shape == (1, channels, *(edge // 2**level for edge in image.shape[2:]))
        for level in (backbone.levels[1], backbone.levels[-1]):
            (alone,) = backbone.encode(network, image, [level])
            torch.testing.assert_close(alone, features[level], atol=0, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_a_level_depends_on_the_parts_that_it_needs_and_on_no_others(name):
    network, backbone = build(name).train(), BACKBONES[name]
    image = torch.rand(1, 1, *SIZES[name]["img_size"], generator=torch.Generator().manual_seed(1))
    for level in (backbone.levels[1], backbone.levels[-2]):
        network.zero_grad(set_to_none=True)
        backbone.encode(network, image, [level])[0].square().sum().backward()
        with_gradient = {name for name, p in network.named_parameters() if p.grad is not None}
        needed = {name for name, _ in network.named_parameters() if name.startswith(backbone.needed([level]))}
        assert with_gradient == {name for name in needed if "norm_cross_attn" not in name}


@pytest.mark.parametrize("name", NAMES)
def test_encoder_decoder_and_last_convolution_are_all_of_it(name):
    network, backbone = build(name), BACKBONES[name]
    parts = [p for name, p in network.named_parameters() if name.startswith((*backbone.encoder, *backbone.decoder))]
    parts += backbone.last(network).parameters()
    assert {id(p) for p in parts} == {id(p) for p in network.parameters()}
    assert len(parts) == len(list(network.parameters()))


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * n.startswith("swin_unetr")) for n in BACKBONES]
)
def test_its_description_builds_it_again(name):
    network = build(name)
    arguments = describe_network(network)["arguments"]
    for again in (segmentation_network(**{**SIZES[name], **arguments}), build(name, dropout=0.5)):
        shapes = {key: tensor.shape for key, tensor in again.state_dict().items()}
        assert shapes == {key: tensor.shape for key, tensor in network.state_dict().items()}
    image = torch.rand(1, 1, *SIZES[name]["img_size"], generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(build(name, dropout=0.5)(image), network(image))
        assert not torch.equal(build(name, dropout=0.5).train()(image), network(image))


def pretrained(name: str | Backbone, folder, **sizes: Any):
    torch.manual_seed(2)
    network = MixCLNet(backbone=name, **sizes, classes=[2])
    datasets = {"livers": {"labels": ["background", "liver"]}}
    record = {"kind": "pretraining", "training": {"data_lists": [{"datasets": datasets}]}}
    save_weights(network.state_dict(), folder / "model.pt", {**record, "network": describe_network(network)})
    return network, folder / "model.pt"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("exported", [False, True])
def test_what_was_pre_trained_starts_the_fine_tuning(name, exported, tmp_path):
    source, file = pretrained(name, tmp_path, **SIZES[name])
    parts = ["encoder", "decoder", "heads"]
    file = export_encoder(file, tmp_path / "encoder.pt", parts=parts) if exported else file
    network, backbone = build(name), BACKBONES[name]
    start_from(network, file, model={"organs": ["spleen", "liver"]}, transfer=parts)
    trained = source.within.state_dict()
    for key, tensor in network.state_dict().items():
        assert key.startswith(backbone.output) or torch.equal(tensor, trained[key]), key
    difference = backbone.last(network).weight[2] - backbone.last(network).weight[0]
    torch.testing.assert_close(difference, source.segmentation_head.weight[1] - source.segmentation_head.weight[0])
    encoder, rest = parameter_groups(network, learning_rate=1.0, encoder_factor=0.1)
    own = {id(p) for key, p in network.named_parameters() if key.startswith(backbone.encoder)}
    assert {id(p) for p in encoder["params"]} == own
    assert encoder["lr"] == 0.1
    assert len(rest["params"]) + len(own) == sum(1 for p in network.parameters() if p.requires_grad)


def test_another_backbone_is_refused_by_name(tmp_path):
    _, file = pretrained("dynunet", tmp_path, **SIZES["dynunet"])
    with pytest.raises(UserError, match=r"backbone"):
        start_from(build("segresnet"), file)
    with pytest.raises(UserError, match=r"backbone: expected one of .*segresnet.*found 'resnet'"):
        segmentation_network(backbone="resnet", img_size=32, out_channels=2, feature_size=8)


@pytest.mark.parametrize(
    ("name", "wrong", "says"),
    [
        ("segresnet", {"img_size": [20, 16, 16]}, "three multiples of 8, at least 16 voxels, got .20, 16, 16"),
        ("swin_unetr", {"img_size": [32, 32, 32]}, "three multiples of 32, at least 64 voxels"),
        ("segresnet", {"feature_size": 12}, "feature_size of a segresnet must be a multiple of 8, its groups, got 12"),
    ],
)
def test_a_size_that_it_cannot_take_is_refused_before_the_first_step(name, wrong, says):
    with pytest.raises(UserError, match=says):
        build(name, **wrong)
