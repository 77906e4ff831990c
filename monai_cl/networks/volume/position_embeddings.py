"""Position embeddings of a vision transformer for another size of its input."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import torch.nn.functional as F
from einops import rearrange
from monai.networks.nets import UNETR
from torch import Tensor

logger = logging.getLogger(__name__)

NAME = "vit.patch_embedding.position_embeddings"


def interpolate_positions(embeddings: Tensor, *, grid: Sequence[int], to: Sequence[int]) -> Tensor:
    """Embeddings of a grid of tokens, interpolated linearly for another grid over the same field of view.

    As done in 2-D by Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021, section 3.2.

    Args:
        embeddings: (1, h·w·d, C), row-major.
        grid: h, w, d.
        to: those of the result.

    Returns:
        (1, h'·w'·d', C); the same values for the same grid.

    Raises:
        ValueError: as many embeddings as the grid has not.
    """
    if embeddings.shape[1] != prod(grid):
        raise ValueError(f"expected {prod(grid)} embeddings for a grid {list(grid)}, got {embeddings.shape[1]}")
    if tuple(grid) == tuple(to):
        return embeddings
    h, w, d = grid
    volume = rearrange(embeddings, "1 (h w d) c -> 1 c h w d", h=h, w=w, d=d)
    resized = F.interpolate(volume.double(), size=tuple(to), mode="trilinear", align_corners=False)
    return rearrange(resized, "1 c h w d -> 1 (h w d) c").to(embeddings.dtype)


def fitted_positions(
    weights: Mapping[str, Tensor], network: UNETR, *, trained: Mapping[str, Any] | None, source: str
) -> dict[str, Tensor]:
    """Weights whose position embeddings fit a UNETR of another patch size; otherwise as they are.

    Args:
        weights: under the network's names.
        network: that takes them.
        trained: record of the file, whose network has ``img_size``; without it a cubic patch is assumed.
        source: the file, for the log.
    """
    embeddings = weights.get(NAME)
    to = [int(edge) for edge in network.feat_size]
    if embeddings is None or embeddings.ndim != 3:
        return dict(weights)
    sizes = (((trained or {}).get("network") or {}).get("arguments") or {}).get("img_size")
    edge = round(embeddings.shape[1] ** (1 / 3))
    grid = [edge] * 3 if sizes is None else [int(s) // p for s, p in zip(sizes, network.patch_size)]
    if grid == to or prod(grid) != embeddings.shape[1]:
        return dict(weights)
    if sizes is None and prod(to) == embeddings.shape[1]:  # not cubic, and as many: taken as they are
        return dict(weights)
    logger.info("%s: position embeddings interpolated from %s to %s patches", source, grid, to)
    return {**weights, NAME: interpolate_positions(embeddings, grid=grid, to=to)}
