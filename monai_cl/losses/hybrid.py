"""Clustering beside whatever labels there are: the sum of both losses (Ghesu et al., Eq. 5-7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from monai_cl.losses.method_loss import DeclaredLoss
from monai_cl.losses.unit_vectors import at_least_float32, no_autocast
from monai_cl.processes import world_size

# head of the network -> key of the batch
LABELS = {"target": "label", "findings": "findings", "slice_findings": "slice_findings"}
MEANS = ("all", "labelled")


def known_label_losses(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of each sample, of what is known of it.

    Args:
        logits: (N, C): of C classes, of one class against the other (C = 1), or of C findings or slices, each by
            itself.
        labels: classes (N,) in [0, C), or findings or slices (N, C) of 0 and 1; negative: not known.

    Returns:
        (N,) mean over the sample's known entries, 0 where none is known; and (N,) whether one is known.

    Raises:
        ValueError: shapes that do not fit.
    """
    classes = logits.shape[-1]
    if logits.ndim != 2 or labels.shape not in ((len(logits),), tuple(logits.shape)):
        raise ValueError(
            f"labels must be (N,) or (N, C) for logits (N, C), got {tuple(labels.shape)} and {tuple(logits.shape)}"
        )
    with no_autocast(logits):
        logits, known = at_least_float32(logits), labels >= 0
        if labels.ndim == 1 and classes > 1:
            errors = nn.functional.cross_entropy(logits, labels.clamp(min=0).long(), reduction="none")
            return torch.where(known, errors, 0), known
        known, truth = known.reshape(logits.shape), labels.clamp(min=0).reshape(logits.shape).to(logits.dtype)
        errors = nn.functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
        return torch.where(known, errors, 0).sum(dim=1) / known.sum(dim=1).clamp(min=1), known.any(dim=1)


class HybridLoss(nn.Module):
    """``1/N Σ_k α L_ss(x_k) + 1[labelled] β L_sup(x_k)``, L_sup the sum over the heads of their cross-entropies.

    Called with what ``clustering`` takes, and for each head its logits, ``logits_<head>``, and the batch's labels.

    Args:
        clustering: L_ss, such as `ModalityClusteringLoss`.
        heads: of the network that labels teach: of ``target``, ``findings`` and, of whole scans, ``slice_findings``.
        alpha: α.
        beta: β.
        supervised_mean: ``all`` divides the sum of L_sup by N, as printed: few labels have little weight. ``labelled``
            divides each head's by the number of samples that it knows, of all processes.

    Attributes:
        outputs, targets, gathers: see `DeclaredLoss`.
        factors: of α, ``clustering``, and of β, ``supervised``, see `monai_cl.engines.LossSchedule`.
        diagnostics: of ``clustering``, and for each head ``loss_<head>``, the mean over its known samples (nan
            where there is none), and ``labelled_<head>``, their share.

    Raises:
        ValueError: an unknown head or mean, a negative weight.
    """

    gathers = False
    batchwise = "clustering compares the samples of a batch"

    def __init__(
        self,
        clustering: DeclaredLoss,
        *,
        heads: Sequence[str] = ("target",),
        alpha: float = 1.0,
        beta: float = 1.0,
        supervised_mean: str = "all",
    ) -> None:
        super().__init__()
        unknown = [head for head in heads if head not in LABELS]
        if unknown:
            raise ValueError(f"heads must be among {', '.join(LABELS)}, got {unknown[0]!r}")
        if supervised_mean not in MEANS:
            raise ValueError(f"supervised_mean must be one of {', '.join(MEANS)}, got {supervised_mean!r}")
        if not (alpha >= 0 and beta >= 0):
            raise ValueError(f"alpha and beta must be >= 0, got {alpha} and {beta}")
        self.clustering, self.heads = clustering, tuple(heads)
        self.alpha, self.beta, self.supervised_mean = float(alpha), float(beta), supervised_mean
        self.factors = {name: 1.0 for name, weight in (("clustering", alpha), ("supervised", beta)) if weight > 0}
        self.outputs = (*clustering.outputs, *(f"logits_{head}" for head in heads))
        self.targets = (*clustering.targets, *(LABELS[head] for head in heads))
        self.diagnostics: dict[str, Tensor] = {}

    def forward(self, *tensors: Tensor) -> Tensor:
        """The loss of a batch, a scalar; ``tensors`` are ``outputs``, then ``targets``."""
        outputs, targets = tensors[: len(self.outputs)], tensors[len(self.outputs) :]
        own_outputs, own_targets = len(self.clustering.outputs), len(self.clustering.targets)
        alpha, beta = (
            weight * self.factors.get(name, 1.0)
            for name, weight in (("clustering", self.alpha), ("supervised", self.beta))
        )
        total = alpha * self.clustering(*outputs[:own_outputs], *targets[:own_targets])
        self.diagnostics = dict(getattr(self.clustering, "diagnostics", {}))
        for head, logits, labels in zip(self.heads, outputs[own_outputs:], targets[own_targets:]):
            errors, known = known_label_losses(logits, labels)
            count = known.sum()
            self.diagnostics[f"labelled_{head}"] = count / len(known)
            self.diagnostics[f"loss_{head}"] = errors.detach().sum() / count  # of none: nan, which no mean counts
            # of "labelled" the mean over the processes is that of one by their mean number of labelled samples
            divisor = len(known) if self.supervised_mean == "all" else _samples(count)
            total = total + beta * errors.sum() / divisor
        return total

    def after_step(self) -> None:
        """Pass on that the optimiser has stepped."""
        if hasattr(self.clustering, "after_step"):
            self.clustering.after_step()


