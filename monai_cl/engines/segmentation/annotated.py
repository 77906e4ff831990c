"""Voxels that were not annotated, in the loss and in the Dice of a segmentation: they take no part."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.losses import DiceCELoss
from monai.transforms import MapTransform
from torch import Tensor

from monai_cl.transforms.label_table import IGNORED


class AnnotatedDiceCELoss(DiceCELoss):
    """MONAI's ``DiceCELoss`` of the voxels whose label is not `IGNORED`; without such voxels it is that loss itself.

    With them, it is the mean over the samples of the loss of each one's annotated voxels; a sample without any counts
    as 0. With ``batch=True``, where Dice is of all samples together, it is the loss of all annotated voxels together.

    Its arguments are those of ``monai.losses.DiceCELoss``.
    """

    complete: bool | None = None

    @property
    def batchwise(self) -> str:
        """What is not a mean over the samples of a batch; "" where all is."""
        if self.dice.batch:
            return "Dice is of all crops of a batch together"
        return "the classes have weights, by which it divides" if self.cross_entropy.weight is not None else ""

    def look_at(self, label: Tensor) -> None:
        """Note, where the labels lie on the host, whether all is annotated: the next call need not ask the device.

        Args:
            label: of the next call.
        """
        self.complete = bool((label != IGNORED).all())

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss, a scalar.

        Args:
            input: logits (B, C, H, W, D).
            target: labels (B, 1, H, W, D), ids or `IGNORED`.
        """
        annotated = target != IGNORED
        complete, self.complete = self.complete, None
        if bool(annotated.all()) if complete is None else complete:
            return super().forward(input, target)
        if self.dice.batch:
            if not annotated.any():
                return input.sum() * 0.0  # attached to the graph
            kept = annotated[:, 0]
            return super().forward(input.movedim(1, -1)[kept].T[None], target[:, 0][kept][None, None])
        losses = []
        for logits, labels, kept in zip(input, target, annotated[:, 0]):
            if kept.any():
                losses.append(super().forward(logits[:, kept][None], labels[:, kept][None]))
            else:
                losses.append(logits.sum() * 0.0)  # attached to the graph
        return torch.stack(losses).mean()


class AnnotatedVoxelsd(MapTransform):
    """Make label and prediction background where ``label`` is `IGNORED`: then no metric of an organ counts them.

    ``keys`` are of the class maps (1, X, Y, Z), predictions and label.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with its class maps masked."""
        item = dict(data)
        ignored = item["label"] == IGNORED
        if bool(ignored.any()):
            for key in self.key_iterator(item):
                item[key] = item[key].masked_fill(ignored.as_subclass(Tensor), 0)
        return item
