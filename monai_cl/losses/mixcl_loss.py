"""MixCL's total loss (Eq. 2), ``L = L_id + α L_label + β L_recon (+ γ L_sup)``, from one forward of V1, V1' and V2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from monai_cl.losses.clustering import SwappedPredictionLoss
from monai_cl.losses.correlation import aligned_features
from monai_cl.losses.mixcl import identity_terms, label_consistency_of_pairs, reconstruction_loss, require_weight
from monai_cl.losses.segmentation import supervised_loss
from monai_cl.mixcl_views import COUNT, NAMES, PairViews, unstack

TERMS = ("identity", "label", "reconstruction", "supervised")
CLUSTERING = "clustering"
"""The term that `MixCLLoss` has beside these, with a queue that outlives a step."""


@dataclass(frozen=True, kw_only=True)
class MixCLOptions:
    """Which levels, voxels and classes the terms take, and how; keyword arguments of `mixcl_terms` and `MixCLLoss`.

    Args:
        offdiag_weight: λ of the identity term.
        center: subtract each channel's mean in the identity term first.
        identity_levels: indices of the levels the identity term takes; None: all.
        identity_per_channel: divide each level by its channel count, leave out levels with fewer voxels than
            channels, see `identity_terms`.
        label_level: index of the level whose voxels are compared ("the 2-nd layer").
        temperature: τ of the label term.
        background: class id of the background in the label term.
        per_anchor: as in `label_consistency_loss`.
        class_counts: C_k of every data set, background included; the supervised term needs it.

    Raises:
        ValueError: a negative λ, or τ not above 0.
    """

    offdiag_weight: float = 0.005
    center: bool = False
    identity_levels: Sequence[int] | None = None
    identity_per_channel: bool = False
    label_level: int = 1
    temperature: float = 0.1
    background: int = 0
    per_anchor: bool = False
    class_counts: Sequence[int] | None = None

    def __post_init__(self) -> None:
        require_weight("offdiag_weight", self.offdiag_weight)
        if not self.temperature > 0:
            raise ValueError(f"temperature must be > 0, got {self.temperature}")


def mixcl_terms(
    outputs: Mapping[str, Tensor | Sequence[Tensor]],
    targets: Mapping[str, Tensor],
    *,
    terms: Sequence[str] = ("identity", "label", "reconstruction"),
    diagnostics: dict[str, Tensor] | None = None,
    **options: Any,
) -> dict[str, Tensor]:
    """The unweighted terms of MixCL's total, attached to the graph; only those named in ``terms`` are computed.

    The rows of a network's output are those of its input: B pairs of patches (P1, P2), stacked as `PairViews`.

    Args:
        outputs: ``levels``: a list of projected features, each (2B, C, h, w, d), the label level (3B, C, h, w, d);
            ``reconstruction``: (3B, 1, H, W, D); ``segmentation``: (3B, sum C_k, H, W, D).
        targets: ``clean``: (3B, 1, H, W, D), before intensity augmentation; ``labels``: (2B, 1, H, W, D), P1 then
            P2; ``voxels1``, ``voxels2``: (B, K) flat row-major indices into the grid of the label level, −1 is
            padding; ``voxel_labels1``, ``voxel_labels2``: (B, K) their classes; ``dataset``: (B,). Optional:
            ``hidden``: (B, 1, H, W, D), where V1' hides voxels, which alone are then reconstructed; ``back``:
            (B, 3, 4), where V1' shows P1 moved, the way back, see `aligned_features`.
        terms: names among ``identity``, ``label``, ``reconstruction``, ``supervised``.
        diagnostics: filled, where given, with detached scalars: per level ``identity/<l>``,
            ``identity_diagonal/<l>`` (mean C_ii) and ``identity_offdiagonal/<l>`` (mean |C_ij|, j ≠ i), and
            ``label_positive_share``, the share of pairs that had a positive voxel pair.
        options: those of `MixCLOptions`.

    Returns:
        Name -> scalar. The label term is the mean over all B pairs, where a pair without a positive counts as 0.

    Raises:
        ValueError: an unknown term, a part of ``outputs`` or ``targets`` that a term needs and is not there, or
            parts that do not fit each other.
        TypeError: an unknown option.
    """
    chosen = MixCLOptions(**options)
    unknown = [name for name in terms if name not in TERMS]
    if unknown:
        raise ValueError(f"terms must be among {', '.join(TERMS)}, got {', '.join(unknown)}")
    log = {} if diagnostics is None else diagnostics
    computed: dict[str, Tensor] = {}
    if "identity" in terms:
        levels = _levels(outputs, chosen.identity_levels, "identity")
        batch = _batch_size(targets, levels, chosen.label_level)
        views = {index: unstack(z, batch) for index, z in levels.items()}
        computed["identity"] = _identity(
            views,
            log,
            back=targets.get("back"),
            offdiag_weight=chosen.offdiag_weight,
            center=chosen.center,
            per_channel=chosen.identity_per_channel,
        )
    if "label" in terms:
        features = _levels(outputs, (chosen.label_level,), "label")[chosen.label_level]
        computed["label"] = _label(
            features,
            targets,
            log,
            temperature=chosen.temperature,
            background=chosen.background,
            per_anchor=chosen.per_anchor,
        )
    if "reconstruction" in terms:
        prediction = _part(outputs, "outputs", "reconstruction", "reconstruction")
        clean, hidden = _part(targets, "targets", "clean", "reconstruction"), targets.get("hidden")
        if hidden is None:
            computed["reconstruction"] = reconstruction_loss(prediction, clean)
        else:
            of_v1_prime = [
                _all_views(what, x, pairs=hidden.shape[0]).v1_prime
                for what, x in (("reconstruction", prediction), ("clean", clean))
            ]
            computed["reconstruction"] = reconstruction_loss(*of_v1_prime, where=hidden)
    if "supervised" in terms:
        computed["supervised"] = _supervised(outputs, targets, chosen.class_counts)
    return computed


class MixCLLoss(nn.Module):
    """:func:`mixcl_terms` weighted and summed; ``MixCLLoss(**mixcl_preset("balanced"))`` for a preset.

    Args:
        identity_weight: weight of L_id. A term of weight 0 is not computed, and needs no outputs.
        label_weight: α, weight of the label term.
        reconstruction_weight: β, weight of the reconstruction term.
        supervised_weight: γ, weight of the supervised term; 0 in the paper.
        clustering_weight: of the swapped prediction of V1 and V1'; 0 in the paper.
        codes: options of `SwappedPredictionLoss`, for that term.
        options: those of `MixCLOptions`.

    Attributes:
        factors: of each weight above 0, see `monai_cl.engines.LossSchedule`.
        balance: further factors, where `monai_cl.engines.BalancedTerms` sets them.
        terms: the unweighted terms of the last call, attached to the graph (for the gradient norm of each term).
        diagnostics: detached scalars of the last call.

    Raises:
        ValueError: a negative weight, all weights 0, the supervised term without ``class_counts``; from a call, as
            :func:`mixcl_terms`.
    """

    def __init__(
        self,
        *,
        identity_weight: float = 1.0,
        label_weight: float = 0.01,
        reconstruction_weight: float = 0.01,
        supervised_weight: float = 0.0,
        clustering_weight: float = 0.0,
        codes: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.weights = {
            "identity": identity_weight,
            "label": label_weight,
            "reconstruction": reconstruction_weight,
            "supervised": supervised_weight,
            CLUSTERING: clustering_weight,
        }
        for name, weight in self.weights.items():
            require_weight(f"{name}_weight", weight)
        if not any(self.weights.values()):
            raise ValueError("at least one weight must be > 0, got 0 for every term")
        self.options = asdict(MixCLOptions(**options))
        if supervised_weight > 0 and self.options["class_counts"] is None:
            raise ValueError("supervised_weight > 0 needs class_counts, the number of classes of every data set")
        self.clustering = SwappedPredictionLoss(**(codes or {})) if clustering_weight > 0 else None
        self.factors = {name: 1.0 for name, weight in self.weights.items() if weight > 0}
        self.balance: dict[str, Tensor] = {}
        self.terms: dict[str, Tensor] = {}
        self.diagnostics: dict[str, Tensor] = {}

    @property
    def batchwise(self) -> str:
        """What is not a mean over the pairs of a batch; "" where all is."""
        if self.clustering is not None:
            return "the codes of the clustering term are of the whole batch"
        return "the identity term correlates channels over the whole batch" if self.weights["identity"] else ""

    def forward(self, outputs: Mapping[str, Tensor | Sequence[Tensor]], targets: Mapping[str, Tensor]) -> Tensor:
        """Weighted sum of the terms, a scalar."""
        named = [name for name in TERMS if self.weights[name] > 0]
        self.diagnostics = {}
        self.terms = mixcl_terms(outputs, targets, terms=named, diagnostics=self.diagnostics, **self.options)
        if self.clustering is not None:
            parts = [_part(outputs, "outputs", name, CLUSTERING) for name in self.clustering.outputs]
            self.terms[CLUSTERING] = self.clustering(*parts)
            self.diagnostics |= self.clustering.diagnostics
        weighted = []
        for name, term in self.terms.items():
            weight = self.weights[name] * self.factors[name] * self.balance.get(name, 1.0)
            weighted.append(weight * term)
        return torch.stack(weighted).sum()

    def after_step(self) -> None:
        """Let the queue of the clustering term take the step's embeddings."""
        if self.clustering is not None:
            self.clustering.after_step()


