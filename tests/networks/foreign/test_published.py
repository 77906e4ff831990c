"""Weights as other projects publish them: their own names, and in the network here their values and their features.

Names of files that cannot be had here are those that the projects' code reads and writes: MONAI's tutorials and
research contributions (SSLHead, `SwinUNETR.load_from`, `filter_swinunetr`), VoCo's ``voco_head.py``, SuPreM's
``train.py``, nnssl's trainers.
"""

from __future__ import annotations

import re
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.networks.nets import SegResNet, SwinUNETR, ViT, ViTAutoEnc
from monai.networks.nets.swin_unetr import SwinTransformer
from torch import nn

from monai_cl.engines.pretrained import start_from
from monai_cl.engines.segmentation.network import parameter_groups
from monai_cl.errors import UserError
from monai_cl.networks import load_encoder, segmentation_network
from monai_cl.networks.foreign.inspection import inspect_weights
from monai_cl.networks.volume.backbones import BACKBONES, backbone_of
from monai_cl.networks.volume.patch_merging import EarlierPatchMerging

State = dict[str, torch.Tensor]
VIT = {"hidden_size": 24, "mlp_dim": 36, "num_heads": 2}


def unetr(img_size: int = 32) -> nn.Module:
    return segmentation_network(img_size=img_size, out_channels=3, feature_size=4, **VIT).eval()


@cache
def _swin_unetr(backbone: str, seed: int, feature_size: int) -> nn.Module:
    torch.manual_seed(seed)
    return segmentation_network(backbone=backbone, img_size=64, out_channels=3, feature_size=feature_size).eval()


def swin_unetr(backbone: str = "swin_unetr_1_4", seed: int = 1, feature_size: int = 12) -> nn.Module:
    return deepcopy(_swin_unetr(backbone, seed, feature_size))  # which is faster than to build one


@cache
def swin_transformer() -> SwinTransformer:
    """As MONAI's SSLHead has it."""
    torch.manual_seed(2)
    heads, depths = (3, 6, 12, 24), (2, 2, 2, 2)
    return SwinTransformer(1, 12, (7, 7, 7), (2, 2, 2), depths, heads, downsample=EarlierPatchMerging).eval()


def saved(content: Any, tmp_path: Path) -> Path:
    torch.save(content, tmp_path / "weights.pt")
    return tmp_path / "weights.pt"


def heads(*names: str) -> State:
    return {f"{name}.{kind}": torch.ones(2) for name in names for kind in ("weight", "bias")}


def fully_connected(state: State) -> State:
    return {re.sub(r"mlp\.linear(\d)", r"mlp.fc\1", name): tensor for name, tensor in state.items()}


