"""One weighted contrastive loss; SimCLR, SupCon, depth-aware and WSP are its weights.

After Sarfati et al., "Weakly-supervised positional contrastive learning", MICCAI 2023, Eq. 4.
"""

from __future__ import annotations

import math

import torch
from einops import rearrange
from torch import Tensor, nn

from monai_cl.losses.kernels import log_near_position, log_same_label, log_same_slice
from monai_cl.losses.unit_vectors import at_least_float32, l2_normalize, no_autocast

REDUCTIONS = ("mean", "sum")


def weighted_contrastive_loss(
    embeddings: Tensor, weights: Tensor, *, temperature: float = 0.1, reduction: str = "mean"
) -> Tensor:
    """``mean_t − Σ_i w_ti log( exp(s_ti) / Σ_{j≠t} exp(s_tj) )`` with ``s = zᵀz/τ`` and the rows of w summing to 1.

    Args:
        embeddings: V views of N slices, (N, V, F); normalised here.
        weights: w ≥ 0, (N·V, N·V) in the order ``rearrange("n v f -> (n v) f")``. Its diagonal is ignored and its
            rows are normalised here. A row without weight contributes 0 and is not counted.
        temperature: τ.
        reduction: ``mean`` over the rows that count, or their ``sum`` (as the paper prints it).

    Returns:
        A scalar, float32 or better; 0, attached to the graph, where no row has weight.

    Raises:
        ValueError: shapes that do not fit, a negative or non-finite weight, ``temperature`` not above 0, an unknown
            ``reduction``.
    """
    size = _pairs(embeddings)
    if weights.shape != (size, size):
        raise ValueError(
            f"weights must be ({size}, {size}) for embeddings {tuple(embeddings.shape)}, got {tuple(weights.shape)}"
        )
    weights = at_least_float32(weights)
    if not bool(((weights >= 0) & torch.isfinite(weights)).all()):
        raise ValueError("weights must be >= 0 and finite")
    some = weights > 0
    log_weights = torch.where(some, weights, torch.ones_like(weights)).log().masked_fill(~some, -math.inf)
    return log_weighted_contrastive_loss(embeddings, log_weights, temperature=temperature, reduction=reduction)


def log_weighted_contrastive_loss(
    embeddings: Tensor, log_weights: Tensor, *, temperature: float = 0.1, reduction: str = "mean"
) -> Tensor:
    """:func:`weighted_contrastive_loss` of ``exp(log_weights)``, for weights too small for floating point.

    −inf is a weight of 0. Arguments, result and errors are otherwise the same.

    Args:
        embeddings: V views of N slices, (N, V, F); normalised to unit length here.
        log_weights: log w, (N·V, N·V), with −inf for a weight of 0; its diagonal is ignored, its rows are normalised
            here.
        temperature: τ.
        reduction: ``mean`` over the rows with weight, or their ``sum``.
    """
    size = _pairs(embeddings)
    if log_weights.shape != (size, size):
        raise ValueError(f"log_weights must be ({size}, {size}), got {tuple(log_weights.shape)}")
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction must be one of {', '.join(REDUCTIONS)}, got {reduction!r}")
    with no_autocast(embeddings):
        log_p = log_probabilities(embeddings, temperature=temperature)
        w, counted = normalised_rows(log_weights.to(torch.promote_types(log_weights.dtype, log_p.dtype)))
        w = w.to(log_p.dtype)
        # nan, from an invalid depth, is passed through: the loss must not hide it
        used = ~(w == 0) & counted[:, None]
        # Not w * log_p: the diagonal would be 0 · (−inf) = nan, in the gradient too.
        per_row = -(torch.where(used, w, 0) * torch.where(used, log_p, 0)).sum(dim=1)
        total = per_row.sum()
        return total if reduction == "sum" else total / counted.sum().clamp(min=1)


def log_probabilities(embeddings: Tensor, *, temperature: float) -> Tensor:
    """``log( exp(s_ti) / Σ_{j≠t} exp(s_tj) )`` of every pair of views, (N·V, N·V), −inf on the diagonal.

    Args:
        embeddings: (N, V, F); temperature: τ; both as :func:`weighted_contrastive_loss`.

    Raises:
        ValueError: embeddings that are not (N, V, F) with two views in all, ``temperature`` not above 0.
    """
    size = _pairs(embeddings)
    if not temperature > 0:
        raise ValueError(f"temperature must be > 0, got {temperature}")
    with no_autocast(embeddings):
        z = l2_normalize(at_least_float32(rearrange(embeddings, "n v f -> (n v) f")))
        itself = torch.eye(size, dtype=torch.bool, device=z.device)
        return torch.log_softmax((z @ z.T / temperature).masked_fill(itself, -math.inf), dim=1)


