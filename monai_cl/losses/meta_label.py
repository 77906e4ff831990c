"""Contrast by several meta-labels at once: slice position, patient, phase, …, each with its own weight and pace.

After Peng, Wang, Desrosiers, Pedersoli, "Self-paced contrastive learning for semi-supervised medical image segmentation
with meta-labels", NeurIPS 2021, Eq. 4.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from monai_cl.errors import UserError
from monai_cl.losses.options import check_meta_labels, check_number
from monai_cl.losses.self_paced import MODES, PositivePairs, pace, positive_pairs, self_paced_minimum
from monai_cl.processes import writes
from monai_cl.switches import is_switched_on

logger = logging.getLogger(__name__)
UNITS = ("absolute", "log_pairs")
_PAPERS_PAIRS = 59  # NV - 1 of the batch that the paper's γ are for: 10 scans, 3 parts, 2 views


@dataclass(frozen=True)
class _Term:
    """λ, and γ at the first and after the last epoch (None: ∞)."""

    weight: float
    gamma: tuple[float, float] | None


class MetaLabelLoss(nn.Module):
    """``Σ_k λ_k L_k`` over the meta-labels k, L_k of :func:`self_paced_loss`.

    Called with an embedding (N, V, F) of every meta-label, then with its labels (N,) of every one, integers, the same
    number meaning the same class on every process, below 0 for not known. The pace follows `progress`, which the run
    sets from its iteration, so that a resumed run goes on at the pace of an uninterrupted one.

    Args:
        meta_labels: name -> ``weight`` λ (1) and ``gamma``: (γ0, γ1), or None for no self-pacing (γ = ∞). The other
            keys, which say where the label comes from, are those of `monai_cl.data.meta_labels_of`.
        mode: ``linear`` or ``hard``, see `self_paced_weight`.
        pace_power: p, see `pace`.
        temperature: τ.
        rescale: divide by the mean weight of the positive pairs.
        gamma_unit: ``absolute``, or ``log_pairs``: γ times log(NV - 1)/log 59, for batches of another size than the
            paper's.

    Attributes:
        outputs, targets, gathers: see `DeclaredLoss`; ``embedding_<name>`` and ``label_<name>``.
        progress: part of the training that is done, in [0, 1).
        weights: name -> λ.
        terms: name -> L_k of the last call, on the graph.
        diagnostics: of the last call, numbers, or detached scalars on their device, by ``<quantity>/<name>``:
            ``gamma``, ``mean_weight``, ``minimum`` (F_γ), ``mean_pair_loss`` (ℓ), ``floor`` (log|P|), ``positives`` per
            anchor, ``dead_pairs`` (share with w = 0).

    Raises:
        UserError: a key that no meta-label has, a value of another kind or out of its range.
        ValueError: no meta-label, all weights 0, an unknown mode or unit.
    """

    gathers = True

    def __init__(
        self,
        meta_labels: Mapping[str, Mapping[str, Any]],
        *,
        mode: str = "linear",
        pace_power: float = 0.5,
        temperature: float = 0.07,
        rescale: bool = False,
        gamma_unit: str = "absolute",
    ) -> None:
        super().__init__()
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
        if gamma_unit not in UNITS:
            raise ValueError(f"gamma_unit must be one of {', '.join(UNITS)}, got {gamma_unit!r}")
        check_meta_labels(meta_labels)
        self._terms = {name: _term(entry) for name, entry in meta_labels.items()}
        if not any(term.weight for term in self._terms.values()):
            raise ValueError(f"meta_labels must have one with a weight > 0, got {dict(meta_labels)}")
        self.outputs = tuple(f"embedding_{name}" for name in self._terms)
        self.targets = tuple(f"label_{name}" for name in self._terms)
        self.weights = {name: term.weight for name, term in self._terms.items()}
        self.mode, self.gamma_unit = mode, gamma_unit
        self.pace_power = check_number("pace_power", pace_power)
        self.temperature = check_number("temperature", temperature)
        self.rescale = is_switched_on("rescale", rescale)
        self.progress = 0.0
        self.terms: dict[str, Tensor] = {}
        self.diagnostics: dict[str, float | Tensor] = {}
        self._checked: set[str] = set()

    def forward(self, *tensors: Tensor) -> Tensor:
        """The loss, a scalar; see the class for its arguments.

        Raises:
            UserError: a pace that ends below log|P| of every class of several slices, where no pair of a perfect
                cluster counts; asked of the first batch.
            ValueError: another number of tensors, and as `self_paced_loss`.
        """
        if len(tensors) != 2 * len(self._terms):
            raise ValueError(f"expected {', '.join(self.outputs + self.targets)}, got {len(tensors)} tensors")
        self.terms, self.diagnostics = {}, {}
        embeddings, labels = tensors[: len(self._terms)], tensors[len(self._terms) :]
        for (name, term), z, y in zip(self._terms.items(), embeddings, labels, strict=True):
            unit = math.log(z.shape[0] * z.shape[1] - 1) / math.log(_PAPERS_PAIRS)
            unit = unit if self.gamma_unit == "log_pairs" else 1.0
            gamma = math.inf if term.gamma is None else unit * pace(self.progress, term.gamma, self.pace_power)
            pairs = positive_pairs(z, y, gamma=gamma, mode=self.mode, temperature=self.temperature)
            self.terms[name] = pairs.loss(rescale=self.rescale)
            found = _statistics(pairs, gamma, self.mode)
            if name not in self._checked and term.gamma is not None and term.weight:
                self._checked.add(name)
                _check_floor(name, [unit * value for value in term.gamma], pairs, views=z.shape[1])
            self.diagnostics |= {f"{quantity}/{name}": value for quantity, value in found.items()}
        return torch.stack([self.weights[name] * term for name, term in self.terms.items()]).sum()


@torch.no_grad()
def _statistics(pairs: PositivePairs, gamma: float, mode: str) -> dict[str, float | Tensor]:
    count = pairs.positive.sum()  # of none, means are 0/0, nan
    positives = count / pairs.counted.sum().clamp(min=1)
    found: dict[str, float | Tensor] = {
        "mean_weight": pairs.mean_weight,
        "mean_pair_loss": pairs.losses.sum() / count,
        "floor": torch.where(count > 0, positives.double().log(), math.nan),
        "positives": positives,
        "dead_pairs": ((pairs.weights == 0) & pairs.positive).sum() / count,
    }
    if math.isfinite(gamma):
        minimum = self_paced_minimum(pairs.losses, gamma, mode)
        mean = (pairs.shares * minimum).sum() / pairs.counted.sum().clamp(min=1)
        found |= {"gamma": gamma, "minimum": mean}
    return found


def _check_floor(name: str, gamma: Sequence[float], pairs: PositivePairs, *, views: int) -> None:
    """Refuse a γ1 at which no pair of a perfect cluster counts in any class; warn of a γ0 or γ1 that is so for one."""
    counts = pairs.positive.sum(dim=1).tolist()
    counts = [count for count in counts if count >= views]  # classes of several slices: the others hold no such pair
    if not counts:
        return
    least, most = math.log(min(counts)), math.log(max(counts))
    where, need = f"meta_labels.{name}.gamma", "above log|P| = {:.2f}, the least loss of a perfect cluster"
    if gamma[1] <= least:
        raise UserError(
            where,
            expected=f"a last value {need.format(least)}",
            found=f"{gamma[1]:g}",
            remedy="raise it: the better a cluster, the fewer of its pairs would count",
        )
    for verb, value, when in (("ends", gamma[1], "in the end"), ("starts", gamma[0], "at first")):
        if value <= most:
            if writes(None):
                told = need.format(most) + (" of the largest class" if least < most else "")
                logger.warning("%s: %s at %g, which is not %s: few pairs count %s", where, verb, value, told, when)
            return


def _term(entry: Mapping[str, Any]) -> _Term:
    gamma = entry.get("gamma")
    return _Term(float(entry.get("weight", 1.0)), None if gamma is None else (float(gamma[0]), float(gamma[1])))
