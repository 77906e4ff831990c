"""Label consistency across data sets: the organs of a patch against those of earlier steps, by the organs' names."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from monai_cl.errors import UserError
from monai_cl.losses.gather import gather_with_gradient
from monai_cl.losses.mixcl.consistency import log_ratio
from monai_cl.losses.unit_vectors import at_least_float32, l2_normalize, no_autocast

EMPTY = -1  # in place of a data set's index


def organ_bank_loss(
    means: Tensor,
    present: Tensor,
    datasets: Tensor,
    bank: Tensor,
    bank_datasets: Tensor,
    *,
    temperature: float = 0.1,
    same_dataset: bool = False,
    different: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Eq. 6 of MixCL between a patch's organs and a bank of earlier ones, the mean of the ratios of its organs.

    For organ k of a patch ``−log Σ_pos exp(cos/τ) / Σ_{pos ∪ neg} exp(cos/τ)``: positive are the bank's entries of k
    from other data sets, negative those of different organs from any. What a patch's data set has not annotated is
    neither, as is the background, in which organs are that only others annotate. An organ without a positive is left
    out, a patch without any has loss 0, attached to the graph.

    Args:
        means: features of K organs in N patches, (N, K, D); normalised here.
        present: which of them a patch has, (N, K) booleans.
        datasets: index of each patch's data set, (N,).
        bank: M earlier features of each organ, (K, M, D), without gradient; normalised here.
        bank_datasets: index of the data set each came from, (K, M); negative where there is none yet.
        temperature: τ.
        same_dataset: entries of a patch's own data set are positives as well; without it they count only as negatives.
        different: (K, K) booleans, which organs are negatives of each other; None: each of all others.

    Returns:
        The loss of each patch, (N,), and whether it had a positive, (N,) booleans.

    Raises:
        ValueError: shapes that do not fit, ``temperature`` not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be > 0, got {temperature}")
    _check(means, present, datasets, bank, bank_datasets)
    with no_autocast(means):
        z = at_least_float32(means)
        cosine = torch.einsum("n k d, q m d -> n k q m", l2_normalize(z), l2_normalize(bank.detach().to(z)))
    filled = bank_datasets >= 0
    foreign = filled if same_dataset else filled & (rearrange(datasets, "n -> n 1 1") != bank_datasets)
    same = torch.eye(len(bank), dtype=torch.bool, device=means.device)
    apart = ~same if different is None else different & ~same
    there = rearrange(present, "n k -> n k 1 1")
    positive = there & same[..., None] & rearrange(foreign.expand(len(means), *filled.shape), "n q m -> n 1 q m")
    negative = there & apart[..., None] & filled
    logits, positive, negative = (
        rearrange(x, "n k q m -> n k (q m)") for x in (cosine / temperature, positive, negative)
    )
    anchors = positive.any(dim=-1)
    ratios = log_ratio(logits, positive, positive | negative, anchors)
    return ratios.sum(dim=1) / anchors.sum(dim=1).clamp(min=1), anchors.any(dim=1)


@dataclass(frozen=True)
class NamedOrgans:
    """What the label ids of several data sets mean to each other.

    Attributes:
        labels: of every data set, in the order of their indices: label id -> organ, the same text for the same organ
            in all; the background and what names no organ are left out.
        overlapping: pairs of organs that may be the same tissue, such as a kidney and the left kidney; they are
            neither positives nor negatives of each other.
    """

    labels: Sequence[Mapping[int, str]]
    overlapping: Collection[tuple[str, str]] = ()

    @property
    def names(self) -> list[str]:
        """All organs, each once, in alphabetical order."""
        return sorted({name for labels in self.labels for name in labels.values()})

    def rows(self) -> Tensor:
        """Place in ``names`` of every label id of every data set, (data sets, ids); -1 where there is none."""
        rows = torch.full((len(self.labels), 1 + max((max(ids, default=0) for ids in self.labels), default=0)), EMPTY)
        for own, labels in zip(rows, self.labels):
            for label, name in labels.items():
                own[label] = self.names.index(name)
        return rows

    def different(self) -> Tensor:
        """(K, K) booleans: which organs are surely not the same tissue."""
        names, related = self.names, {frozenset(pair) for pair in self.overlapping}
        return torch.tensor([[a != b and frozenset((a, b)) not in related for b in names] for a in names])


class OrganBank(nn.Module):
    """:func:`organ_bank_loss` as a module, with the bank: the last features of each organ, newest first.

    A patch's feature of an organ is the mean direction of its drawn voxels of that organ. In a step they are compared
    with the bank as it was before it; ``after_step()`` pushes them, those of all processes, so that every process
    holds the same bank and the mean over processes is the loss of one.

    Args:
        organs: what the label ids of the data sets mean.
        length: M, features kept of each organ.
        temperature: τ.
        same_dataset: see :func:`organ_bank_loss`. Off: scans of one data set are the most alike, and as Eq. 6 sums the
            positives inside its logarithm, being near to those would be enough.

    Attributes:
        diagnostics: of the last call: ``bank_fill``, the share of the bank that is filled, and
            ``bank_positive_share``, that of the patches which have an organ in common with it.

    Raises:
        UserError: a length that is no integer above 0, a temperature not above 0, ``same_dataset`` not a boolean.
    """

    features: Tensor
    datasets: Tensor
    _different: Tensor

    def __init__(
        self, *, organs: NamedOrgans, length: int = 64, temperature: float = 0.1, same_dataset: bool = False
    ) -> None:
        super().__init__()
        if isinstance(length, bool) or not isinstance(length, int) or length < 1:
            raise UserError(
                "bank_length",
                expected="an integer >= 1, features kept of each organ",
                found=repr(length),
                remedy="--bank_weight 0 is without the bank",
            )
        if isinstance(temperature, bool) or not isinstance(temperature, int | float) or not 0 < temperature < math.inf:
            raise UserError("bank_temperature", expected="a number > 0, such as 0.1", found=repr(temperature))
        if not isinstance(same_dataset, bool):
            raise UserError("bank_same_dataset", expected="true or false", found=repr(same_dataset))
        self.organs = organs
        self.options: dict[str, Any] = {"temperature": float(temperature), "same_dataset": same_dataset}
        self.register_buffer("features", torch.empty(0))  # (K, M, D) once D is known
        self.register_buffer("datasets", torch.full((len(organs.names), length), EMPTY))
        self._rows = organs.rows()  # stays with the host, as a batch's data sets do
        self.register_buffer("_different", organs.different(), persistent=False)
        self.diagnostics: dict[str, Tensor] = {}
        self._newest: tuple[Tensor, Tensor] | None = None

    def forward(self, z: Tensor, labels: Tensor, datasets: Tensor, *, valid: Tensor | None = None) -> Tensor:
        """The loss of a batch, the mean over its patches, a scalar.

        Args:
            z: features of n voxels drawn from each of N patches, (N, n, D).
            labels: their label ids, local to the patch's data set, (N, n).
            datasets: index of each patch's data set, (N,); read where it lies.
            valid: (N, n) booleans, False where an entry is padding; None: none is.

        Raises:
            ValueError: shapes that do not fit.
        """
        if z.ndim != 3 or labels.shape != z.shape[:2] or datasets.shape != z.shape[:1]:
            shapes = ", ".join(str(tuple(x.shape)) for x in (z, labels, datasets))
            raise ValueError(f"z, labels and datasets must be (N, n, D), (N, n) and (N,), got {shapes}")
        self.to(z.device)
        if self.features.ndim != 3:
            self.features = torch.zeros(*self.datasets.shape, z.shape[2], device=z.device)
        rows = self._rows.to(datasets.device)[datasets].to(z.device)  # (N, ids)
        known = (labels >= 0) & (labels < rows.shape[1]) & (True if valid is None else valid)
        rows = torch.where(known, rows.gather(1, labels.clamp(0, rows.shape[1] - 1)), EMPTY)
        members = rows[..., None] == torch.arange(len(self.features), device=z.device)  # (N, n, K)
        with no_autocast(z):
            unit = l2_normalize(at_least_float32(z))
            means = l2_normalize(torch.einsum("b n k, b n d -> b k d", members.to(unit), unit))
        present, own = members.any(dim=1), datasets.to(z.device)
        losses, has_positive = organ_bank_loss(
            means, present, own, self.features, self.datasets, different=self._different, **self.options
        )
        self.diagnostics = {
            "bank_fill": (self.datasets >= 0).float().mean(),
            "bank_positive_share": has_positive.float().mean(),
        }
        self._newest = means.detach().float(), torch.where(present, own[:, None], EMPTY)
        return losses.mean()

    @torch.no_grad()
    def after_step(self) -> None:
        """Push the features of a step that the optimiser took: those of a step left out may not be finite."""
        if self._newest is None:
            return
        newest, origin = (gather_with_gradient(x).transpose(0, 1) for x in self._newest)
        self._newest = None
        features = torch.cat([newest, self.features], dim=1)
        datasets = torch.cat([origin, self.datasets], dim=1)
        # what a patch lacks goes to the end, all else stays in its order: nothing waits for the device
        kept = (datasets < 0).to(torch.uint8).argsort(dim=1, stable=True)[:, : self.datasets.shape[1]]
        self.features = features.gather(1, kept[..., None].expand(-1, -1, features.shape[2]))
        self.datasets = datasets.gather(1, kept)

    def get_extra_state(self) -> str:
        """The organs, which the rows stand for."""
        return json.dumps([dict(labels) for labels in self.organs.labels])

    def set_extra_state(self, state: Any) -> None:
        """Refuse a bank of other organs with a ``ValueError``."""
        if state != self.get_extra_state():
            raise ValueError(f"the bank holds organs of other data sets or label ids, {state}")

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        # the size of a feature is known from the first batch on
        self.features = torch.empty_like(state_dict.get(prefix + "features", self.features))
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _check(means: Tensor, present: Tensor, datasets: Tensor, bank: Tensor, bank_datasets: Tensor) -> None:
    if means.ndim != 3 or present.shape != means.shape[:2] or datasets.shape != means.shape[:1]:
        shapes = ", ".join(str(tuple(x.shape)) for x in (means, present, datasets))
        raise ValueError(f"means, present and datasets must be (N, K, D), (N, K) and (N,), got {shapes}")
    if bank.ndim != 3 or bank.shape[::2] != means.shape[1:] or bank_datasets.shape != bank.shape[:2]:
        shapes = f"{tuple(bank.shape)} and {tuple(bank_datasets.shape)}"
        expected = f"({means.shape[1]}, M, {means.shape[2]}) and ({means.shape[1]}, M)"
        raise ValueError(f"bank and bank_datasets must be {expected}, got {shapes}")
