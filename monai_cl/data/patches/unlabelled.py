"""Batches that hold crops of scans without label beside crops with labels."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import Dataset

from monai_cl.data.patches.segmentation import SegmentationPatches


class PatchesWithUnlabelled(Dataset):
    """Crops by global position: of each process's batch the first ``count`` have labels, the others have not.

    Both kinds are counted apart: the crops with labels are those of a run without the others, and none depends on how
    many processes divide a batch.

    Args:
        labelled: crops with labels.
        unlabelled: crops of scans that were prepared without label.
        count: crops with labels per process and iteration.
        unlabelled_count: crops without, likewise.

    Attributes:
        batch_size: the sum of both.

    Raises:
        ValueError: a number below 1.
    """

    def __init__(
        self, labelled: SegmentationPatches, unlabelled: SegmentationPatches, *, count: int, unlabelled_count: int
    ) -> None:
        if count < 1 or unlabelled_count < 1:
            raise ValueError(f"crops of a batch must be >= 1 of each kind, got {count} and {unlabelled_count}")
        self.labelled, self.unlabelled = labelled, unlabelled
        self.count, self.unlabelled_count = int(count), int(unlabelled_count)
        self.batch_size = self.count + self.unlabelled_count

    def __len__(self) -> int:
        return len(self.labelled)

    def __getitem__(self, position: int) -> dict[str, Any]:
        """As the data set it is of; without label: ``label`` 0."""
        share, place = divmod(int(position), self.batch_size)  # share: iteration · world size + rank
        if place < self.count:
            return self.labelled[share * self.count + place]
        item = self.unlabelled[share * self.unlabelled_count + place - self.count]
        return {**item, "label": torch.zeros(item["image"].shape, dtype=self.labelled.label_dtype)}
