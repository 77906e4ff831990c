"""MixCL's three terms (Li, Quan, Zhou, arXiv 2203.02114): identity, label and reconstruction consistency."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from einops import rearrange, reduce
from torch import Tensor

from monai_cl.losses.mixcl.correlation import identity_correlation, identity_penalty
from monai_cl.losses.unit_vectors import at_least_float32, l2_normalize, no_autocast


class LevelIdentity(NamedTuple):
    """Identity consistency of one level; both fields are None where the level was left out."""

    term: Tensor | None
    correlation: Tensor | None


def identity_consistency_loss(
    z1: Tensor | Sequence[Tensor],
    z2: Tensor | Sequence[Tensor],
    *,
    offdiag_weight: float = 0.005,
    center: bool = False,
) -> Tensor:
    """``Σ_levels Σ_i (1 − C_ii)² + λ Σ_i Σ_{j≠i} C_ij²`` with C of :func:`identity_correlation` (MixCL, Eq. 4-5).

    Args:
        z1: projected features of view V1, (B, C, H, W, D), or a list of them, one per level.
        z2: projected features of view V1', the same shapes.
        offdiag_weight: λ; the paper gives no value, 0.005 is that of Barlow Twins.
        center: subtract each channel's mean first, which the paper does not.

    Returns:
        A scalar, float32 or better.

    Raises:
        ValueError: different shapes or numbers of levels, no level, a negative ``offdiag_weight``.
    """
    levels = identity_terms(z1, z2, offdiag_weight=offdiag_weight, center=center)
    return torch.stack([level.term for level in levels if level.term is not None]).sum()


def identity_terms(
    z1: Tensor | Sequence[Tensor],
    z2: Tensor | Sequence[Tensor],
    *,
    offdiag_weight: float = 0.005,
    center: bool = False,
    per_channel: bool = False,
    where: Sequence[Tensor | None] | None = None,
) -> list[LevelIdentity]:
    """Identity consistency level by level, with the matrices it came from.

    With ``per_channel`` (the ``balanced`` preset) a level's term is divided by its channel count C, so that wide
    levels do not drown narrow ones, and a level with fewer voxels (B·H·W·D) than channels is left out: C then has
    rank below its size and the penalty cannot fall below about ``λ (C²/n − C)``, whatever the network learns.

    Args:
        z1: projected features of view V1, (B, C, H, W, D), or a list of them, one per level.
        z2: projected features of view V1', the same shapes.
        offdiag_weight: λ; the paper gives no value, 0.005 is that of Barlow Twins.
        center: subtract each channel's mean first, which the paper does not.
        per_channel: divide by the channel count and leave out levels that are too small, see above.
        where: of each level the voxels that both views show, (B, 1, H, W, D) booleans, or None for all.

    Returns: One :class:`LevelIdentity` per level, in the order given.

    Raises:
        ValueError: as :func:`identity_consistency_loss`.
    """
    levels1, levels2 = _as_levels(z1), _as_levels(z2)
    if len(levels1) != len(levels2) or not levels1:
        raise ValueError(
            f"z1 and z2 must have the same number of levels, at least 1, got {len(levels1)} and {len(levels2)}"
        )
    require_weight("offdiag_weight", offdiag_weight)
    terms = []
    for a, b, counted in zip(levels1, levels2, where or [None] * len(levels1), strict=True):
        if per_channel and a.numel() < a.shape[1] ** 2:  # voxels < channels
            terms.append(LevelIdentity(None, None))
            continue
        correlation = identity_correlation(a, b, center=center, where=counted)
        term = identity_penalty(correlation, offdiag_weight=offdiag_weight)
        terms.append(LevelIdentity(term / a.shape[1] if per_channel else term, correlation))
    return terms


def label_consistency_loss(
    z1: Tensor,
    labels1: Tensor,
    z2: Tensor,
    labels2: Tensor,
    *,
    temperature: float = 0.1,
    background: int = 0,
    per_anchor: bool = False,
) -> Tensor:
    """``−log Σ_pos exp(cos/τ) / Σ_{pos ∪ neg} exp(cos/τ)`` over the voxel pairs of two patches (MixCL, Eq. 6).

    A pair (i of the first patch, j of the second) is positive when both carry the same foreground class and
    negative when their classes differ, foreground against background included; background-background pairs take
    no part. Without any positive pair the loss is 0, still attached to the graph. Computed in log space, in
    float32 or better.

    Args:
        z1: features of the voxels drawn from the first patch, (n1, C); normalised here.
        labels1: their class ids, (n1,).
        z2: features of the voxels drawn from the second patch, (n2, C).
        labels2: their class ids, (n2,).
        temperature: τ.
        background: the id of the background.
        per_anchor: instead of one ratio over all pairs, the mean of the ratios of those i that have a positive.

    Raises:
        ValueError: shapes that do not fit, ``temperature`` not above 0.
    """
    for name, z, labels in (("1", z1, labels1), ("2", z2, labels2)):
        if z.ndim != 2 or labels.shape != z.shape[:1]:
            raise ValueError(
                f"z{name} must be (n, C) and labels{name} (n,), got {tuple(z.shape)} and {tuple(labels.shape)}"
            )
    loss, _ = label_consistency_of_pairs(
        z1[None],
        labels1[None],
        z2[None],
        labels2[None],
        temperature=temperature,
        background=background,
        per_anchor=per_anchor,
    )
    return loss[0]


def label_consistency_of_pairs(
    z1: Tensor,
    labels1: Tensor,
    z2: Tensor,
    labels2: Tensor,
    *,
    valid1: Tensor | None = None,
    valid2: Tensor | None = None,
    temperature: float = 0.1,
    background: int = 0,
    per_anchor: bool = False,
) -> tuple[Tensor, Tensor]:
    """:func:`label_consistency_loss` of B pairs of patches at once; voxels are compared within a pair only.

    Args:
        z1: features of the voxels of the first patches, (B, n1, C).
        labels1: their class ids, (B, n1).
        z2: features of the voxels of the second patches, (B, n2, C).
        labels2: their class ids, (B, n2).
        valid1: (B, n1) booleans, False where an entry is padding; None: none is.
        valid2: (B, n2) booleans for the second patches.
        temperature: τ.
        background: class id of the background.
        per_anchor: as in :func:`label_consistency_loss`.

    Returns:
        The loss of each pair, (B,), and whether it had a positive, (B,) booleans. A pair without one has loss 0.

    Raises:
        ValueError: shapes that do not fit, ``temperature`` not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be > 0, got {temperature}")
    if z1.ndim != 3 or z2.ndim != 3 or z1.shape[0] != z2.shape[0] or z1.shape[2] != z2.shape[2]:
        raise ValueError(
            f"z1 and z2 must agree in batch size and channel count C, got {tuple(z1.shape)} and {tuple(z2.shape)}"
        )
    with no_autocast(z1):
        cosine = torch.einsum(
            "b i c, b j c -> b i j", l2_normalize(at_least_float32(z1)), l2_normalize(at_least_float32(z2))
        )
        logits = cosine / temperature
        rows, columns = rearrange(labels1, "b i -> b i 1"), rearrange(labels2, "b j -> b 1 j")
        positive = (rows == columns) & (rows != background)
        counted = positive | (rows != columns)
        for valid in (
            None if valid1 is None else rearrange(valid1, "b i -> b i 1"),
            None if valid2 is None else rearrange(valid2, "b j -> b 1 j"),
        ):
            if valid is not None:
                positive, counted = positive & valid, counted & valid
        has_positive = positive.flatten(1).any(dim=1)
        if per_anchor:
            anchors = positive.any(dim=2)
            ratios = log_ratio(logits, positive, counted, anchors)
            return ratios.sum(dim=1) / anchors.sum(dim=1).clamp(min=1), has_positive
        logits, positive, counted = (rearrange(x, "b i j -> b (i j)") for x in (logits, positive, counted))
        return log_ratio(logits, positive, counted, has_positive), has_positive


