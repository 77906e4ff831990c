"""Cross-entropy of the views of slices whose class is known: the supervised baseline of the contrastive methods."""

from __future__ import annotations

import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy, in float32 or better, of V views of N slices.

    Args:
        logits: (N, V, classes).
        labels: classes from 0, one for each slice, (N,).

    Raises:
        ValueError: shapes other than these.
    """
    if logits.ndim != 3 or labels.shape != logits.shape[:1]:
        raise ValueError(
            f"logits must be (N, V, classes) and labels (N,), got {tuple(logits.shape)} and {tuple(labels.shape)}"
        )
    views = repeat(labels, "n -> (n v)", v=logits.shape[1])
    rows = rearrange(logits, "n v k -> (n v) k")
    return F.cross_entropy(rows if rows.dtype.itemsize > 2 else rows.float(), views)


class CrossEntropyLoss(nn.Module):
    """:func:`cross_entropy` as a module; called with logits (N, V, classes), the embedding of a network whose head
    ends in one number for each class, and labels (N,)."""

    outputs, targets, gathers = ("embedding",), ("label",), False

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(logits, labels)
