"""Maps of an encoder pooled over the voxels that count, layer by layer, so that they add up to slices and scans."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d


def pool_layers(maps: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted sums of features over each layer of voxels.

    Every voxel has the features of the cell of the map it lies in; ``sums / totals`` is the weighted mean, of a layer,
    or of more of them once both are added up.

    Args:
        maps: (B, F, h, w, d), or (B, F, h, w) of slices.
        weights: (B, H, W, D) >= 0, or (B, H, W): how much each voxel of the input counts.

    Returns:
        ``sums`` (B, D, F) and ``totals`` (B, D), float64; D is 1 for slices.
    """
    if maps.ndim == 4:
        maps, weights = maps[..., None], weights[..., None]
    height, width, depth = maps.shape[2:]
    layers = weights.shape[-1]
    voxels = weights.shape[1] * weights.shape[2]
    # weight of each cell in each layer of voxels, (B, D, h, w)
    inside = adaptive_avg_pool2d(weights.permute(0, 3, 1, 2).to(maps.dtype), (height, width)) * (
        voxels / (height * width)
    )
    cell = torch.arange(layers, device=maps.device) * depth // layers
    sums = torch.zeros(len(maps), layers, maps.shape[1], dtype=torch.float64, device=maps.device)
    for number in range(depth):
        mine = cell == number
        sums[:, mine] = torch.einsum("bfhw,bkhw->bkf", maps[..., number], inside[:, mine]).double()
    return sums, inside.double().sum((2, 3))
