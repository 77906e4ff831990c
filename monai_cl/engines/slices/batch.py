"""From a batch of slices to the views that go through the network as one batch, and what the losses compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from monai_cl.transforms import SliceViews


class SlicePrepareBatch:
    """``prepare_batch`` of MONAI's `SupervisedTrainer` for `PatientSlices`.

    Views are made on the training device, a batch at a time, each addressed by (seed, position, view).

    Args:
        views: what makes the views, called with slices (N, C, H, W) and their positions (N,), such as
            `monai_cl.transforms.SliceViews`; or that one's options (probability, ranges).
        targets: keys of the batch that the loss takes.
        seed: the run's seed; of views that are given as options.
        count: V, views of every slice; likewise.
    """

    def __init__(
        self,
        *,
        views: nn.Module | Mapping[str, Any] | None = None,
        targets: Sequence[str] = ("label", "depth"),
        seed: int | None = None,
        count: int = 2,
    ) -> None:
        made = views if isinstance(views, nn.Module) else SliceViews(seed=seed, views=count, **dict(views or {}))
        self.views, self.targets = made.train(), tuple(targets)

    def __call__(
        self, batch: Mapping[str, Any], device: torch.device, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Move and make views.

        Returns:
            inputs (N, V, C, H, W), and the targets (N,) by their key.
        """
        moved = {
            key: batch[key].to(device=device, non_blocking=non_blocking, **kwargs) for key in ("image", *self.targets)
        }
        return self.views(moved.pop("image"), batch["position"]), moved
