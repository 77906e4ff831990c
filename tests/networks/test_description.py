"""The description of a network is read from the network, so that it is true of whatever was built."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import UNETR

from monai_cl.networks import MixCLNet, describe_network, projected_encoder, slice_encoder, slice_representation

SIZES = {"feature_size": 4, "hidden_size": 24, "mlp_dim": 36, "num_heads": 3}


@pytest.mark.parametrize("edges", [(32, 32, 32), (32, 48, 64)])
def test_the_arguments_of_a_unetr_build_it_again(edges):
    made = describe_network(UNETR(in_channels=2, out_channels=5, img_size=edges, **SIZES))
    assert made["class"] == "monai.networks.nets.unetr.UNETR"
    assert made["arguments"] == {"in_channels": 2, "out_channels": 5, "img_size": list(edges), **SIZES}


def test_of_a_pretraining_it_is_the_network_that_is_transferred():
    made = describe_network(MixCLNet(img_size=32, **SIZES))
    assert made["class"] == "monai_cl.networks.mixcl_net.MixCLNet"
    assert made["arguments"] == {"in_channels": 1, "out_channels": 1, "img_size": [32, 32, 32], **SIZES}
    encoder = slice_encoder(width=0.125, in_channels=3, head=())
    arguments = {"backbone": "tinynet", "in_channels": 3, "width": 0.125}
    for network in (encoder, projected_encoder(encoder), slice_representation(width=0.125, in_channels=3)):
        assert describe_network(network)["arguments"] == arguments


def test_of_another_network_the_class_is_known():
    assert describe_network(torch.nn.Linear(2, 2)) == {"class": "torch.nn.modules.linear.Linear", "arguments": {}}
