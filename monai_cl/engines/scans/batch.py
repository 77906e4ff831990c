"""From a batch of scans to what a network sees, and what its outputs are compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from monai_cl.engines.slices.batch import SlicePrepareBatch
from monai_cl.transforms import VolumeCrops

LABELS = ("target", "findings", "slice_findings")


class ScanPrepareBatch(SlicePrepareBatch):
    """``prepare_batch`` of MONAI's `SupervisedTrainer` for scans that are drawn by position.

    Args:
        views: what makes one crop of each scan.
        labels: keys of the batch that the loss takes.

    Raises:
        ValueError: views that make more crops than one.
    """

    def __init__(self, *, views: VolumeCrops, labels: Sequence[str] = LABELS) -> None:
        if views.count != (1, 0):
            raise ValueError(f"views must make one crop of a scan, count [1, 0], got {list(views.count)}")
        super().__init__(views=views, targets=labels)

    def __call__(
        self, batch: Mapping[str, Any], device: torch.device, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Volumes (N, 1, D, H, W) and the labels by their key."""
        (crops,), labels = super().__call__(batch, device, non_blocking, **kwargs)
        return crops[:, 0], labels