class KnownLabelsLoss(nn.Module):
    """Sum over the heads of the mean of `known_label_losses` over samples of which a label is known, of all processes.

    Called with a network's outputs and a batch's labels, both by the head's name, such as ``target`` (B, 1) and (B,),
    ``findings`` (B, n), ``slice_findings`` (B, D). A head of whose labels none is known costs nothing.

    Args:
        weights: of the heads; 1 for those that are not named.

    Attributes:
        batchwise: see `monai_cl.engines.accumulated_step`; with `whole_batch`, parts may differ in what is known.
        diagnostics: of the last call: ``loss_<head>``, and ``labelled_<head>``, the share of this process's samples of
            which a label is known.

    Raises:
        ValueError: from a call: no head with labels, or labels that do not fit.

    Source: Ghesu et al., "Self-supervised learning from 100 million medical images", arXiv 2201.01283, Eq. 6.
    """

    batchwise = ""

    def __init__(self, *, weights: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self.weights = dict(weights or {})
        self.diagnostics: dict[str, Tensor] = {}

    def whole_batch(self, labels: Mapping[str, Tensor], parts: int) -> dict[str, Any]:
        """What `forward` is told of a batch that comes in parts: the mean of their losses is then that of the batch.

        Args:
            labels: of the whole batch.
            parts: their number.
        """
        known = {name: (own >= 0).flatten(1).any(dim=1) if own.ndim > 1 else own >= 0 for name, own in labels.items()}
        return {"divisors": {name: _samples(own.sum()) / parts for name, own in known.items()}}

    def forward(
        self,
        outputs: Mapping[str, Tensor],
        labels: Mapping[str, Tensor],
        *,
        divisors: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """The loss of a batch, a scalar.

        Args:
            outputs: of the heads, see the class.
            labels: likewise.
            divisors: of each head, by what its sum over the samples is divided, from `whole_batch`; None: by the number
                of those of which a label is known.
        """
        heads = [name for name in outputs if name in labels]
        if not heads:
            raise ValueError(f"expected labels of {', '.join(outputs)}, got {', '.join(labels) or 'none'}")
        self.diagnostics, terms = {}, []
        for name in heads:
            errors, known = known_label_losses(outputs[name], labels[name])
            divisor = _samples(known.sum()) if divisors is None else divisors[name]
            value = errors.sum() / divisor.to(errors.dtype)
            terms.append(self.weights.get(name, 1.0) * value)
            self.diagnostics |= {f"loss_{name}": value.detach(), f"labelled_{name}": known.float().mean()}
        return torch.stack(terms).sum()


def _samples(count: Tensor) -> Tensor:
    """Labelled samples, the mean of the processes; 1 where there is none."""
    count = count.float()
    if world_size() > 1:
        dist.all_reduce(count)
        count = count / world_size()
    return torch.where(count > 0, count, 1)