def under(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


SWIN_HEADS = heads("rotation_head", "contrastive_head", "norm")
SWIN_ALONE = {
    "model_swinvit.pt": lambda s: {
        "state_dict": under("module.", fully_connected(s) | SWIN_HEADS | heads("convTrans3d")),
        "epoch": 7,
    },
    "SSLHead": lambda s: {"state_dict": under("swin_vit.", s) | SWIN_HEADS | heads("conv.0"), "global_step": 7},
    "SSLHead-ddp": lambda s: under("module.swin_vit.", s) | under("module.", SWIN_HEADS),
    "disruptive": lambda s: {
        "model": {
            re.sub(r"^(layers\d)\.0\.", r"encoder.\1.0.0.", name).replace("patch_embed", "encoder.patch_embed"): tensor
            for name, tensor in s.items()
        }
        | {"encoder.mask_token": torch.ones(1, 1, 12)}
        | heads("encoder.norm")
    },
}


@torch.no_grad()
@pytest.mark.parametrize("origin", SWIN_ALONE)
def test_a_swin_transformer_alone_becomes_the_transformer_of_a_swin_unetr(origin, tmp_path):
    theirs, network = swin_transformer(), swin_unetr()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    report = load_encoder(network, saved(SWIN_ALONE[origin](theirs.state_dict()), tmp_path))
    assert report.parts == {"swinViT": 126}
    assert report.complete
    assert report.at_random == ("encoder1", "encoder2", "encoder3", "encoder4", "encoder10")
    assert "encoder1, encoder2, encoder3, encoder4, encoder10 start at random" in str(report)
    for name, tensor in network.state_dict().items():
        part, inner = name.split(".", 1)
        assert torch.equal(tensor, theirs.state_dict()[inner] if part == "swinViT" else before[name]), name
    image = torch.rand(1, 1, 16, 16, 16)
    for ours, own in zip(network.swinViT(image), theirs(image), strict=True):
        torch.testing.assert_close(ours, own, atol=0, rtol=0)


@torch.no_grad()
def test_patches_are_merged_as_in_the_monai_that_published_weights_were_trained_with():
    merging, x = EarlierPatchMerging(3), torch.rand(2, 4, 6, 2, 3)
    corners = [  # monai 1.4.0, PatchMerging.forward
        x[:, 0::2, 0::2, 0::2, :],
        x[:, 1::2, 0::2, 0::2, :],
        x[:, 0::2, 1::2, 0::2, :],
        x[:, 0::2, 0::2, 1::2, :],
        x[:, 1::2, 0::2, 1::2, :],
        x[:, 0::2, 1::2, 0::2, :],
        x[:, 0::2, 0::2, 1::2, :],
        x[:, 1::2, 1::2, 1::2, :],
    ]
    torch.testing.assert_close(merging(x), merging.reduction(merging.norm(torch.cat(corners, -1))), atol=0, rtol=0)
    assert merging(torch.rand(1, 3, 5, 1, 3)).shape == (1, 2, 3, 1, 6)


def before(state: State) -> State:
    """As in MONAI 0.8: a class token without classification, and no norm for cross attention, which came with 1.4."""
    kept = {name: tensor for name, tensor in state.items() if "norm_cross_attn" not in name}
    return kept | {"patch_embedding.cls_token": torch.ones(1, 1, 24)}


VIT_ALONE = {
    "tutorial": lambda s: {"epoch": 500, "state_dict": s, "optimizer": {}},
    "tutorial-ddp": lambda s: {"state_dict": under("module.", s)},
    "monai-0.8": lambda s: {"state_dict": before(s)},
    "monai-1.5": lambda s: s | {"blocks.3.cross_attn.to_q.weight": torch.ones(24, 24)},
    "whole-network": lambda s: under("vit.", s),
}


@torch.no_grad()
@pytest.mark.parametrize("origin", VIT_ALONE)
def test_a_vit_alone_becomes_the_transformer_of_a_unetr(origin, tmp_path):
    torch.manual_seed(2)
    theirs, network = ViTAutoEnc(1, 32, (16, 16, 16), **VIT).eval(), unetr()
    convolutions = {name: t.clone() for name, t in network.state_dict().items() if not name.startswith("vit.")}
    report = load_encoder(network, saved(VIT_ALONE[origin](theirs.state_dict()), tmp_path))
    assert (report.complete, set(report.parts)) == (True, {"vit"})
    assert report.at_random == ("encoder1", "encoder2", "encoder3", "encoder4")
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in convolutions.items())
    image = torch.rand(1, 1, 32, 32, 32)
    for ours, own in zip(network.vit(image)[1], theirs(image)[1], strict=True):
        torch.testing.assert_close(ours, own, atol=0, rtol=0)


@torch.no_grad()
def test_a_classifier_with_a_linear_patch_embedding_gives_its_tokens(tmp_path):
    torch.manual_seed(2)
    theirs = ViT(1, 32, 16, **VIT, proj_type="perceptron", classification=True).eval()
    network = unetr()
    report = load_encoder(network, saved(theirs.state_dict(), tmp_path))
    assert report.complete
    image = torch.rand(1, 1, 32, 32, 32)
    ours, own = network.vit.patch_embedding(image), theirs.patch_embedding(image)
    torch.testing.assert_close(ours, own, atol=1e-5, rtol=1e-4)


