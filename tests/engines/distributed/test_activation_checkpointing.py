"""Activation checkpointing: the same numbers to the last bit, fewer bytes kept for backward; refused elsewhere."""

from __future__ import annotations

import copy

import pytest
import torch
from monai.networks.nets import UNETR, BasicUNet, DynUNet
from torch import nn

from monai_cl.engines.distributed.activation_checkpointing import checkpoint_activations
from monai_cl.errors import UserError
from monai_cl.networks import MixCLNet, segmentation_network

UNETR_SIZE = {"hidden_size": 24, "mlp_dim": 48, "num_heads": 3}
NETWORKS = {
    "unetr": (32, lambda: segmentation_network(backbone="unetr", **_size(32, 4))),
    "swin_unetr": (64, lambda: segmentation_network(backbone="swin_unetr", **_size(64, 12))),
    "segresnet": (32, lambda: segmentation_network(backbone="segresnet", **_size(32, 8))),
    "dynunet": (32, lambda: segmentation_network(backbone="dynunet", **_size(32, 4))),
    "mixcl": (32, lambda: MixCLNet(img_size=32, feature_size=4, **UNETR_SIZE)),
    "dropout": (32, lambda: UNETR(1, 3, img_size=32, feature_size=4, dropout_rate=0.3, **UNETR_SIZE)),
}


def _size(side: int, features: int) -> dict:
    return {"in_channels": 1, "out_channels": 3, "img_size": (side,) * 3, "feature_size": features, **UNETR_SIZE}


def made(name: str) -> tuple[nn.Module, torch.Tensor]:
    side, make = NETWORKS[name]
    torch.manual_seed(0)
    network = make()
    return network, torch.randn(3 if name == "mixcl" else 1, 1, side, side, side)


def step(network: nn.Module, image: torch.Tensor) -> tuple[dict[str, torch.Tensor], int]:
    """Output and gradients by name, of one draw of the random numbers; bytes kept between forward and backward."""
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    torch.manual_seed(1)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = network(image)
        outputs = [*out["levels"], out["reconstruction"]] if isinstance(out, dict) else [out]
        size = sum(kept.values())
    torch.stack([x.square().mean() for x in outputs]).sum().backward()
    gradients = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    return {**gradients, **{f"output {k}": x.detach() for k, x in enumerate(outputs)}}, size


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n == "swin_unetr")) for n in NETWORKS])
def test_outputs_and_gradients_are_the_same_to_the_last_bit_with_less_kept(name):
    network, image = made(name)
    plain, kept = step(network, image)
    network, _ = made(name)
    names = list(network.state_dict())
    assert checkpoint_activations(network) > 4
    assert list(network.state_dict()) == names
    checkpointed, kept_then = step(network, image)
    assert checkpointed.keys() == plain.keys()
    for key, tensor in plain.items():
        assert torch.equal(checkpointed[key], tensor), key
    assert kept_then < 0.6 * kept


def test_a_copy_computes_with_its_own_weights():
    """A mean teacher and an average of the weights are copies."""
    network, image = made("unetr")
    checkpoint_activations(network)
    before = network(image)
    other = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert other(image).abs().max() == 0
    assert torch.equal(network(image), before)


def test_measures_may_take_the_gradient_of_parts_before_backward():
    plain, image = made("mixcl")
    network, _ = made("mixcl")
    checkpoint_activations(network)
    found = []
    for net in (plain, network):
        out = net(image)
        weights = list(net.encoder_parameters())
        first = torch.autograd.grad(out["levels"][0].square().mean(), weights, retain_graph=True, allow_unused=True)
        out["reconstruction"].square().mean().backward()
        found.append([*first, *(p.grad for p in net.parameters())])
    for one, other in zip(*found, strict=True):
        assert (one is None) == (other is None)
        assert one is None or torch.equal(one, other)


@pytest.mark.parametrize(
    ("network", "found"),
    [
        (BasicUNet(3, 1, 2, features=(4, 4, 4, 4, 4, 4)), "BasicUNet without such blocks"),
        (
            DynUNet(3, 1, 2, [3, 3, 3], [1, 2, 2], [2, 2], filters=[4, 4, 4], norm_name="batch"),
            "DynUNet with batch norm",
        ),
    ],
)
def test_a_network_that_it_would_change_or_not_help_is_refused(network, found):
    with pytest.raises(UserError, match=found):
        checkpoint_activations(network)
