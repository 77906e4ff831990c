"""Embeddings of earlier steps, the same on all ranks: more samples for the codes than one batch has."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from monai_cl.losses.gather import gather_with_gradient
from monai_cl.losses.unit_vectors import no_autocast
from monai_cl.processes import rank, world_size


class EmbeddingQueue(nn.Module):
    """The last embeddings of the crops that give codes, newest first, without gradient, in float32.

    Every rank holds the whole queue, so that codes do not depend on the number of ranks and a checkpoint resumes on
    another, or with another length: the newest rows stay. It is filled from step ``start`` on and used once it is full.

    Args:
        length: rows asked for; rounded down to whole batches (of all ranks).
        start: the first step, from 0, whose embeddings are pushed.

    Raises:
        ValueError: ``length`` below 1 or ``start`` below 0.

    Source: Caron et al. (SwAV), NeurIPS 2020, section 3.2; lengths in Ghesu et al., arXiv 2201.01283, Table I.
    """

    rows: Tensor
    filled: Tensor
    steps: Tensor

    def __init__(self, length: int, *, start: int = 0) -> None:
        super().__init__()
        if length < 1 or start < 0:
            raise ValueError(f"length must be >= 1 and start >= 0, got {length} and {start}")
        self.length, self.start = length, start
        self.register_buffer("rows", torch.empty(0))
        self.register_buffer("filled", torch.tensor(0))
        self.register_buffer("steps", torch.tensor(0))

    @property
    def full(self) -> bool:
        """Whether it has been filled once."""
        return self.rows.ndim == 3 and int(self.filled) == self.rows.shape[1]

    def scores(self, prototypes: Tensor) -> list[Tensor] | None:
        """Cosines of this rank's share of the rows (every W-th of W ranks) with today's prototypes.

        Args:
            prototypes: (K, F), of unit length.

        Returns:
            (Q, K) for each crop; None before the queue is full.
        """
        if not self.full:
            return None
        self.rows = self.rows.to(prototypes.device)
        with no_autocast(prototypes):  # rounded to half a precision, codes would follow the rounding
            return [rows[rank() :: world_size()] @ prototypes.T for rows in self.rows]

    @torch.no_grad()
    def push(self, embeddings: Tensor) -> None:
        """Put the embeddings of a step in front, those of all ranks.

        Args:
            embeddings: (A, B, F): crops that give codes, samples of this rank, features.

        Raises:
            ValueError: a queue shorter than the batch of all ranks.
        """
        step = int(self.steps)
        self.steps += 1
        if step < self.start:
            return
        by_sample = embeddings.detach().float().transpose(0, 1).contiguous()
        newest = gather_with_gradient(by_sample).transpose(0, 1)
        batch, crops, features = newest.shape[1], newest.shape[0], newest.shape[2]
        require_whole_batch(self.length, batch)
        length = self.length // batch * batch
        kept = self.rows.to(newest.device) if self.rows.ndim == 3 else newest[:, :0]
        new = newest.new_zeros(crops, max(length - batch - kept.shape[1], 0), features)  # that a longer one has
        self.rows = torch.cat([newest, kept, new], dim=1)[:, :length].contiguous()
        self.filled.fill_(min(int(self.filled) + batch, length))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        # its size is known from the first batch on
        self.rows = torch.empty_like(state_dict.get(prefix + "rows", self.rows))
        super()._load_from_state_dict(state_dict, prefix, *rest)


def require_whole_batch(length: int, batch: int) -> None:
    """Refuse a queue that does not hold one batch.

    Args:
        length: its rows.
        batch: samples of all processes in a step.

    Raises:
        ValueError: names both.
    """
    if length < batch:
        raise ValueError(f"queue_length must be 0 or at least {batch}, the batch of all processes, got {length}")