def _identity(views: Mapping[int, PairViews], log: dict[str, Tensor], *, back: Tensor | None, **options: Any) -> Tensor:
    first, second = [v.v1 for v in views.values()], [v.v1_prime for v in views.values()]
    where: list[Tensor] | None = None
    if back is not None:  # V1' shows P1 moved: onto common voxels before Eq. 5
        brought = [aligned_features(z, back) for z in second]
        second, where = [z for z, _ in brought], [inside for _, inside in brought]
        log["common_voxels"] = torch.stack([inside.float().mean() for inside in where]).mean()
    per_level = identity_terms(first, second, where=where, **options)
    for index, level in zip(views, per_level):
        if level.term is None or level.correlation is None:
            continue
        correlation = level.correlation.detach()
        size, diagonal = correlation.shape[0], torch.diagonal(correlation)
        log[f"identity/{index}"] = level.term.detach()
        log[f"identity_diagonal/{index}"] = diagonal.mean()
        # One channel has no off-diagonal.
        off_diagonal = (correlation.abs().sum() - diagonal.abs().sum()) / max(size * (size - 1), 1)
        log[f"identity_offdiagonal/{index}"] = off_diagonal
    kept = [level.term for level in per_level if level.term is not None]
    if not kept:
        shapes = [tuple(v.v1.shape) for v in views.values()]
        raise ValueError(f"every level has fewer voxels than channels, so no identity term is left: {shapes}")
    # a level that is left out stays attached, with gradient 0: DDP fails on parameters without one
    left_out = [
        v.v1.flatten()[:0].sum().to(kept[0].dtype) for v, level in zip(views.values(), per_level) if level.term is None
    ]
    return torch.stack([*kept, *left_out]).sum()