def reconstruction_loss(prediction: Tensor, clean: Tensor, *, where: Tensor | None = None) -> Tensor:
    """Mean squared error of the reconstructed patches against those before intensity augmentation (MixCL, Eq. 3).

    Args:
        prediction: (B, 1, H, W, D), of views V1, V1' and V2.
        clean: the patches after spatial and before intensity augmentation, the same shape.
        where: the voxels that count, boolean, the same shape; None: all. At least one is True.

    Raises:
        ValueError: shapes differ (they would broadcast silently).
    """
    if where is not None and where.shape != clean.shape:
        raise ValueError(f"where must have the shape of clean, {tuple(clean.shape)}, got {tuple(where.shape)}")
    if prediction.shape != clean.shape:
        raise ValueError(
            f"prediction and clean must have the same shape, got {tuple(prediction.shape)} and {tuple(clean.shape)}"
        )
    with no_autocast(prediction):
        difference = at_least_float32(prediction) - at_least_float32(clean)
        if where is None:
            return reduce(difference.square(), "... -> ", "mean")
        return torch.where(where, difference.square(), 0).sum() / where.sum()


def log_ratio(logits: Tensor, positive: Tensor, counted: Tensor, has_positive: Tensor) -> Tensor:
    """logsumexp(counted) − logsumexp(positive) over the last axis, 0 where there is no positive."""
    sums = []
    for members in (counted, positive):
        masked = logits.masked_fill(~members, -math.inf)
        # A row of only -inf has a nan gradient: give it finite numbers, its result is discarded below.
        sums.append(torch.logsumexp(torch.where(has_positive[..., None], masked, torch.zeros_like(masked)), dim=-1))
    return torch.where(has_positive, sums[0] - sums[1], torch.zeros_like(sums[0]))


def _as_levels(z: Tensor | Sequence[Tensor]) -> list[Tensor]:
    return [z] if isinstance(z, Tensor) else list(z)


def require_weight(name: str, value: float) -> None:
    """Refuse a weight of a loss that is negative or not finite, with a ``ValueError``."""
    if not (value >= 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be >= 0 and finite, got {value}")
