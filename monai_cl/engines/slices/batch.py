"""From a batch of slices to the views that go through the network as one batch, and what the losses compare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from monai_cl.transforms import SliceViews


class SlicePrepareBatch:
    """``prepare_batch`` of MONAI's `SupervisedTrainer` for `PatientSlices`.

    Views are made on the training device, a batch at a time, each addressed by (seed, position, view).

    Args:
        seed: the run's seed.
        count: V, views of every slice.
        views: options of `monai_cl.transforms.SliceViews` (probability, ranges).
    """

    def __init__(self, *, seed: int, count: int = 2, views: Mapping[str, Any] | None = None) -> None:
        self.views = SliceViews(seed=seed, views=count, **dict(views or {})).train()

    def __call__(
        self, batch: Mapping[str, Any], device: torch.device, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Move and make views.

        Returns:
            inputs (N, V, C, H, W); targets with ``label`` (N,) and ``depth`` (N,).
        """
        images, labels, depths = (
            batch[key].to(device=device, non_blocking=non_blocking, **kwargs) for key in ("image", "label", "depth")
        )
        return self.views(images, batch["position"]), {"label": labels, "depth": depths}
