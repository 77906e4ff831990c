"""A small 3D network with dense connections, for volumes of few thick slices such as head CT."""

from __future__ import annotations

import torch
from torch import Tensor, nn

GROWTH = 7
UNITS = (1, 2, 3, 3, 3)
KERNELS = ((1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3))
POOLS = ((1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2), None)
_SLOPE = 0.01


class DenseUnit(nn.Module):
    """Convolution, batch norm and LeakyReLU, whose outputs are concatenated to the input: (B, C, …) to (B, C + G, …).

    Args:
        channels: C.
        growth: G.
        kernel: odd edges along D, H and W.
    """

    def __init__(self, channels: int, growth: int, kernel: tuple[int, int, int]) -> None:
        super().__init__()
        self.layers = _convolution(channels, growth, kernel)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.layers(x)], dim=1)


class DenseEncoder3d(nn.Module):
    """Volumes (B, C, D, H, W) to representations (B, 1024): five dense blocks, then max and mean over all voxels.

    A stem with 16 channels, blocks of 1, 2, 3, 3 and 3 units with 7 new channels each and no compression between them;
    the first two see single slices. After the blocks there are 23, 37, 58, 79 and 100 channels; a convolution of 1
    voxel makes 512 of them. 167,480 parameters for one input channel; no bias before batch norm, He initialisation.

    Args:
        in_channels: C.
        features: channels that are pooled; the representation has twice as many.

    Raises:
        ValueError: a number below 1; from a call, volumes that are smaller than (4, 16, 16) voxels.

    Source: Ghesu et al., "Self-supervised learning from 100 million medical images", arXiv 2201.01283, section 4.3;
    pooling between the blocks and to the end is a choice, see docs/deviations.md.
    """

    def __init__(self, *, in_channels: int = 1, features: int = 512) -> None:
        super().__init__()
        if in_channels < 1 or features < 1:
            raise ValueError(f"in_channels and features must be >= 1, got {in_channels} and {features}")
        channels = 16
        self.stem = _convolution(in_channels, channels, (1, 3, 3))
        self.blocks, self.pools = nn.ModuleList(), nn.ModuleList()
        self.channels: list[int] = []
        for units, kernel, pool in zip(UNITS, KERNELS, POOLS, strict=True):
            self.blocks.append(nn.Sequential(*(DenseUnit(channels + GROWTH * k, GROWTH, kernel) for k in range(units))))
            self.pools.append(nn.Identity() if pool is None else nn.MaxPool3d(pool))
            channels += GROWTH * units
            self.channels.append(channels)
        self.last = _convolution(channels, features, (1, 1, 1))
        self.representation_size = 2 * features
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, a=_SLOPE)

    def maps(self, volumes: Tensor) -> list[Tensor]:
        """The outputs of the five blocks, before pooling.

        Args:
            volumes: (B, C, D, H, W).

        Returns:
            (B, 23, D, H, W), (B, 37, D, H/2, W/2), (B, 58, D, H/4, W/4), (B, 79, D/2, H/8, W/8) and
            (B, 100, D/4, H/16, W/16), edges rounded down.
        """
        # spelled out for TorchScript
        if volumes.ndim != 5 or volumes.shape[2] < 4 or volumes.shape[3] < 16 or volumes.shape[4] < 16:
            raise ValueError(f"volumes must be (B, C, D, H, W) of at least (4, 16, 16) voxels, got {volumes.shape}")
        x, maps = self.stem(volumes), []
        for block, pool in zip(self.blocks, self.pools):
            x = block(x)
            maps.append(x)
            x = pool(x)
        return maps

    def pooled(self, last_map: Tensor) -> Tensor:
        """The representation (B, 2F) from the output of block 5."""
        x = self.last(last_map)
        return torch.cat([x.amax((2, 3, 4)), x.mean((2, 3, 4))], dim=1)

    def forward(self, volumes: Tensor) -> Tensor:
        return self.pooled(self.maps(volumes)[-1])


def _convolution(inputs: int, outputs: int, kernel: tuple[int, int, int]) -> nn.Sequential:
    depth, height, width = kernel
    return nn.Sequential(
        nn.Conv3d(inputs, outputs, kernel, padding=(depth // 2, height // 2, width // 2), bias=False),
        nn.BatchNorm3d(outputs),
        nn.LeakyReLU(_SLOPE, inplace=True),
    )
