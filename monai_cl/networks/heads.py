"""The small perceptrons behind a backbone: the projection a contrastive loss sees, and BYOL's predictor."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn


def projection_head(sizes: Sequence[int], *, norm: bool = False) -> nn.Sequential:
    """Linear layers of ``sizes``, ReLU between and none after the last.

    Args:
        sizes: from the representation to the embedding: 256, 128, 64 for TinyNet and 512, 256, 128 for ResNet-18.
        norm: batch norm before each ReLU, as in BYOL. The paper's head has none; but BYOL's loss has no term that
            separates slices, and TinyNet, whose embeddings all start at cosine ≈ 1.000, stays there without it.

    Raises:
        ValueError: fewer than two sizes, or one below 1.
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"sizes must be at least two numbers >= 1, got {list(sizes)}")
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes[:-1]):
        layers += [nn.Linear(before, after), *([nn.BatchNorm1d(after)] if norm else []), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))


def predictor(features: int, *, hidden: int | None = None) -> nn.Sequential:
    """BYOL's predictor: Linear – batch norm – ReLU – Linear, from embedding to embedding.

    Args:
        features: size of the embedding.
        hidden: size of the layer between; None takes four times ``features``.

    Raises:
        ValueError: a size below 1.

    Source: Grill et al., "Bootstrap your own latent", NeurIPS 2020, §3.3.
    """
    hidden = 4 * features if hidden is None else hidden
    if features < 1 or hidden < 1:
        raise ValueError(f"features and hidden must be >= 1, got {features} and {hidden}")
    return nn.Sequential(
        nn.Linear(features, hidden), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), nn.Linear(hidden, features)
    )
