"""Clustering of whole patches by a 3-D encoder: its levels pooled, a head, and prototypes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange, reduce
from torch import Tensor, nn
from torch.nn.functional import normalize

from monai_cl.networks.heads import projection_head
from monai_cl.networks.momentum import HostCount
from monai_cl.networks.projected import in_full_precision
from monai_cl.networks.prototypes import Prototypes


class PooledClusters(nn.Module):
    """Means of all levels of an encoder over the voxels of a patch, projected and compared with prototypes.

    All levels take part: the finer ones of a UNETR lie beside its transformer and would otherwise learn nothing.

    Args:
        channels: of the levels, F in sum.
        prototypes: K.
        embedding: E, size of what is compared.
        freeze_iterations: steps at the start in which the prototypes stay, see `ClusteringNet`.

    Raises:
        ValueError: a number below 1, ``freeze_iterations`` below 0.

    Source: the loss is that of Ghesu et al., arXiv 2201.01283; pooling a segmentation network's levels is ours.
    """

    steps: Tensor

    def __init__(
        self, channels: Sequence[int], *, prototypes: int = 64, embedding: int = 64, freeze_iterations: int = 0
    ) -> None:
        super().__init__()
        if freeze_iterations < 0:
            raise ValueError(f"freeze_iterations must be >= 0, got {freeze_iterations}")
        # no batch norm: a batch has few patches
        self.head = projection_head((sum(channels), 2 * embedding, embedding))
        self.prototypes = Prototypes(embedding, prototypes)
        self.freeze_iterations = freeze_iterations
        self.register_buffer("steps", torch.tensor(0))
        self._count = HostCount()

    def forward(self, levels: Sequence[Tensor]) -> dict[str, Tensor]:
        """Cluster the patches of two views.

        Args:
            levels: outputs of the encoder, each (2B, c, h, w, d), all of the first view before those of the second.

        Returns:
            ``embedding`` (B, 2, E) of unit length, ``scores`` (B, 2, K), and without gradient ``prototypes`` (K, E).
        """
        pooled = torch.cat([reduce(z.float(), "n c h w d -> n c", "mean") for z in levels], dim=1)
        embedding = normalize(in_full_precision(self.head, pooled), dim=-1)
        embedding = rearrange(embedding, "(v b) e -> b v e", v=2)
        return {
            "embedding": embedding,
            "scores": self.prototypes(embedding),
            "prototypes": self.prototypes.weight.detach(),
        }

    def before_step(self) -> None:
        """Drop the gradient of frozen prototypes: a parameter without one is left out by the optimiser."""
        if self._count.of(self.steps) < self.freeze_iterations:
            self.prototypes.weight.grad = None

    def after_step(self) -> None:
        """Count the steps; a resumed run freezes as long as an uninterrupted one."""
        self._count.advance(self.steps)
