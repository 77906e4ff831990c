"""Two groups of parameters: the transferred encoder and the rest."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import UNETR

from monai_cl.engines import parameter_groups, segmentation_unetr
from monai_cl.errors import UserError

OPTIONS = {"in_channels": 1, "out_channels": 2, "img_size": 32, "feature_size": 4, "hidden_size": 12}
OPTIONS |= {"mlp_dim": 12, "num_heads": 2}


def names(network: torch.nn.Module, group: dict) -> set[str]:
    chosen = {id(parameter) for parameter in group["params"]}
    return {name.split(".")[0] for name, parameter in network.named_parameters() if id(parameter) in chosen}


def test_every_trainable_parameter_is_in_one_group():
    network = UNETR(**OPTIONS)
    network.out.requires_grad_(False)
    encoder, rest = parameter_groups(network, learning_rate=0.1, encoder_factor=0.5)
    assert (encoder["lr"], rest["lr"]) == (0.05, 0.1)
    assert names(network, encoder) == {"vit", "encoder1", "encoder2", "encoder3", "encoder4"}
    assert names(network, rest) == {"decoder2", "decoder3", "decoder4", "decoder5"}
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    assert len(encoder["params"]) + len(rest["params"]) == len(trained)


@pytest.mark.parametrize("factor", [0, -1, 1.5])
def test_a_factor_out_of_range_is_refused(factor):
    with pytest.raises(ValueError, match=rf"encoder_factor must be in \(0, 1\], got {factor}"):
        parameter_groups(UNETR(**OPTIONS), learning_rate=0.1, encoder_factor=factor)


@pytest.mark.parametrize("size", [50, 16, [32, 32, 40], [32, 32]])
def test_a_patch_size_that_unetr_cannot_take_is_the_users_error(size):
    with pytest.raises(UserError, match="patch_size must be three multiples of 16, at least 32"):
        segmentation_unetr(**{**OPTIONS, "img_size": size})


def test_the_smallest_patch_size_passes_a_forward():
    assert segmentation_unetr(**OPTIONS)(torch.rand(1, 1, 32, 32, 32)).shape == (1, 2, 32, 32, 32)
