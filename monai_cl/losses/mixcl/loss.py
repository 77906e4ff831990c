"""MixCL's total loss (Eq. 2), ``L = L_id + α L_label + β L_recon (+ γ L_sup)``, from one forward of V1, V1' and V2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from monai_cl.losses.clustering import SwappedPredictionLoss
from monai_cl.losses.mixcl.consistency import reconstruction_loss, require_weight
from monai_cl.losses.mixcl.organ_bank import OrganBank
from monai_cl.losses.mixcl.terms import (
    all_views,
    bank_term,
    batch_size,
    chosen_levels,
    identity_term,
    label_term,
    needed_part,
    supervised_term,
)
from monai_cl.mixcl_views import unstack

TERMS = ("identity", "label", "reconstruction", "supervised")
CLUSTERING, BANK = "clustering", "bank"
"""Terms that `MixCLLoss` has beside these, with features that outlive a step."""


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
        levels = chosen_levels(outputs, chosen.identity_levels, "identity")
        batch = batch_size(targets, levels, chosen.label_level)
        views = {index: unstack(z, batch) for index, z in levels.items()}
        computed["identity"] = identity_term(
            views,
            log,
            back=targets.get("back"),
            offdiag_weight=chosen.offdiag_weight,
            center=chosen.center,
            per_channel=chosen.identity_per_channel,
        )
    if "label" in terms:
        features = chosen_levels(outputs, (chosen.label_level,), "label")[chosen.label_level]
        computed["label"] = label_term(
            features,
            targets,
            log,
            temperature=chosen.temperature,
            background=chosen.background,
            per_anchor=chosen.per_anchor,
        )
    if "reconstruction" in terms:
        prediction = needed_part(outputs, "outputs", "reconstruction", "reconstruction")
        clean, hidden = needed_part(targets, "targets", "clean", "reconstruction"), targets.get("hidden")
        if hidden is None:
            computed["reconstruction"] = reconstruction_loss(prediction, clean)
        else:
            of_v1_prime = [
                all_views(what, x, pairs=hidden.shape[0]).v1_prime
                for what, x in (("reconstruction", prediction), ("clean", clean))
            ]
            computed["reconstruction"] = reconstruction_loss(*of_v1_prime, where=hidden)
    if "supervised" in terms:
        computed["supervised"] = supervised_term(outputs, targets, chosen.class_counts)
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
        bank_weight: of the label consistency across data sets, see `OrganBank`; 0 in the paper.
        bank: options of `OrganBank`, for that term, its ``organs`` among them.
        options: those of `MixCLOptions`.

    Attributes:
        factors: of each weight above 0, see `monai_cl.engines.LossSchedule`.
        balance: further factors, where `monai_cl.engines.BalancedTerms` sets them.
        terms: the unweighted terms of the last call, attached to the graph (for the gradient norm of each term).
        diagnostics: detached scalars of the last call.

    Raises:
        ValueError: a negative weight, all weights 0, the supervised term without ``class_counts``, the bank without
            ``organs``; from a call, as :func:`mixcl_terms`.
        UserError: an option of the bank that is out of range.
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
        bank_weight: float = 0.0,
        bank: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.weights = {
            "identity": identity_weight,
            "label": label_weight,
            "reconstruction": reconstruction_weight,
            "supervised": supervised_weight,
            CLUSTERING: clustering_weight,
            BANK: bank_weight,
        }
        for name, weight in self.weights.items():
            require_weight(f"{name}_weight", weight)
        if not any(self.weights.values()):
            raise ValueError("at least one weight must be > 0, got 0 for every term")
        self.options = asdict(MixCLOptions(**options))
        if supervised_weight > 0 and self.options["class_counts"] is None:
            raise ValueError("supervised_weight > 0 needs class_counts, the number of classes of every data set")
        self.clustering = SwappedPredictionLoss(**(codes or {})) if clustering_weight > 0 else None
        if bank_weight > 0 and (bank or {}).get("organs") is None:
            raise ValueError("bank_weight > 0 needs bank with organs, what the label ids of every data set mean")
        self.bank = OrganBank(**(bank or {})) if bank_weight > 0 else None
        self.factors = {name: 1.0 for name, weight in self.weights.items() if weight > 0}
        self.balance: dict[str, Tensor] = {}
        self.terms: dict[str, Tensor] = {}
        self.diagnostics: dict[str, Tensor] = {}

    @property
    def batchwise(self) -> str:
        """What is not a mean over the pairs of a batch; "" where all is."""
        if self.clustering is not None:
            return "the codes of the clustering term are of the whole batch"
        if self.bank is not None:
            return "the bank takes the features of the whole batch"
        return "the identity term correlates channels over the whole batch" if self.weights["identity"] else ""

    def forward(self, outputs: Mapping[str, Tensor | Sequence[Tensor]], targets: Mapping[str, Tensor]) -> Tensor:
        """Weighted sum of the terms, a scalar."""
        named = [name for name in TERMS if self.weights[name] > 0]
        self.diagnostics = {}
        self.terms = mixcl_terms(outputs, targets, terms=named, diagnostics=self.diagnostics, **self.options)
        if self.clustering is not None:
            parts = [needed_part(outputs, "outputs", name, CLUSTERING) for name in self.clustering.outputs]
            self.terms[CLUSTERING] = self.clustering(*parts)
            self.diagnostics |= self.clustering.diagnostics
        if self.bank is not None:
            level = self.options["label_level"]
            features = chosen_levels(outputs, (level,), BANK)[level]
            self.terms[BANK] = bank_term(features, targets, self.bank)
            self.diagnostics |= self.bank.diagnostics
        weighted = []
        for name, term in self.terms.items():
            weight = self.weights[name] * self.factors[name] * self.balance.get(name, 1.0)
            weighted.append(weight * term)
        return torch.stack(weighted).sum()

    def after_step(self) -> None:
        """Let the queue of the clustering term and the bank take the step's features."""
        for part in (self.clustering, self.bank):
            if part is not None:
                part.after_step()
