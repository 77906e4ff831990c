"""TinyNet: five unpadded convolutions and a global average, small enough to train on a hundred patients (WSP)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from monai_cl.errors import UserError

CHANNELS = (16, 32, 64, 128, 256)
KERNEL = 5


def smallest_side(blocks: int = len(CHANNELS)) -> int:
    """Pixels a side that leave one pixel after ``blocks`` of a 5×5 convolution without padding and a pooling by 2."""
    side = 1
    for _ in range(blocks):
        side = 2 * side + KERNEL - 1
    return side


class TinyNet(nn.Module):
    """Five × (5×5 convolution, stride 1, no padding → ReLU → max-pool 2), then the average over the map.

    Without a norm, and with PyTorch's own initialisation: He's, which ResNet uses, made training collapse.

    Args:
        in_channels: 1, or 2k + 1 for a slice with k neighbours on either side.
        width: factor on the channels 16, 32, 64, 128, 256; at 1 there are 1,088,896 parameters.

    Attributes:
        representation_size: F, 256 at width 1.

    Raises:
        ValueError: an even ``in_channels``, a ``width`` that leaves no channel.

    Source: Sarfati et al., "Weakly-supervised positional contrastive learning", MICCAI 2023.
    """

    def __init__(self, *, in_channels: int = 1, width: float = 1.0) -> None:
        super().__init__()
        self.in_channels = odd_channels(in_channels)
        channels = [self.in_channels, *(round(c * width) for c in CHANNELS)]
        if min(channels[1:]) < 1:
            raise ValueError(f"width must leave at least one channel, width >= {1 / CHANNELS[0]}, got {width}")
        layers: list[nn.Module] = []
        for before, after in pairwise(channels):
            # ReLU and maximum can be swapped without changing a value; in this order ReLU has a quarter of the pixels
            layers += [nn.Conv2d(before, after, KERNEL), nn.MaxPool2d(2), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers)
        self.representation_size = channels[-1]

    def forward(self, images: Tensor) -> Tensor:
        """Representations (B, F) of images (B, C, H, W).

        Raises:
            UserError: images of fewer than 156 pixels per side: no pixel would be left.
        """
        if not torch.jit.is_scripting():
            _check_size(*images.shape[-2:])
        return self.layers(images).mean((-2, -1))  # TorchScript does not compile einops' reduce


def _check_size(height: int, width: int) -> None:
    if min(height, width) < smallest_side():
        raise UserError(
            f"TinyNet needs slices of at least {smallest_side()} × {smallest_side()} pixels (its five 5×5 "
            f"convolutions have no padding), got {height} × {width}; use larger slices or the resnet18 backbone"
        )


def odd_channels(in_channels: int) -> int:
    """``in_channels`` if it is 1 or 2k + 1: a slice and as many neighbours below it as above.

    Raises:
        ValueError: otherwise.
    """
    if int(in_channels) != in_channels or in_channels < 1 or in_channels % 2 == 0:
        raise ValueError(f"in_channels must be 1, or 2k + 1 for k neighbours on either side, got {in_channels}")
    return int(in_channels)
