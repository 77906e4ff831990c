"""Contrast between slices of one meta-label, in which pairs that do not agree yet weigh less.

After Peng, Wang, Desrosiers, Pedersoli, "Self-paced contrastive learning for semi-supervised medical image segmentation
with meta-labels", NeurIPS 2021, Eq. 1-4.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from monai_cl.losses.contrastive import log_probabilities, normalised_rows
from monai_cl.losses.kernels import log_same_label
from monai_cl.losses.unit_vectors import no_autocast

MODES = ("linear", "hard")


def self_paced_weight(loss: Tensor, gamma: float, mode: str = "linear") -> Tensor:
    """``argmin over w in [0, 1] of w·ℓ + R_γ(w)``: how much a pair counts, from its loss; without gradient.

    ``hard``: R = -γw, w = 1 where ℓ ≤ γ. ``linear``: R = γ(w²/2 - w), w = max(0, 1 - ℓ/γ).

    Args:
        loss: ℓ of each pair, any shape.
        gamma: γ, the pace, > 0; infinity gives 1 everywhere.
        mode: ``linear`` or ``hard``.

    Raises:
        ValueError: ``gamma`` not above 0, an unknown ``mode``.
    """
    _check_pace(gamma, mode)
    loss = loss.detach()
    if mode == "hard":
        return (loss <= gamma).to(loss.dtype)
    return (1 - loss / gamma).clamp(min=0)


def self_paced_minimum(loss: Tensor, gamma: float, mode: str = "linear") -> Tensor:
    """``F_γ(ℓ) = min over w in [0, 1] of w·ℓ + R_γ(w)``, whose derivative by ℓ is the weight.

    Args:
        loss: ℓ of each pair, any shape.
        gamma: γ, > 0 and finite.
        mode: ``linear`` or ``hard``, see :func:`self_paced_weight`.

    Raises:
        ValueError: ``gamma`` not above 0, an unknown ``mode``.
    """
    _check_pace(gamma, mode)
    if mode == "hard":
        return (loss - gamma).clamp(max=0)
    return -gamma / 2 * (1 - loss / gamma).clamp(min=0).square()


def self_paced_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    gamma: float,
    mode: str = "linear",
    temperature: float = 0.07,
    rescale: bool = False,
) -> tuple[Tensor, Tensor]:
    """``mean_i 1/|P(i)| Σ_{j in P(i)} w_ij ℓ_ij`` with ``ℓ_ij = -log softmax_j(z_i·z_j/τ)`` over all j ≠ i (Eq. 1-2).

    P(i) are the other views with the label of i; |P(i)| is their number, so that with w → 0 the loss fades. γ = ∞ is
    :func:`supcon_loss`. Anchors without a positive are not counted.

    Args:
        embeddings: V views of N slices, (N, V, F); normalised here.
        labels: one meta-label per slice, (N,) integers; the same number means the same class on every process. A
            negative number is a class of its own: the slice's other views are its only positives.
        gamma: γ. A perfect cluster still has ℓ ≥ log|P(i)|: below that no pair counts.
        mode: see :func:`self_paced_weight`.
        temperature: τ.
        rescale: divide by the mean weight of the positive pairs.

    Returns:
        the loss and the mean weight of the positive pairs (without gradient), scalars in float32 or float64.

    Raises:
        ValueError: as :func:`supcon_loss` and :func:`self_paced_weight`.
    """
    pairs = positive_pairs(embeddings, labels, gamma=gamma, mode=mode, temperature=temperature)
    return pairs.loss(rescale=rescale), pairs.mean_weight


@dataclass(frozen=True)
class PositivePairs:
    """The pairs of views with one meta-label, among all pairs (NV, NV) in the order ``rearrange("n v -> (n v)")``.

    Attributes:
        losses: ℓ_ij of the positive pairs, 0 elsewhere.
        weights: w_ij of the positive pairs without gradient, 0 elsewhere.
        shares: 1/|P(i)| on P(i), 0 elsewhere.
        positive: whether j is in P(i).
        counted: (NV,), whether anchor i has a positive.
    """

    losses: Tensor
    weights: Tensor
    shares: Tensor
    positive: Tensor
    counted: Tensor

    def loss(self, *, rescale: bool = False) -> Tensor:
        """The loss of :func:`self_paced_loss`, a scalar."""
        with no_autocast(self.losses):
            total = (self.shares * self.weights * self.losses).sum(dim=1).sum() / self.counted.sum().clamp(min=1)
            return total / torch.where(self.mean_weight > 0, self.mean_weight, 1) if rescale else total

    @property
    def mean_weight(self) -> Tensor:
        """Mean w over the positive pairs, a scalar; 0 where there is none."""
        return self.weights.sum() / self.positive.sum().clamp(min=1)


def positive_pairs(
    embeddings: Tensor, labels: Tensor, *, gamma: float, mode: str = "linear", temperature: float = 0.07
) -> PositivePairs:
    """ℓ and w of every positive pair; arguments and errors of :func:`self_paced_loss`.

    Args:
        embeddings: V views of N slices, (N, V, F).
        labels: (N,) integers.
        gamma: γ.
        mode: see :func:`self_paced_weight`.
        temperature: τ.
    """
    _check_pace(gamma, mode)
    log_p = log_probabilities(embeddings, temperature=temperature)
    if labels.shape != embeddings.shape[:1]:
        raise ValueError(f"labels must be ({embeddings.shape[0]},), one per slice, got {tuple(labels.shape)}")
    log_same = log_same_label(own_classes(labels.to(embeddings.device)), views=embeddings.shape[1])
    with no_autocast(embeddings):
        shares, counted = normalised_rows(log_same.to(log_p.dtype))  # 1/|P(i)| on P(i)
        positive = (shares > 0) & counted[:, None]
        losses = -torch.where(positive, log_p, 0)
        weights = torch.where(positive, self_paced_weight(losses, gamma, mode), 0)
        return PositivePairs(losses, weights, torch.where(positive, shares, 0), positive, counted)


def pace(progress: float, gamma: tuple[float, float], power: float = 0.5) -> float:
    """``γ = γ0 + (γ1 - γ0)(e/E)^p``.

    Args:
        progress: e/E, the part of the training that is done, in [0, 1].
        gamma: γ0 and γ1, > 0.
        power: p.
    """
    first, last = gamma
    return first + (last - first) * progress**power


def own_classes(labels: Tensor) -> Tensor:
    """Labels in which every negative one (not known) is a class that no other slice has."""
    unknown = -1 - torch.arange(len(labels), device=labels.device)
    return torch.where(labels < 0, unknown, labels)


def _check_pace(gamma: float, mode: str) -> None:
    if not gamma > 0:
        raise ValueError(f"gamma must be > 0, got {gamma}")
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
