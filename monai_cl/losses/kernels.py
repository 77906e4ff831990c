"""Who attracts whom: the weights of the contrastive losses, as logarithms.

A weight is a product of conditions and kernels, so its logarithm is a sum: WSP is "same label" + "near in depth".
Logarithms also keep a narrow kernel alive: exp(−x²/2σ²) is 0 in floating point beyond a few σ, its logarithm is not.
All matrices are (N·V, N·V) in the order ``rearrange("n v -> (n v)")``, with an arbitrary diagonal.
"""

from __future__ import annotations

import math

import torch
from einops import rearrange, repeat
from torch import Tensor

from monai_cl.losses.unit_vectors import at_least_float32


def log_gaussian_kernel(x: Tensor, *, sigma: float) -> Tensor:
    """``log K_σ(x) = −x²/2σ²``, float32 or better.

    Args:
        x: distances, of any shape.
        sigma: σ, the kernel's width in the unit of ``x``.

    Raises:
        ValueError: ``sigma`` not above 0 (infinity is allowed: a weight of 1 everywhere).
    """
    if not sigma > 0:
        raise ValueError(f"sigma must be > 0, got {sigma}")
    return -(at_least_float32(x) / sigma).square() / 2


def log_same_slice(slices: int, views: int, *, device: torch.device | None = None) -> Tensor:
    """0 between the views of one slice, −inf between slices (SimCLR).

    Args:
        slices: N, number of slices.
        views: V, views of every slice.
        device: where the (N·V, N·V) result is made; None: torch's default.
    """
    return log_same_label(torch.arange(slices, device=device), views=views)


def log_same_label(labels: Tensor, *, views: int) -> Tensor:
    """0 where ``y_i = y_t``, −inf elsewhere (SupCon).

    Args:
        labels: y, one per slice, (N,).
        views: V.
    """
    y = repeat(labels, "n -> (n v)", v=views)
    same = rearrange(y, "t -> t 1") == rearrange(y, "i -> 1 i")
    return torch.zeros(same.shape, device=same.device).masked_fill(~same, -math.inf)


def log_near_position(positions: Tensor, *, views: int, sigma: float) -> Tensor:
    """``log K_σ(d_t − d_i)`` (depth-aware).

    Args:
        positions: d, the depth of each slice in [0, 1], (N,).
        views: V.
        sigma: width of the kernel in the unit of ``positions``, > 0.
    """
    d = repeat(at_least_float32(positions), "n -> (n v)", v=views)
    return log_gaussian_kernel(rearrange(d, "t -> t 1") - rearrange(d, "i -> 1 i"), sigma=sigma)
