"""Segmentation of slices from few labelled and many unlabelled scans: L_sup, and what the unlabelled ones add to it.

Entropy minimisation (Grandvalet and Bengio, NeurIPS 2004), mix-up (Zhang et al., ICLR 2018), consistency with a mean
teacher (Tarvainen and Valpola, NeurIPS 2017), discrete mutual information (Peng et al., IPMI 2021; its global part).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from monai_cl.losses.method_loss import DeclaredLoss, MethodLoss
from monai_cl.losses.options import check_number
from monai_cl.losses.segmentation import NOT_ANNOTATED
from monai_cl.losses.unit_vectors import at_least_float32, no_autocast

_SMOOTH = 1e-5


def slice_segmentation_loss(logits: Tensor, mask: Tensor, *, dice_weight: float = 0.0) -> Tensor:
    """Cross-entropy, and the soft Dice loss over the whole batch, of all classes, times ``dice_weight``.

    Args:
        logits: (B, C, H, W).
        mask: (B, H, W) integers in [0, C), or -100 for pixels that were not annotated: they take no part.
        dice_weight: weight of the soft Dice loss.

    Raises:
        ValueError: shapes that do not fit.
    """
    if logits.ndim != 4 or mask.shape != (logits.shape[0], *logits.shape[2:]):
        raise ValueError(f"mask must be (B, H, W) for logits (B, C, H, W), got {tuple(mask.shape)} and {logits.shape}")
    with no_autocast(logits):
        logits = at_least_float32(logits)
        annotated = mask != NOT_ANNOTATED
        mask = torch.where(annotated, mask, 0).long()
        errors = nn.functional.cross_entropy(logits, mask, reduction="none")
        total = torch.where(annotated, errors, 0).sum() / annotated.sum().clamp(min=1)
        if dice_weight:
            p = logits.softmax(dim=1) * annotated[:, None]
            truth = nn.functional.one_hot(mask, logits.shape[1]).movedim(-1, 1).to(p.dtype) * annotated[:, None]
            overlap, size = (p * truth).sum((0, 2, 3)), (p + truth).sum((0, 2, 3))
            total = total + dice_weight * (1 - (2 * overlap + _SMOOTH) / (size + _SMOOTH)).mean()
        return total


def prediction_entropy(logits: Tensor) -> Tensor:
    """``mean -Σ_c p log p`` over the pixels.

    Args:
        logits: (B, C, H, W).
    """
    with no_autocast(logits):
        log_p = at_least_float32(logits).log_softmax(dim=1)
        return -(log_p.exp() * log_p).sum(dim=1).mean()


def mix_up_loss(logits: Tensor, one: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """``t · CE(f, y) + (1 - t) · CE(f, y')``: cross-entropy with the mixed truth ``t y + (1 - t) y'``.

    Pixels of -100, which were not annotated, cost nothing.

    Args:
        logits: f of the mixed images, (B, C, H, W).
        one: y, (B, H, W) integers.
        other: y', likewise.
        share: t of each image, (B,).
    """
    with no_autocast(logits):
        logits, share = at_least_float32(logits), at_least_float32(share)
        errors = [nn.functional.cross_entropy(logits, y.long(), reduction="none").mean((1, 2)) for y in (one, other)]
        return (share * errors[0] + (1 - share) * errors[1]).mean()


def consistency_loss(probabilities: Tensor, expected: Tensor) -> Tensor:
    """``mean ‖p - q‖²`` over the pixels, the square summed over the classes.

    Args:
        probabilities: p, (B, C, H, W).
        expected: q, likewise; with gradient or without.
    """
    with no_autocast(probabilities):
        return (at_least_float32(probabilities) - at_least_float32(expected)).square().sum(dim=1).mean()


def mutual_information(one: Tensor, other: Tensor) -> Tensor:
    """I of the symmetrised joint distribution of two cluster assignments of the same slices, in nats.

    Args:
        one: probabilities of K clusters, (B, K).
        other: of the other views, likewise.

    Returns:
        A scalar in [0, log K].
    """
    with no_autocast(one):
        joint = at_least_float32(one).T @ at_least_float32(other) / len(one)
        joint = ((joint + joint.T) / 2).clamp(min=1e-12)
        return (joint * (joint.log() - joint.sum(0).log()[None] - joint.sum(1).log()[:, None])).sum()


class SliceSegmentationLoss(nn.Module):
    """:func:`slice_segmentation_loss` of the labelled slices (L_sup) of all processes: Dice is no mean over slices.

    Args:
        dice_weight: weight of the soft Dice loss; 0: cross-entropy alone.

    Raises:
        UserError: a weight below 0, or that is no finite number.
    """

    outputs, targets, gathers = ("logits",), ("mask",), True

    def __init__(self, *, dice_weight: float = 0.0) -> None:
        super().__init__()
        self.dice_weight = check_number("dice_weight", dice_weight, zero=True)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        return slice_segmentation_loss(logits, mask, dice_weight=self.dice_weight)


class EntropyLoss(nn.Module):
    """:func:`prediction_entropy` of the unlabelled slices."""

    outputs, targets, gathers = ("logits_unlabelled",), (), False

    def forward(self, logits: Tensor) -> Tensor:
        return prediction_entropy(logits)


class MixUpLoss(nn.Module):
    """:func:`mix_up_loss` of mixed labelled slices."""

    outputs, targets, gathers = ("logits_mixed",), ("mask", "mask_other", "mix_share"), False

    def forward(self, logits: Tensor, one: Tensor, other: Tensor, share: Tensor) -> Tensor:
        return mix_up_loss(logits, one, other, share)


class ConsistencyLoss(nn.Module):
    """:func:`consistency_loss` of the prediction for a turned slice and the turned prediction."""

    outputs, targets, gathers = ("probabilities", "expected"), (), False

    def forward(self, probabilities: Tensor, expected: Tensor) -> Tensor:
        return consistency_loss(probabilities, expected)


class MutualInformationLoss(nn.Module):
    """Minus the mean over the heads of :func:`mutual_information` between the clusters of a slice and of it turned."""

    outputs, targets, gathers = ("clusters", "clusters_turned"), (), True

    def forward(self, clusters: Tensor, turned: Tensor) -> Tensor:
        """Clusters (N, heads, K) of both, probabilities."""
        heads = zip(clusters.unbind(1), turned.unbind(1), strict=True)
        return -torch.stack([mutual_information(one, other) for one, other in heads]).mean()


class SummedLoss(nn.Module):
    """A weighted sum of losses, each fed by name with what it takes.

    Args:
        terms: losses, each a `DeclaredLoss`; those that gather see the samples of all processes.
        weights: one for each.

    Attributes:
        outputs, targets, gathers: see `DeclaredLoss`.
        factors: ``unlabelled``, of the weights of all terms but the first, see `monai_cl.engines.LossSchedule`.
        terms: name of the loss's class -> its value in the last call, before its weight.

    Raises:
        UserError: a weight below 0, or that is no finite number.
        ValueError: no term, other numbers of terms and weights.
    """

    gathers = False

    def __init__(self, terms: Sequence[DeclaredLoss], weights: Sequence[float]) -> None:
        super().__init__()
        if not terms or len(terms) != len(weights):
            raise ValueError(f"terms and weights must be as many, at least one, got {len(terms)} and {len(weights)}")
        self.members = nn.ModuleList([MethodLoss(term) for term in terms])
        self.weights = [check_number("weights, unlabelled_weight", weight, zero=True) for weight in weights]
        self.factors = {"unlabelled": 1.0} if any(self.weights[1:]) else {}
        self.outputs = tuple(dict.fromkeys(name for term in terms for name in term.outputs))
        self.targets = tuple(dict.fromkeys(name for term in terms for name in term.targets))
        self.terms: dict[str, Tensor] = {}

    def forward(self, *tensors: Tensor) -> Tensor:
        """The sum; tensors in the order of ``outputs`` and ``targets``."""
        outputs = dict(zip(self.outputs, tensors[: len(self.outputs)]))
        targets = dict(zip(self.targets, tensors[len(self.outputs) :], strict=True))
        self.terms = {str(member.name): member(outputs, targets) for member in self.members}
        first, *others = self.weights
        weights = [first, *(self.factors.get("unlabelled", 1.0) * weight for weight in others)]
        return torch.stack([w * term for w, term in zip(weights, self.terms.values(), strict=True)]).sum()