def test_a_vit_of_another_patch_size_is_interpolated_and_of_other_sizes_refused_with_both(tmp_path):
    larger = saved(ViTAutoEnc(1, 48, (16, 16, 16), **VIT).state_dict(), tmp_path)
    network = unetr()
    assert load_encoder(network, larger).complete
    wide = saved(ViTAutoEnc(1, 32, (16, 16, 16), 1, 16, 48, 36, 12, 2).state_dict(), tmp_path)
    with pytest.raises(UserError, match=r"the file's network has hidden_size 48, this one hidden_size 24"):
        load_encoder(unetr(), wide)
    deep = saved(ViTAutoEnc(1, 32, (16, 16, 16), num_layers=13, **VIT).state_dict(), tmp_path)
    with pytest.raises(UserError, match=r"unknown to the network: vit\.blocks\.12\."):
        load_encoder(unetr(), deep)


def test_a_part_of_a_transformer_is_not_the_transformer_alone(tmp_path):
    state = {k: t for k, t in ViTAutoEnc(1, 32, (16, 16, 16), **VIT).state_dict().items() if "blocks.11." not in k}
    with pytest.raises(UserError, match=r"missing: .*encoder1"):
        load_encoder(unetr(), saved(state, tmp_path))


def voco(state: State) -> State:
    """VoCo's SSL_head files: encoder of a SwinUNETR with use_v2, bare; its omni-supervised ones are whole."""
    return {name: t for name, t in state.items() if not name.startswith(("decoder", "out."))}


WHOLE = {
    "VoCo_SSL_head": ("swin_unetr_v2", voco),
    "VoCo_pretraining": (
        "swin_unetr_v2",
        lambda s: {"state_dict": under("module.backbone.", voco(s)) | heads("module.student.layer3.0")},
    ),
    "VoComni": ("swin_unetr_v2", lambda s: s),
    "VoCo_10k": ("swin_unetr_v2", lambda s: {k.replace("swinViT", "module.swin_vit"): t for k, t in voco(s).items()}),
    "SuPreM": (
        "swin_unetr_1_4",
        lambda s: {"net": under("module.backbone.", s) | {"module.organ_embedding": torch.ones(32, 256)}, "epoch": 7},
    ),
    "MONAI-0.8": ("swin_unetr_1_4", lambda s: {**s, "encoder2.layer.conv3.conv.weight": torch.ones(12, 12, 1, 1, 1)}),
}


@pytest.mark.parametrize("origin", WHOLE)
def test_a_whole_encoder_of_a_swin_unetr_is_taken_whole(origin, tmp_path):
    backbone, content = WHOLE[origin]
    source, network = swin_unetr(backbone, seed=2).state_dict(), swin_unetr(backbone)
    report = load_encoder(network, saved(content(source), tmp_path))
    assert (report.complete, report.at_random) == (True, ())
    names = [name for name in source if name.startswith(BACKBONES[backbone].encoder)]
    assert set(report.matched) == set(names)
    assert all(torch.equal(network.state_dict()[name], source[name]) for name in names)


def test_suprems_segresnet_is_taken_whole(tmp_path):
    torch.manual_seed(2)
    theirs = SegResNet(3, 8, 1, 32, blocks_down=(1, 2, 2, 4), blocks_up=(1, 1, 1), dropout_prob=0.0)
    network = segmentation_network(backbone="segresnet", img_size=16, out_channels=3, feature_size=8)
    assert load_encoder(network, saved({"net": under("module.", theirs.state_dict()), "epoch": 7}, tmp_path)).complete
    image = torch.rand(1, 1, 16, 16, 16)
    torch.testing.assert_close(network.eval().encode(image)[0], theirs.eval().encode(image)[0], atol=0, rtol=0)