def _label(features: Tensor, targets: Mapping[str, Tensor], log: dict[str, Tensor], **options: Any) -> Tensor:
    voxels1, voxels2, labels1, labels2 = (
        _part(targets, "targets", name, "label") for name in ("voxels1", "voxels2", "voxel_labels1", "voxel_labels2")
    )
    views = _all_views("the label level", features, pairs=voxels1.shape[0])
    losses, has_positive = label_consistency_of_pairs(
        _gather(views.v1, voxels1),
        labels1,
        _gather(views.v2, voxels2),
        labels2,
        valid1=voxels1 >= 0,
        valid2=voxels2 >= 0,
        **options,
    )
    log["label_positive_share"] = has_positive.float().mean()
    return losses.mean()


def _gather(features: Tensor, voxels: Tensor) -> Tensor:
    """Features (B, C, h, w, d) at flat indices (B, K) -> (B, K, C); padding yields voxel 0, to be masked."""
    flat = rearrange(features, "b c ... -> b c (...)")
    indices = rearrange(voxels.clamp(min=0), "b k -> b 1 k").expand(-1, flat.shape[1], -1)
    return rearrange(flat.gather(2, indices), "b c k -> b k c")


def _supervised(
    outputs: Mapping[str, Tensor | Sequence[Tensor]],
    targets: Mapping[str, Tensor],
    class_counts: Sequence[int] | None,
) -> Tensor:
    if class_counts is None:
        raise ValueError("the supervised term needs class_counts, the number of classes of every data set")
    logits = _part(outputs, "outputs", "segmentation", "supervised")
    labels, dataset = (_part(targets, "targets", name, "supervised") for name in ("labels", "dataset"))
    views = _all_views("segmentation", logits, pairs=dataset.shape[0])
    both = torch.cat([views.v1, views.v2])
    return supervised_loss(both, labels, 2 * dataset.tolist(), class_counts=class_counts)


def _all_views(what: str, stacked: Tensor, *, pairs: int) -> PairViews:
    """The views of something that has the rows of V2 too."""
    if stacked.shape[0] != COUNT * pairs:
        raise ValueError(f"{what} must have {COUNT} rows per pair ({NAMES}), {COUNT * pairs}, got {stacked.shape[0]}")
    return unstack(stacked, pairs)


def _levels(outputs: Mapping[str, Any], wanted: Sequence[int] | None, term: str) -> dict[int, Tensor]:
    """Index -> features of the levels a term takes."""
    levels = _part(outputs, "outputs", "levels", term)
    indices = range(len(levels)) if wanted is None else wanted
    for index in indices:
        if not 0 <= index < len(levels) or levels[index] is None:
            raise ValueError(f"the {term} term needs level {index}, and outputs['levels'] has {len(levels)} levels")
    return {index: levels[index] for index in indices}


def _batch_size(targets: Mapping[str, Tensor], levels: Mapping[int, Tensor], label_level: int) -> int:
    """B, from whichever target is present; otherwise from a level that has V1 and V1' only."""
    for name, rows in (("dataset", 1), ("voxels1", 1), ("labels", 2), ("clean", 3)):
        if targets.get(name) is not None:
            batch, source = targets[name].shape[0] // rows, f"targets['{name}']"
            break
    else:
        others = [z.shape[0] for index, z in levels.items() if index != label_level]
        if not others:
            raise ValueError("targets must give the batch size by one of dataset, voxels1, labels, clean")
        batch, source = others[0] // 2, "the other levels"
    for index, z in levels.items():
        # A level may have the rows of V2 too; the identity term ignores them.
        if z.shape[0] not in (2 * batch, 3 * batch):
            raise ValueError(f"level {index} must have {2 * batch} or {3 * batch} rows ({source}), got {z.shape[0]}")
    return batch


def _part(parts: Mapping[str, Any], kind: str, name: str, term: str) -> Any:
    if parts.get(name) is None:
        raise ValueError(f"the {term} term needs {kind}['{name}'], which is missing")
    return parts[name]
