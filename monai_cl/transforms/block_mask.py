"""Blocks of an image hidden from a network, which is to reconstruct them (masked image modelling)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from einops import rearrange, reduce, repeat
from torch import Tensor


def random_block_mask(rng: np.random.Generator, size: Sequence[int], *, block: int, ratio: float) -> Tensor:
    """Cubes that are hidden, drawn without repeats from a regular grid.

    Args:
        rng: where every draw comes from.
        size: H, W, D, multiples of ``block``.
        block: edge of a cube in voxels; UNETR's tokens have 16.
        ratio: share of the cubes, in (0, 1), rounded to at least one that is hidden and one that is seen.

    Returns:
        (H, W, D), True where hidden.

    Raises:
        ValueError: a size that the cubes do not fill, fewer than two cubes, or a ratio out of its range.

    Source: Xie et al., "SimMIM", CVPR 2022, section 3.2; He et al., "Masked autoencoders", CVPR 2022.
    """
    if block < 1 or any(edge % block for edge in size):
        raise ValueError(f"mask_block must divide the patch size {list(size)}, got {block}")
    if not 0 < ratio < 1:
        raise ValueError(f"mask_ratio must be in (0, 1), got {ratio}")
    grid = [edge // block for edge in size]
    count = int(np.prod(grid))
    if count < 2:
        raise ValueError(f"mask_block must leave at least two cubes in a patch of {list(size)}, got {block}")
    hidden = np.zeros(count, bool)
    hidden[rng.permutation(count)[: min(max(round(count * ratio), 1), count - 1)]] = True
    return repeat(
        torch.from_numpy(hidden.reshape(grid)), "h w d -> (h a) (w b) (d c)", a=block, b=block, c=block
    ).contiguous()


def hide(images: Tensor, hidden: Tensor) -> Tensor:
    """Images whose hidden voxels have the mean of the visible ones, so that no value gives the mask away as air.

    Args:
        images: (N, C, H, W, D).
        hidden: (N, H, W, D), True where hidden; in every image some voxels are visible.
    """
    where = rearrange(hidden, "n h w d -> n 1 h w d")
    visible = (~where).to(images.dtype)
    mean = reduce(images * visible, "n c h w d -> n c 1 1 1", "sum") / reduce(visible, "n c h w d -> n c 1 1 1", "sum")
    return torch.where(where, mean, images)
