"""Online clustering of several modalities: prototypes, codes and queue of each its own (Ghesu et al., Eq. 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from monai_cl.losses.clustering import SwappedPredictionLoss
from monai_cl.losses.queue import require_whole_batch
from monai_cl.processes import world_size


class ModalityClusteringLoss(nn.Module):
    """Mean over the modalities of :class:`SwappedPredictionLoss`, each of its own samples and its own prototypes.

    Called with ``scores`` (N, V, ΣK) of all prototypes, ``embedding`` (N, V, F), ``prototypes`` (ΣK, F), modality by
    modality, as `monai_cl.networks.ClusteringNet` gives them for a network of ΣK prototypes; and with the samples'
    ``modality`` (N,), an index. Every modality has as many samples as any other on every rank, so that the mean is one
    over samples, and DDP's mean over ranks is exact. With one modality it is `SwappedPredictionLoss`, bit for bit.

    Args:
        prototypes: modality -> K, its number of prototypes, in the order of the index.
        queue_length: rows of all queues together; each has its part, rounded down to whole batches of its modality.
        options: of `SwappedPredictionLoss`, for every modality.

    Attributes:
        diagnostics: of the last call: those of :func:`swapped_prediction_loss`, means over the modalities, and where
            there are several, the loss of each as ``loss_<modality>``.

    Raises:
        ValueError: no modality, or an option out of range; from a call also: a network of another number of
            prototypes, modalities of different numbers of samples.

    Source: Ghesu et al., "Self-supervised learning from 100 million medical images", arXiv 2201.01283, section 3.3.
    """

    outputs, targets, gathers = ("scores", "embedding", "prototypes"), ("modality",), False

    def __init__(self, prototypes: Mapping[str, int], *, queue_length: int = 0, **options: Any) -> None:
        super().__init__()
        if not prototypes or min(prototypes.values()) < 1:
            raise ValueError(f"prototypes must be at least one number >= 1, got {dict(prototypes)}")
        count = len(prototypes)
        if 0 < queue_length < count:
            raise ValueError(f"queue_length must be 0 or at least {count}, one for each modality, got {queue_length}")
        self.counts, self.queue_length = dict(prototypes), queue_length
        members = [SwappedPredictionLoss(queue_length=queue_length // count, **options) for _ in prototypes]
        self.members = nn.ModuleList(members)
        self.diagnostics: dict[str, Tensor] = {}
        self._checked = False

    def forward(self, scores: Tensor, embeddings: Tensor, prototypes: Tensor, modality: Tensor) -> Tensor:
        """The loss of a batch, a scalar."""
        sizes = list(self.counts.values())
        if len(prototypes) != sum(sizes):
            raise ValueError(f"the network must have {sum(sizes)} prototypes, got {len(prototypes)}")
        if not self._checked:  # the sampler gives parts of one size, always or never
            check_equal_parts(modality, list(self.counts))
            self._check_queue(len(scores) * world_size())
            self._checked = True
        by_modality = modality.argsort(stable=True).reshape(len(self.counts), -1)
        losses: list[Tensor] = []
        described: list[dict[str, Tensor]] = []
        for index, (member, columns, rows) in enumerate(
            zip(self._losses, scores.split(sizes, dim=-1), prototypes.split(sizes))
        ):
            own = by_modality[index]
            losses.append(member(columns[own], embeddings[own], rows))
            described.append(member.diagnostics)
        self.diagnostics = {
            name: torch.stack([torch.as_tensor(one[name]) for one in described]).mean() for name in described[0]
        }
        if len(losses) > 1:
            self.diagnostics |= {f"loss_{name}": loss.detach() for name, loss in zip(self.counts, losses)}
        return torch.stack(losses).mean()

    def check_count(self, batch: int, prototypes: int) -> None:
        """As `SwappedPredictionLoss.check_count`, of each modality.

        Args:
            batch: samples of all processes in a step, of all modalities.
            prototypes: of the network, all modalities together; each modality's own count.
        """
        self._check_queue(batch)
        for member, count in zip(self._losses, self.counts.values()):
            member.check_count(batch // len(self.counts), count)

    def _check_queue(self, batch: int) -> None:
        """By the numbers of all modalities together, which are those of the options: a member knows its own alone."""
        if self.queue_length:
            require_whole_batch(self.queue_length, batch)

    def after_step(self) -> None:
        """Push the embeddings of a step that the optimiser took."""
        for member in self._losses:
            member.after_step()

    @property
    def _losses(self) -> list[SwappedPredictionLoss]:
        return [member for member in self.members if isinstance(member, SwappedPredictionLoss)]


def check_equal_parts(modality: Tensor, names: Sequence[str]) -> None:
    """Refuse a batch that has more samples of one modality than of another.

    Args:
        modality: index of each sample, (N,).
        names: of the modalities.

    Raises:
        ValueError: names the modalities and their numbers of samples.
    """
    found = [int((modality == index).sum()) for index in range(len(names))]
    if len(set(found)) > 1 or sum(found) != len(modality):
        raise ValueError(
            f"a batch must have as many samples of each of the modalities {', '.join(names)}, got "
            f"{', '.join(map(str, found))} of {len(modality)}"
        )
