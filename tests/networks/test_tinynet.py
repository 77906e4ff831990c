"""TinyNet is the paper's: its size, its layers, the smallest slice it takes."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from monai_cl.errors import UserError
from monai_cl.networks import TinyNet, slice_encoder
from monai_cl.networks.tinynet import smallest_side


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parameters_are_counted_as_in_the_paper():
    assert parameters(TinyNet()) == 1_088_896
    assert parameters(slice_encoder("tinynet")) == 1_130_048


def test_is_five_convolutions_relus_and_poolings_then_a_mean():
    net = TinyNet()
    x = torch.randn(2, 1, 160, 156, generator=torch.Generator().manual_seed(0))
    y = x
    for k in range(5):
        conv = net.layers[3 * k]
        assert conv.weight.shape == ((16, 32, 64, 128, 256)[k], (1, 16, 32, 64, 128)[k], 5, 5)
        y = F.max_pool2d(F.relu(F.conv2d(y, conv.weight, conv.bias)), 2)
    torch.testing.assert_close(net(x), y.mean(dim=(2, 3)))


def test_weights_start_as_pytorchs_own():
    weight = TinyNet().layers[6].weight
    bound = 1 / math.sqrt(32 * 25)
    assert weight.abs().max() <= bound
    assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)


@pytest.mark.parametrize(("width", "channels"), [(0.5, 128), (0.25, 64), (2, 512)])
def test_width_scales_the_channels(width, channels):
    net = TinyNet(width=width)
    assert net.representation_size == channels
    assert net(torch.zeros(1, 1, 156, 156)).shape == (1, channels)


def test_neighbouring_slices_are_channels():
    assert TinyNet(in_channels=5)(torch.zeros(1, 5, 156, 156)).shape == (1, 256)


def test_156_pixels_are_enough_and_155_are_not():
    assert smallest_side() == 156
    assert TinyNet(width=1 / 16)(torch.zeros(1, 1, 156, 156)).shape == (1, 16)
    with pytest.raises(UserError, match=r"at least 156 × 156 pixels.*got 155 × 300; use larger slices"):
        TinyNet(width=1 / 16)(torch.zeros(1, 1, 155, 300))
    with pytest.raises(UserError, match="got 300 × 155"):
        TinyNet(width=1 / 16)(torch.zeros(1, 1, 300, 155))


def test_wrong_options_are_named():
    for bad in (0, 2, -1, 1.5):
        with pytest.raises(ValueError, match=rf"in_channels must be 1, or 2k \+ 1 for k neighbours.*got {bad}"):
            TinyNet(in_channels=bad)
    with pytest.raises(ValueError, match=r"width must leave at least one channel.*got 0.01"):
        TinyNet(width=0.01)