@pytest.mark.parametrize(
    ("given", "own", "says"),
    [
        ("swin_unetr_v2", {}, r"the file's network has backbone swin_unetr_v2, this one backbone swin_unetr_1_4"),
        (
            "swin_unetr_1_4",
            {"backbone": "swin_unetr_v2"},
            "has backbone swin_unetr_1_4, this one .* swin_unetr_v2",
        ),
        ("swin_unetr_1_4", {"feature_size": 24}, "has feature_size 12, this one feature_size 24"),
    ],
)
def test_another_swin_unetr_is_refused_with_both_values(given, own, says, tmp_path):
    with pytest.raises(UserError, match=says):
        load_encoder(swin_unetr(**own), saved(voco(swin_unetr(given).state_dict()), tmp_path))


def test_a_swin_unetr_that_a_config_names_itself_is_the_present_one_whatever_its_options():
    for options in ({"use_v2": True}, {"downsample": "mergingv2"}):
        assert backbone_of(SwinUNETR(1, 2, feature_size=12, **options)) is BACKBONES["swin_unetr"]
    assert all(backbone_of(swin_unetr(name)) is BACKBONES[name] for name in BACKBONES if name.startswith("swin"))


def test_the_default_network_is_told_which_backbone_a_file_is_for(tmp_path):
    file = saved(SWIN_ALONE["model_swinvit.pt"](swin_transformer().state_dict()), tmp_path)
    with pytest.raises(UserError, match=r"build the network it is for \(backbone swin_unetr_1_4, feature_size 12\)"):
        load_encoder(unetr(), file)
    found = inspect_weights(file)
    assert found["looks_like"] == "SwinTransformer of MONAI, the transformer of its SwinUNETR"
    assert found["sizes"] == {"backbone": "swin_unetr_1_4", "in_channels": 1, "feature_size": 12}


def test_weights_without_a_record_in_the_present_swin_unetr_are_warned_of(tmp_path, caplog):
    load_encoder(swin_unetr("swin_unetr"), saved(swin_unetr().state_dict(), tmp_path))
    assert "weights that it trained, as most that are published, are for backbone swin_unetr_1_4" in caplog.text


NNUNET = "no backbone here has its blocks: fine-tune it in nnU-Net, or pre-train --backbone dynunet, or leave the file"
FOREIGN = {
    "encoder.stages.0.blocks.0.conv1.conv.weight": ("a residual encoder of nnU-Net v2 or nnssl", NNUNET),
    "eva.blocks.0.attn.q_proj.weight": ("a Primus of nnssl", NNUNET),
    "module.backbone.down_tr64.ops.0.conv1.weight": ("a 3D U-Net of Models Genesis or SuPreM", "SuPreM's SwinUNETR"),
    "conv_blocks_context.0.blocks.0.conv.weight": ("a nnU-Net v1", "PlainConvUNet of nnU-Net v2 fits"),
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("backbone", ["unetr", "dynunet"])
def test_a_network_that_is_not_here_is_refused_by_name_with_what_to_do(name, backbone, tmp_path):
    file = saved({"network_weights": {name: torch.zeros(3, 3), f"{name}.2": torch.zeros(3)}}, tmp_path)
    dynunet = {"backbone": "dynunet", "img_size": 32, "out_channels": 2, "feature_size": 4}
    with pytest.raises(UserError) as error:
        load_encoder(unetr() if backbone == "unetr" else segmentation_network(**dynunet), file)
    for text in FOREIGN[name]:
        assert text in str(error.value)
    assert inspect_weights(file)["elsewhere"] in str(error.value)


def test_a_run_records_what_started_at_random_and_trains_it_at_the_full_rate(tmp_path):
    file = saved(ViTAutoEnc(1, 32, (16, 16, 16), **VIT).state_dict(), tmp_path)
    start = start_from(unetr(), file)
    assert start.encoder["at_random"] == ["encoder1", "encoder2", "encoder3", "encoder4"]
    slow, full = parameter_groups(start.network, learning_rate=1.0, encoder_factor=0.1, at_random=start.at_random)
    own = {id(p): name for name, p in start.network.named_parameters()}
    assert {own[id(p)].split(".")[0] for p in slow["params"]} == {"vit"}
    assert {"encoder1", "encoder4", "decoder5", "out"} <= {own[id(p)].split(".")[0] for p in full["params"]}
    assert start_from(unetr(), None).at_random == ()
