"""What a pre-training trains: the encoder that is transferred under its own prefix, and a head; any version's names."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import nn

from monai_cl.engines import load_network
from monai_cl.networks import (
    BYOLNet,
    ProjectedEncoder,
    load_slice_encoder,
    projected_encoder,
    slice_encoder,
    slice_network,
)
from monai_cl.networks.earlier_names import current_names

SMALL = {"width": 1 / 16, "iterations": 10}


def backbone(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU())


def images(*lead: int) -> torch.Tensor:
    return torch.rand(*lead, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def test_it_computes_what_an_encoder_with_its_own_head_computes():
    whole = slice_encoder(backbone(), head=(6, 3))
    split = ProjectedEncoder(slice_encoder(backbone(), head=(6, 3)))
    split.head.load_state_dict(whole.head.state_dict())
    expected, found = whole(images(4, 2)), split(images(4, 2))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert torch.equal(split.represent(images(4, 2)), expected["representation"])


def test_what_is_transferred_lies_under_encoder_and_the_head_beside_it():
    net = projected_encoder(slice_encoder(backbone(), head=()), norm=True)
    assert {name.split(".")[0] for name in net.state_dict()} == {"encoder", "head"}
    assert [type(layer) for layer in net.head] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]
    assert [net.head[0].in_features, net.head[0].out_features, net.head[3].out_features] == [8, 4, 2]
    assert isinstance(net.encoder.head, nn.Identity)
    three = projected_encoder(slice_encoder(backbone(), head=()), (3,))
    assert [tuple(layer.weight.shape) for layer in three.head] == [(3, 8)]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_leaves_embeddings_in_float32(dtype):
    with torch.autocast("cpu", dtype=dtype):
        out = projected_encoder(slice_encoder(backbone(), head=()))(images(2))
    assert out["embedding"].dtype == out["representation"].dtype == torch.float32


def earlier(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict as version 0.1 wrote it, where a momentum encoder's follower was ``online``."""
    prefix = "online." if any(name.startswith("momentum.") for name in state) else ""

    def name(new: str) -> str:
        if new.startswith("momentum.target."):
            return new.replace(".encoder.", ".")
        return prefix + new.removeprefix("encoder.") if new.startswith(("encoder.", "head.")) else new

    return {name(new): tensor for new, tensor in state.items()}


@pytest.mark.parametrize("method", ["wsp", "byol"])
def test_state_dicts_of_earlier_versions_load_and_transfer(method, tmp_path):
    torch.manual_seed(0)
    source, target = slice_network(method, **SMALL), slice_network(method, **SMALL)
    before = earlier(source.state_dict())
    assert ("online.backbone.layers.0.weight" if method == "byol" else "backbone.layers.0.weight") in before
    assert before.keys() != source.state_dict().keys()
    target.load_state_dict(before)
    assert all(torch.equal(tensor, target.state_dict()[name]) for name, tensor in source.state_dict().items())
    assert current_names(before).keys() == source.state_dict().keys()
    assert current_names(source.state_dict()).keys() == source.state_dict().keys()
    for number, weights in enumerate((before, source.state_dict())):
        torch.save({"network": weights}, tmp_path / f"{number}.pt")
        encoder = slice_encoder("tinynet", width=SMALL["width"])
        load_slice_encoder(encoder, tmp_path / f"{number}.pt")
        assert all(
            torch.equal(t, source.encoder.state_dict()[n]) for n, t in encoder.state_dict().items() if n[0] != "h"
        )
        load_network(target, tmp_path / f"{number}.pt")


def test_what_is_unknown_or_missing_is_still_refused():
    net = slice_network("wsp", **SMALL)
    with pytest.raises(RuntimeError, match=r'Unexpected key\(s\) in state_dict: "more"'):
        net.load_state_dict({**earlier(net.state_dict()), "more": torch.zeros(1)})
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "encoder.mean"'):
        net.load_state_dict({name: tensor for name, tensor in earlier(net.state_dict()).items() if name != "mean"})


def test_each_method_of_earlier_configs_gets_its_network():
    wsp = slice_network("wsp", **SMALL)
    assert [type(layer) for layer in wsp.head] == [nn.Linear, nn.ReLU, nn.Linear]
    supervised = slice_network("supervised", classes=3, **SMALL)
    assert supervised(torch.rand(2, 1, 156, 156))["embedding"].shape == (2, 3)
    assert len(supervised.head) == 1
    byol = slice_network("byol", momentum=0.9, hidden=5, **SMALL)
    assert isinstance(byol, BYOLNet)
    assert isinstance(byol.online.head[1], nn.BatchNorm1d)
    assert (byol.momentum.momentum, byol.predictor[0].out_features) == (0.9, 5)