def normalised_rows(log_weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weights whose rows sum to 1, from logarithms whose diagonal is ignored.

    Args:
        log_weights: (NV, NV), −inf for none.

    Returns:
        the weights, (NV, NV), and which rows have any, (NV,); a row without has meaningless numbers.
    """
    itself = torch.eye(len(log_weights), dtype=torch.bool, device=log_weights.device)
    log_w = log_weights.masked_fill(itself, -math.inf)
    counted = torch.isfinite(log_w).any(dim=1)
    # A row of nothing but -inf has no softmax: give it finite numbers.
    return torch.softmax(torch.where(counted[:, None], log_w, torch.zeros_like(log_w)), dim=1), counted


def simclr_loss(embeddings: Tensor, *, temperature: float = 0.1, reduction: str = "mean") -> Tensor:
    """Attraction between the views of one slice only (Chen et al., ICML 2020).

    Args:
        embeddings: (N, V, F) with V ≥ 2; normalised to unit length here.
        temperature: τ.
        reduction: ``mean`` or ``sum``, as :func:`weighted_contrastive_loss`.

    Raises:
        ValueError: as :func:`weighted_contrastive_loss`, and for a single view, which has no positive.
    """
    _pairs(embeddings)
    slices, views = embeddings.shape[:2]
    if views < 2:
        raise ValueError(f"embeddings must hold at least 2 views of a slice, (N, V, F), got {tuple(embeddings.shape)}")
    log_weights = log_same_slice(slices, views, device=embeddings.device)
    return log_weighted_contrastive_loss(embeddings, log_weights, temperature=temperature, reduction=reduction)


def supcon_loss(embeddings: Tensor, labels: Tensor, *, temperature: float = 0.1, reduction: str = "mean") -> Tensor:
    """Attraction between all views of a class (Khosla et al., NeurIPS 2020).

    Args:
        embeddings: (N, V, F); normalised to unit length here.
        labels: class y of every slice, (N,).
        temperature: τ.
        reduction: ``mean`` or ``sum``, as :func:`weighted_contrastive_loss`.

    Raises:
        ValueError: as :func:`weighted_contrastive_loss`, and for labels that are not (N,).
    """
    labels = _per_slice("labels", labels, embeddings)
    log_weights = log_same_label(labels, views=embeddings.shape[1])
    return log_weighted_contrastive_loss(embeddings, log_weights, temperature=temperature, reduction=reduction)


def depth_aware_loss(
    embeddings: Tensor, positions: Tensor, *, sigma: float = 0.1, temperature: float = 0.1, reduction: str = "mean"
) -> Tensor:
    """Attraction by nearness along the body axis, ``w_ti = K_σ(d_t − d_i)`` (y-Aware, Dufumier et al., MICCAI 2021).

    Args:
        embeddings: (N, V, F); normalised to unit length here.
        positions: position d of every slice along the body axis, in [0, 1], (N,).
        sigma: σ, width of the Gaussian in the unit of d.
        temperature: τ.
        reduction: ``mean`` or ``sum``, as :func:`weighted_contrastive_loss`.

    Raises:
        ValueError: as :func:`weighted_contrastive_loss`, for positions that are not (N,), ``sigma`` not above 0.
    """
    positions = _per_slice("positions", positions, embeddings)
    log_weights = log_near_position(positions, views=embeddings.shape[1], sigma=sigma)
    return log_weighted_contrastive_loss(embeddings, log_weights, temperature=temperature, reduction=reduction)


def wsp_loss(
    embeddings: Tensor,
    labels: Tensor,
    positions: Tensor,
    *,
    sigma: float = 0.1,
    temperature: float = 0.1,
    reduction: str = "mean",
) -> Tensor:
    """Attraction by class and nearness, ``w_ti = 1[y_i = y_t] · K_σ(d_t − d_i)`` (WSP, Eq. 4).

    σ → ∞ is SupCon, σ → 0 with distinct depths SimCLR, a single class depth-aware, a class for every slice SimCLR.

    Args:
        embeddings: (N, V, F); normalised to unit length here.
        labels: class y of every slice, (N,).
        positions: position d of every slice along the body axis, in [0, 1], (N,).
        sigma: σ, width of the Gaussian in the unit of d.
        temperature: τ.
        reduction: ``mean`` or ``sum``, as :func:`weighted_contrastive_loss`.

    Raises:
        ValueError: as :func:`weighted_contrastive_loss`, for labels or positions that are not (N,), ``sigma`` not
            above 0.
    """
    labels, positions = _per_slice("labels", labels, embeddings), _per_slice("positions", positions, embeddings)
    views = embeddings.shape[1]
    log_weights = log_same_label(labels, views=views) + log_near_position(positions, views=views, sigma=sigma)
    return log_weighted_contrastive_loss(embeddings, log_weights, temperature=temperature, reduction=reduction)


class SimCLRLoss(nn.Module):
    """:func:`simclr_loss` with its hyper-parameters; called with embeddings (N, V, F).

    Args:
        temperature: τ.
        reduction: ``mean`` or ``sum``, as :func:`weighted_contrastive_loss`.
    """

    outputs, targets, gathers = ("embedding",), (), True

    def __init__(self, *, temperature: float = 0.1, reduction: str = "mean") -> None:
        super().__init__()
        self.options = _options(temperature=temperature, reduction=reduction)

    def forward(self, embeddings: Tensor) -> Tensor:
        return simclr_loss(embeddings, **self.options)


class SupConLoss(nn.Module):
    """:func:`supcon_loss` with its hyper-parameters; called with embeddings (N, V, F) and labels (N,).

    Args:
        temperature: τ.
        reduction: ``mean`` or ``sum``, as :func:`weighted_contrastive_loss`.
    """

    outputs, targets, gathers = ("embedding",), ("label",), True

    def __init__(self, *, temperature: float = 0.1, reduction: str = "mean") -> None:
        super().__init__()
        self.options = _options(temperature=temperature, reduction=reduction)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        return supcon_loss(embeddings, labels, **self.options)


class DepthAwareLoss(nn.Module):
    """:func:`depth_aware_loss` with its hyper-parameters; called with embeddings (N, V, F) and positions (N,).

    Args:
        sigma: σ, width of the Gaussian in the unit of d.
        temperature: τ.
        reduction: ``mean`` or ``sum``, as :func:`weighted_contrastive_loss`.
    """

    outputs, targets, gathers = ("embedding",), ("depth",), True

    def __init__(self, *, sigma: float = 0.1, temperature: float = 0.1, reduction: str = "mean") -> None:
        super().__init__()
        self.options = _options(sigma=sigma, temperature=temperature, reduction=reduction)

    def forward(self, embeddings: Tensor, positions: Tensor) -> Tensor:
        return depth_aware_loss(embeddings, positions, **self.options)


class WSPLoss(nn.Module):
    """:func:`wsp_loss` with its hyper-parameters; called with embeddings (N, V, F), labels (N,), positions (N,).

    Args:
        sigma: σ, width of the Gaussian in the unit of d.
        temperature: τ.
        reduction: ``mean`` or ``sum``, as :func:`weighted_contrastive_loss`.
    """

    outputs, targets, gathers = ("embedding",), ("label", "depth"), True

    def __init__(self, *, sigma: float = 0.1, temperature: float = 0.1, reduction: str = "mean") -> None:
        super().__init__()
        self.options = _options(sigma=sigma, temperature=temperature, reduction=reduction)

    def forward(self, embeddings: Tensor, labels: Tensor, positions: Tensor) -> Tensor:
        return wsp_loss(embeddings, labels, positions, **self.options)


def _options(*, temperature: float, reduction: str, **sigma: float) -> dict:
    """Hyper-parameters, checked when a config is read, not at the first batch."""
    for name, value in (("temperature", temperature), *sigma.items()):
        if not value > 0:
            raise ValueError(f"{name} must be > 0, got {value}")
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction must be one of {', '.join(REDUCTIONS)}, got {reduction!r}")
    return {"temperature": temperature, "reduction": reduction, **sigma}


def _pairs(embeddings: Tensor) -> int:
    """N·V, of which a contrast needs two."""
    if embeddings.ndim != 3 or embeddings.shape[0] * embeddings.shape[1] < 2:
        raise ValueError(f"embeddings must be (N, V, F) with N·V >= 2, got {tuple(embeddings.shape)}")
    return embeddings.shape[0] * embeddings.shape[1]


def _per_slice(name: str, values: Tensor, embeddings: Tensor) -> Tensor:
    _pairs(embeddings)
    if values.shape != embeddings.shape[:1]:
        raise ValueError(f"{name} must be ({embeddings.shape[0]},), one per slice, got {tuple(values.shape)}")
    return values.to(embeddings.device)
